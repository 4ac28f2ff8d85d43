// Section: two methods over all tables in which both have a score.

const USUAL = ["SVFT-R (d=8)", "LoRA (r=8)"]; // what is compared until the reader says otherwise

/** Two methods, a line for each column that scored both, and how often which is better. */
function versusSection(root, core, state) {
  const labels = [...new Set(core.boards.flatMap((board) => board.lines.map(({ label }) => label)))].sort((a, b) =>
    a.localeCompare(b, "en", { numeric: true }),
  );
  const usual = USUAL.every((label) => labels.includes(label)) ? USUAL : [labels[0], labels[1] ?? labels[0]];
  const [one, other] = ["a", "b"].map((name, i) =>
    labels.includes(state.get(name)) ? state.get(name) : usual[i],
  );
  const rows = meetings(core, one, other);
  const columns = versusColumns(core, one, other);
  const pick = (id, title, value) =>
    choice(
      `versus-${id}`,
      title,
      labels.map((label) => [label, label]),
      value,
      (label) => change({ [id]: label }),
    );
  root.append(
    el("h2", {}, "Two methods"),
    el(
      "div",
      { class: "controls" },
      pick("a", "First", one),
      pick("b", "Second", other),
      button("Swap", () => change({ a: other, b: one }), { id: "versus-swap" }),
    ),
    el("p", { class: "lead", id: "versus-said", "aria-live": "polite" }, versusWords(rows, one, other)),
  );
  if (!rows.length) return null;
  root.append(
    copyButtons("versus", () => ({ columns, rows: sortedRows(rows, columns, state.get("sort")) })),
    dataTable({
      id: "versus",
      caption: "",
      label: `${one} and ${other}, column by column`,
      columns,
      rows,
      sort: state.get("sort"),
      onSort: (sort) => change({ sort }),
    }),
    el(
      "p",
      { class: "small legend" },
      `Difference: ${one} minus ${other}, over the seeds that both have, with its 95 % bootstrap interval. Verdicts are by the tests of the comparisons, corrected (Holm) over the lines shown here, so they may differ from a table's. `,
      "Tasks of small, shipped models are among them: the column Base says which. A pair of runs that stands in several tables, or that several scorers scored, is shown once.",
    ),
  );
  return null;
}

/** "Better in 3 of 12 columns, worse in 1, not told apart in 8." */
function versusWords(rows, one, other) {
  if (one === other) return "These are one method.";
  if (!rows.length) return `No column has a score of both ${one} and ${other}.`;
  const number = (verdict) => rows.filter((row) => row.found?.verdict === verdict).length;
  const untested = rows.length - ["better", "worse", "tie"].reduce((sum, verdict) => sum + number(verdict), 0);
  return `${one} against ${other}, ${counted(rows.length, "column")}: better in ${number("better")}, worse in ${number("worse")}, not told apart in ${number("tie")}${untested ? `, not tested in ${untested}` : ""}.`;
}

/** Each pair of cells of a benchmark once, by its first scorer, with its difference. Of lines of one label those with equal layers meet. */
function meetings(core, one, other) {
  const seen = new Set();
  const found = core.boards.flatMap((board) =>
    board.columns.flatMap((each, column) => {
      if (!isTested(each) || one === other) return [];
      const lines = (label) =>
        board.lines.map((_, line) => line).filter((line) => board.lines[line].label === label && board.cells[line][column]);
      return lines(one).flatMap((a) =>
        lines(other)
          .filter((b) => board.lines[a].model === board.lines[b].model)
          .filter((b, _, all) => all.length === 1 || board.lines[a].targets === board.lines[b].targets)
          .map((b) => ({ board, column, a, b, cells: [a, b].map((line) => board.cells[line][column]) })),
      );
    }),
  );
  const once = found.filter(({ board, column, cells }) => {
    const { benchmark } = board.columns[column];
    const key = JSON.stringify([benchmark, cells.map(({ outcomes }) => outcomes.map(({ run }) => run))]);
    return !seen.has(key) && seen.add(key);
  });
  const differences = new Map(
    differencesOf(
      once.map((row, i) => ({
        name: i,
        one: row.cells[0].outcomes,
        other: row.cells[1].outcomes,
        lower: row.board.columns[row.column].lower,
      })),
    ),
  );
  return once.map((row, i) => ({ ...row, found: differences.get(i) }));
}

/** @returns {TableColumn[]} of `meetings` */
function versusColumns(core, one, other) {
  const unit = ({ board, column }) => board.columns[column].unit;
  const mean = (side) => ({
    id: `mean${side}`,
    title: [one, other][side],
    numeric: true,
    value: ({ cells }) => cells[side].mean,
    text: (row) => `${score(row.cells[side].mean, unit(row))} ${noiseText(row.cells[side], unit(row))}`.trim(),
    cell: (row) => [
      numberLink(row.board, [row.a, row.b][side], row.column),
      " ",
      el("span", { class: "noise" }, noiseText(row.cells[side], unit(row))),
    ],
  });
  const trained = (side) => ({
    id: `params${side}`,
    title: `Trained, ${side ? "second" : "first"}`,
    numeric: true,
    value: (row) => row.board.lines[[row.a, row.b][side]].params,
    cell: (row) => count(row.board.lines[[row.a, row.b][side]].params),
  });
  const text = (id, title, of) => ({ id, title, value: of, cell: of });
  return [
    text("column", "Column", ({ board, column }) => {
      const { name } = board.columns[column];
      return board.kind === "comparison" ? name : `${boardTitle(board)}: ${name}`;
    }),
    text("base", "Base", ({ board, a, column }) => board.lines[a].model ?? rowOf(core, board, a, column)?.model_label),
    {
      id: "difference",
      title: "Difference",
      numeric: true,
      value: ({ found }) => found?.mean,
      cell: (row) => differenceText(row.found, unit(row)),
    },
    text("verdict", "Verdict", ({ found }) => WORDS[found?.verdict] ?? "no shared seed"),
    { id: "p", title: "p", numeric: true, value: ({ found }) => found?.p, cell: ({ found }) => pValue(found?.p) },
    mean(0),
    mean(1),
    { id: "unit", title: "Unit", value: unit, cell: unit },
    trained(0),
    trained(1),
    text("layers", "Layers", ({ board, a, b }) => [...new Set([a, b].map((line) => board.lines[line].targets))].join(" / ")),
    { id: "seeds", title: "Shared seeds", numeric: true, value: ({ found }) => found?.seeds, cell: ({ found }) => count(found?.seeds) },
  ];
}
