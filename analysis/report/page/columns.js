// The columns of the explorer's tables.

/**
 * @typedef {{board: Object, line: number, own: Object, row: Object|null, judged: Object, column?: number}} ExplorerRow
 *   own: the board's line; row: of the core's rows; column: where the row is of one column alone
 */

/** What says which run a line is. @returns {TableColumn[]} rows: ExplorerRow */
function lineColumns(core, several) {
  const text = (id, title, of, hint) => ({ id, title, hint, value: of, cell: (row) => of(row) ?? "" });
  const number = (id, title, of, show, unit, hint) => ({
    id,
    title,
    unit,
    hint,
    numeric: true,
    value: of,
    cell: (row) => show(of(row)),
    text: (row) => show(of(row)),
  });
  const where = several
    ? [
        text("task", "Task", ({ row, board, column }) => row?.task_label ?? board.columns[column].task),
        text("base", "Base", ({ own, row }) => own.model ?? row?.model_label),
        text("benchmark", "Column", ({ board, column }) => board.columns[column].name),
      ]
    : [];
  return [
    {
      id: "method",
      title: "Method",
      value: ({ own }) => own.label,
      text: ({ own }) => own.label,
      cell: ({ board, line, own }) => ({
        content: methodName(core, board, line),
        title: lookOf(core, own.method).family,
      }),
    },
    ...where,
    text("family", "Family", ({ own }) => lookOf(core, own.method).family),
    text(
      "layers",
      "Layers",
      ({ own }) => own.targets,
      "Kinds of layers that are adapted: query, key, value, output, up, down, gate",
    ),
    text("recipe", "Recipe", ({ row }) => row?.recipe),
    rateColumn(),
    number("trained", "Trained", ({ own }) => own.params, count, "numbers", "Trained numbers without the head"),
    number("head", "Head", ({ row }) => row?.head, count, "numbers"),
    number(
      "seeds",
      "Seeds",
      (row) => seedsOf(row),
      (n) => (n === null ? "" : count(n)),
    ),
    number("step", "Step", ({ row }) => row?.step_seconds, three, "s", "Seconds of a training step, median over seeds"),
    number(
      "file",
      "Saved",
      ({ row }) => row?.file_bytes,
      (x) => short(x, true),
      "",
      "Size of the saved file",
    ),
    number(
      "peak",
      "Peak",
      ({ row }) => row?.peak_bytes,
      (x) => short(x, true),
      "",
      "Peak memory of training",
    ),
  ];
}

/** Learning rate with the mark that the notes explain. @returns {TableColumn} */
function rateColumn() {
  const text = ({ row, own }) => (missing(row?.rate) ? "" : `${three(row.rate)}${own.rate_mark ?? ""}`);
  return { id: "rate", title: "Rate", hint: "Learning rate", numeric: true, value: ({ row }) => row?.rate, cell: text, text };
}

/** Most seeds of a line's cells in the columns that are shown; null where nothing was run. */
function seedsOf({ board, line, column, places }) {
  const cells = (places ?? [column]).map((place) => board.cells[line][place]);
  const seeds = cells.filter(Boolean).map((cell) => cell.seeds);
  return seeds.length ? Math.max(...seeds) : null;
}

/** Score, difference, verdict and p of one column of a table. @returns {TableColumn[]} */
function scoreColumns(core, board, column) {
  const { name, unit, lower } = board.columns[column];
  const id = `c${column}`;
  const cell = ({ line }) => board.cells[line][column];
  const found = ({ judged, line }) => judged.at(line, column);
  return [
    {
      id,
      title: name,
      unit,
      numeric: true,
      hint: `${board.columns[column].scorer}${lower ? ", lower is better" : ""}`,
      value: (row) => cell(row)?.mean,
      cell: (row) => scoreCell(core, board, row.line, column, found(row)),
      text: (row) => scoreText(board, row.line, column, found(row)),
    },
    {
      id: `d${column}`,
      title: `${name}: difference`,
      unit: pointsOf(unit),
      numeric: true,
      value: (row) => found(row)?.mean,
      cell: (row) => differenceText(found(row), unit),
    },
    {
      id: `v${column}`,
      title: `${name}: verdict`,
      value: (row) => WORDS[found(row)?.verdict],
      cell: (row) => WORDS[found(row)?.verdict] ?? "",
    },
    {
      id: `p${column}`,
      title: `${name}: p`,
      numeric: true,
      hint: "Adjusted by Holm's correction",
      value: (row) => found(row)?.p,
      cell: (row) => pValue(found(row)?.p),
    },
  ];
}

