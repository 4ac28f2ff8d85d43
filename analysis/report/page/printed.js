// Part of the paper's section: printed tables and figures, and what was reproduced of them.

/** One printed table or figure, or a twin of it: printed values beside what was reproduced. */
function printedPart(root, core, state) {
  if (!core.paper.length) {
    root.append(el("p", {}, "No experiment of a paper is among these records."));
    return null;
  }
  const paper =
    core.paper.find((each) => each.name === state.get("paper")) ??
    core.paper.find((each) => each.name === "table1") ??
    core.paper[0];
  const columns = printedColumns(core, paper);
  const rows = paper.lines;
  const twin =
    core.paper.find((each) => each.twin_of === paper.name) ?? core.paper.find((each) => each.name === paper.twin_of);
  const ran = rows.some((line) => line.cells.some((cell) => cell?.seeds));
  root.append(
    el(
      "div",
      { class: "controls" },
      choice(
        "paper-table",
        "Table or figure",
        core.paper.map((each) => [each.name, paperTitle(each)]),
        paper.name,
        (name) => change({ paper: name, sort: "" }),
      ),
    ),
    el(
      "p",
      {},
      ran ? "" : "None of its cells has been run here. ",
      twin
        ? el(
            "a",
            { href: addressOf("paper", { paper: twin.name }, GLOBAL) },
            paper.twin_of
              ? `The printed original: ${paperTitle(twin)}`
              : `Its twin on a small model and small data: ${paperTitle(twin)}`,
          )
        : "",
    ),
    copyButtons("paper", () => ({ columns, rows: sortedRows(rows, columns, state.get("sort")) })),
    dataTable({
      id: "paper",
      caption: paperTitle(paper),
      columns,
      rows,
      sort: state.get("sort"),
      onSort: (sort) => change({ sort }),
    }),
    el(
      "p",
      { class: "small legend" },
      "=: the difference to the printed value is inside the noise; ▲ higher, ▼ lower. Hatched: not run. †: a misprint, said below.",
    ),
    ...(paper.misprints?.length
      ? [el("h3", {}, "Misprints of this table"), notes(paper.misprints.map(({ where, text }) => `${where}: ${text}`))]
      : []),
    notes(paper.notes),
  );
  return null;
}

/** `Table 1 of arXiv:2405.19597v1: ...` */
function paperTitle(paper) {
  const number = String(paper.number).replace(/^F/, "");
  const kind = paper.kind === "table" ? "Table" : "Figure";
  return `${paper.twin_of ? "Micro twin of " : ""}${kind} ${number} of ${paper.paper}${paper.twin_of ? "" : `: ${paper.title}`}`;
}

/** @returns {TableColumn[]} of a paper's lines */
function printedColumns(core, paper) {
  const several = (field) => new Set(paper.lines.map((line) => line[field])).size > 1;
  const text = (id, title, of) => ({ id, title, value: of, cell: (line) => of(line) ?? "" });
  const printed = paper.lines.some((line) => line.cells.some((cell) => !missing(cell?.printed)));
  return [
    {
      id: "method",
      title: "Method",
      value: (line) => line.label,
      text: (line) => line.label,
      cell: (line) => [
        line.method ? swatch(core, line.method) : null,
        line.label,
        dagger(misprintsOf(paper, line).filter(({ metric, counts }) => !metric && !counts)),
      ],
    },
    ...(several("model") ? [text("model", "Model", (line) => line.model)] : []),
    ...(several("panel") ? [text("panel", "Panel", (line) => line.panel)] : []),
    text("targets", "Layers", (line) => line.targets),
    ...(paper.lines.some((line) => line.params_printed)
      ? [
          {
            id: "params-printed",
            title: "Trained, printed",
            numeric: true,
            text: (line) => line.params_printed ?? "",
            cell: (line) => [
              line.params_printed ?? "",
              dagger(misprintsOf(paper, line).filter(({ counts }) => counts)),
            ],
          },
        ]
      : []),
    {
      id: "params",
      title: "Trained, counted",
      numeric: true,
      value: (line) => line.params,
      cell: (line) => count(line.params),
    },
    ...paper.metrics.flatMap((metric, place) => [
      ...(printed
        ? [
            {
              id: `p${place}`,
              title: `${metric}, printed`,
              unit: "%",
              numeric: true,
              value: (line) => line.cells[place]?.printed,
              text: (line) => printedText(line.cells[place]),
              cell: (line) => [
                printedText(line.cells[place]),
                dagger(misprintsOf(paper, line).filter((each) => each.metric === metric)),
              ],
            },
          ]
        : []),
      {
        id: `o${place}`,
        title: printed ? "here" : metric,
        unit: "%",
        numeric: true,
        hint: metric,
        value: (line) => line.cells[place]?.reproduced,
        cell: (line) => reproducedCell(core, line, line.cells[place]),
        text: (line) => reproducedText(line.cells[place]),
      },
    ]),
  ];
}

