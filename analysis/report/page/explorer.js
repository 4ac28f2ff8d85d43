// Section: any table, filtered, sorted, with the columns that the reader wants, copied as it is shown.

const EVERY = "all"; // every score of every table of results, one line each

/** A table, or every score, with its controls. */
function explorerSection(root, core, state) {
  const board = core.boardOf.get(state.get("board")) ?? (state.get("board") === EVERY ? null : core.boards[0]);
  const wish = state.get("ref");
  const places = board ? chosenColumns(board, state.get("column")) : [];
  const all = board ? boardRows(core, board, wish, places) : everyRow(core);
  const columns = board ? boardColumns(core, board, places) : everyColumns(core);
  const wanted = state.get("cols").split(",").filter(Boolean);
  const shown = columns.filter(
    (column) => (wanted.length ? wanted.includes(column.id) : column.on) || column.id === "method",
  );
  const rows = filtered(core, all, state);
  const sorted = () => ({
    columns: shown,
    rows: sortedRows(rows, shown, state.get("sort")),
    note: board ? `${boardTitle(board)}. ${againstWords(board, wish)}= not told apart, ▲ better, ▼ worse. ${BRACKETS}` : "",
  });
  root.append(
    el("h2", {}, "Explorer"),
    el(
      "div",
      { class: "controls" },
      choice(
        "explorer-board",
        "Table",
        [...core.boards.map((each) => [each.name, boardTitle(each)]), [EVERY, "Every score of every task"]],
        board?.name ?? EVERY,
        (name) =>
          change(
            Object.fromEntries([["board", name], ...["cols", "sort", "column", ...FILTERS].map((each) => [each, ""])]),
          ),
      ),
      board?.columns.length > 1
        ? choice(
            "explorer-column",
            "Column",
            [["all", "all"], ...board.columns.map((each, i) => [i, each.name])],
            places.length > 1 ? "all" : places[0],
            (column) => change({ column, cols: "", sort: "" }),
          )
        : null,
      board ? referenceChoice("explorer-ref", core, [board], wish, "printed") : null,
    ),
    filterControls(core, all, state),
    columnControls(columns, shown),
  );
  root.append(
    el(
      "div",
      { class: "above" },
      el(
        "p",
        { id: "explorer-count", class: "small" },
        `${counted(rows.length, "line")} of ${count(all.length)}${board ? "" : "; no verdicts here, as tables are corrected apart"}.`,
      ),
      copyButtons("explorer", sorted),
    ),
  );
  root.append(
    dataTable({
      id: "explorer",
      caption: board?.title ?? "Every score of every task",
      columns: shown,
      rows,
      sort: state.get("sort"),
      onSort: (sort) => change({ sort }),
    }),
  );
  if (!rows.length)
    root.append(
      el(
        "p",
        {},
        "No line is left. ",
        button("Clear the filters", () => change(Object.fromEntries(FILTERS.map((each) => [each, ""])))),
      ),
    );
  if (board) root.append(el("p", { class: "legend small" }, legend(board, wish)), notes(board.notes));
}

/** A table's title; where it has none, its name. */
function boardTitle(board) {
  const models = [...new Set(board.columns.map((column) => column.model))];
  return board.title || `${board.name}: ${models.join(", ")}`;
}

const BRACKETS = "Brackets: 95 % bootstrap interval over seeds; ±: standard error over items. ";

/** "Compared with LoRA (r=8). " */
function againstWords(board, wish) {
  const judged = judge(board, wish);
  const against = [...new Set(board.columns.map((_, column) => comparedWith(board, column, judged)).filter(Boolean))];
  return against.length ? `Compared with ${listed(against)}. ` : "No run has a score. ";
}

/** What marks, brackets and verdicts mean in this table. */
function legend(board, wish) {
  return [
    el("b", {}, againstWords(board, wish)),
    el("br"),
    ...[
      ["", "=", "not told apart"],
      ["up", "▲", "better"],
      ["down", "▼", "worse, or told apart from the best"],
      ["", "?", "not tested"],
      ["up", "◆", "reference"],
    ].map(([kind, mark, word]) =>
      el("span", { class: `sign ${kind}` }, el("b", { class: mark === "=" ? "alike" : null }, mark), ` ${word}`),
    ),
    el("br"),
    `${BRACKETS}An empty cell says why when it is pointed at. `,
    ruleOf(board, wish),
  ];
}

/** Columns that are shown: all, or one. Where no line is in two of them, as panels of different models are, the first. */
function chosenColumns(board, wish) {
  const all = board.columns.map((_, column) => column);
  if (all.includes(Number(wish)) && wish !== "") return [Number(wish)];
  const apart = board.lines.every((line) => (line.columns ?? all).length < 2);
  return apart && all.length && wish !== "all" ? [0] : all;
}

/** Lines of a table that are in one of the shown columns. @returns {ExplorerRow[]} */
function boardRows(core, board, wish, places) {
  const judged = judge(board, wish);
  return board.lines
    .map((own, line) => ({
      board,
      line,
      own,
      row: rowOf(core, board, line, places.length > 1 ? -1 : places[0]),
      places,
      judged,
    }))
    .filter(({ own }) => !places.length || (own.columns ?? places).some((column) => places.includes(column)));
}

/** All columns of a table; `on`: is it shown until the reader says otherwise? */
function boardColumns(core, board, places) {
  const many = places.length > 2;
  const scores = places.flatMap((column) => scoreColumns(core, board, column));
  scores.forEach(
    (column) =>
      (column.on = column.id.startsWith("c") || (!many && board.kind === "comparison" && /^[dv]/.test(column.id))),
  );
  const own = places.some((column) => !isTested(board.columns[column]));
  const { columns } = board;
  const first = (column) => columns.findIndex((each) => each.benchmark === columns[column].benchmark) === column;
  const parts = places.filter((column) => columns[column].unit === "%" && first(column)); // one scorer a benchmark
  const average =
    !own && parts.length > 2 && board.kind === "results" ? [{ ...averageColumn(core, board, parts), on: true }] : [];
  const usual = [
    "method",
    "layers",
    "trained",
    "seeds",
    ...(board.kind === "comparison" ? ["rate"] : ["step", "file"]),
  ];
  return [
    ...lineColumns(core, false).map((column) => ({ ...column, on: usual.includes(column.id) })),
    ...scores,
    ...average,
  ];
}

/** One line a score of the tables of results. @returns {ExplorerRow[]} */
function everyRow(core) {
  return core.boards
    .filter((board) => board.kind === "results")
    .flatMap((board) =>
      board.lines.flatMap((own, line) =>
        board.columns.flatMap((column, place) =>
          board.cells[line][place] && isTested(column)
            ? [{ board, line, own, column: place, row: rowOf(core, board, line, place), judged: null }]
            : [],
        ),
      ),
    );
}

/** The columns of `everyRow`'s table. */
function everyColumns(core) {
  const unit = ({ board, column }) => board.columns[column].unit;
  const mean = ({ board, line, column }) => board.cells[line][column].mean;
  const usual = ["method", "task", "base", "benchmark", "layers", "trained", "seeds"];
  return [
    ...lineColumns(core, true).map((column) => ({ ...column, on: usual.includes(column.id) })),
    {
      id: "score",
      title: "Score",
      numeric: true,
      on: true,
      value: mean,
      cell: ({ board, line, column }) => scoreCell(core, board, line, column, null),
      text: ({ board, line, column }) => scoreText(board, line, column, null),
    },
    { id: "unit", title: "Unit", on: true, value: unit, cell: unit },
  ];
}