/** `+3.2 [+1.0, +5.1]`, in the unit's points. */
function differenceText(found, unit) {
  if (!found || missing(found.mean)) return "";
  return `${signed(found.mean, unit)}${missing(found.low) ? "" : ` [${signed(found.low, unit)}, ${signed(found.high, unit)}]`}`;
}

/** `47.8 [46.9, 48.6]` with its mark; empty with the reason where there is none. */
function scoreCell(core, board, line, column, found) {
  const cell = board.cells[line][column];
  if (!cell) {
    const why = absence(core, board, line, column);
    return { class: "none", title: why, content: unseen(why) };
  }
  const verdict = found?.verdict;
  const few = partial(board, line, column);
  const said = [
    Number.isNaN(cell.mean) ? "The run finished; its score is no number" : "",
    verdict ? WORDS[verdict] : "",
    few || counted(cell.seeds, "seed"),
    found?.p != null ? `p ${pValue(found.p)}` : "",
  ];
  return {
    class: [`v-${verdict ?? "none"}`, inGroup(verdict) ? "alike" : "", few ? "few" : ""].join(" "),
    title: said.filter(Boolean).join("; "),
    content: [
      numberLink(board, line, column),
      " ",
      el("span", { class: "noise" }, noiseText(cell, board.columns[column].unit)),
      el("span", { class: "mark", "aria-hidden": "true" }, MARKS[verdict] ?? ""),
      unseen(verdict ? `, ${WORDS[verdict]}` : ""),
      few ? el("span", { class: "noise" }, ` ${few}`) : null,
    ],
  };
}

/** A score cell as it is copied. */
function scoreText(board, line, column, found) {
  const cell = board.cells[line][column];
  if (!cell) return "";
  const { unit } = board.columns[column];
  const mean = Number.isNaN(cell.mean) ? "NaN" : score(cell.mean, unit);
  return [mean, noiseText(cell, unit), MARKS[found?.verdict] ?? ""].filter(Boolean).join(" ");
}

/** Mean over the shown columns in per cent; grey, and why, where one is missing. @returns {TableColumn} */
function averageColumn(core, board, columns) {
  const parts = columns.filter((column) => board.columns[column].unit === "%" && isTested(board.columns[column]));
  const average = ({ line }) => {
    const means = parts.map((column) => board.cells[line][column]?.mean ?? NaN);
    const known = means.filter((mean) => !Number.isNaN(mean));
    return { mean: known.length ? meanOf(known) : NaN, lacks: parts.filter((_, i) => Number.isNaN(means[i])) };
  };
  return {
    id: "mean",
    title: "Mean",
    unit: "%",
    numeric: true,
    hint: "Unweighted, over the columns shown in per cent; not tested",
    value: (row) => (average(row).lacks.length ? NaN : average(row).mean),
    text: (row) => {
      const { mean, lacks } = average(row);
      return missing(mean)
        ? ""
        : `${score(mean, "%")}${lacks.length ? ` (${parts.length - lacks.length} of ${parts.length})` : ""}`;
    },
    cell: (row) => {
      const { mean, lacks } = average(row);
      if (missing(mean))
        return { class: "none", title: "no column has a number", content: unseen("no column has a number") };
      if (!lacks.length) return score(mean, "%");
      const why = `of ${parts.length - lacks.length} of ${parts.length} columns; missing: ${listed(lacks.map((column) => `${board.columns[column].name} (${absence(core, board, row.line, column)})`))}`;
      return {
        class: "partial",
        title: why,
        content: [
          score(mean, "%"),
          el("span", { class: "noise" }, ` ${parts.length - lacks.length} of ${parts.length}`),
          unseen(why),
        ],
      };
    },
  };
}