/** A printed value in per cent, two decimals as in the papers. */
function printedText(cell) {
  return missing(cell?.printed) ? "" : fixed(100 * cell.printed, 2);
}

/** Misprints of a line: {where, text, metric: the column's or null, counts: is it the printed count?}. */
function misprintsOf(paper, line) {
  return (paper.misprints ?? []).flatMap((each) => {
    const at = each.where.indexOf(line.label);
    const rest = each.where.slice(at + line.label.length);
    if (
      at < 0 ||
      !each.where.includes(line.model) ||
      !/^(,| on |$)/.test(rest) ||
      (rest.startsWith(" on ") && !rest.startsWith(` on ${line.targets}`))
    )
      return [];
    const metric = paper.metrics.find((name) => rest.endsWith(`, ${name}`)) ?? null;
    return [{ ...each, metric, counts: rest.startsWith(" on ") || rest.includes("parameters") }];
  });
}

/** A mark that says the misprints when it is pointed at; nothing where there is none. */
function dagger(misprints) {
  return misprints.length
    ? el("sup", { class: "wrong", title: misprints.map(({ text }) => text).join("\n") }, "†", unseen(" misprint"))
    : null;
}

const COMPARED = { "inside noise": "=", higher: "▲", lower: "▼" };

/** Mean, interval and the verdict against the printed value; opens its runs where a table has them. */
function reproducedCell(core, line, cell) {
  if (!cell || !cell.seeds)
    return {
      class: "none",
      title: cell ? `not run: ${cell.command ?? ""}` : "not in the table",
      content: unseen(cell ? "not run" : "not in the table"),
    };
  const place = findCell(core, cell);
  const value = score(cell.reproduced, "%");
  const shown = place
    ? el(
        "a",
        {
          class: "open",
          draggable: "false",
          href: opening(...place),
          "aria-label": `${line.label}: ${value} %. Open its seeds and items`,
        },
        value,
      )
    : value;
  const noise = missing(cell.low) ? "" : `[${score(cell.low, "%")}, ${score(cell.high, "%")}]`;
  const difference = missing(cell.difference)
    ? ""
    : `${cell.difference > 0 ? "+" : ""}${fixed(cell.difference, 1)} points, ${cell.verdict ?? ""}`;
  return {
    title: [difference, counted(cell.seeds, "seed")].filter(Boolean).join("; "),
    content: [
      shown,
      " ",
      el("span", { class: "noise" }, noise),
      el("span", { class: "mark", "aria-hidden": "true" }, COMPARED[cell.verdict] ?? ""),
      cell.verdict ? unseen(cell.verdict) : null,
    ],
  };
}

/** A reproduced cell as it is copied. */
function reproducedText(cell) {
  if (!cell?.seeds) return "";
  return [
    score(cell.reproduced, "%"),
    missing(cell.low) ? "" : `[${score(cell.low, "%")}, ${score(cell.high, "%")}]`,
    COMPARED[cell.verdict] ?? "",
  ]
    .filter(Boolean)
    .join(" ");
}

/** [board, line, column] that has the runs and the mean of a paper's cell; null where none has. */
function findCell(core, cell) {
  if (cell.row === null || cell.row === undefined) return null;
  for (const board of core.boards) {
    for (let line = 0; line < board.lines.length; line++) {
      if (board.lines[line].row !== cell.row) continue;
      const column = board.columns.findIndex(
        (each, i) =>
          board.cells[line][i] &&
          ["benchmark", "split", "scorer"].every((name) => each[name] === cell[name]) &&
          Math.abs(board.cells[line][i].mean - cell.reproduced) < 1e-9,
      );
      if (column >= 0) return [board, line, column];
    }
  }
  return null;
}
