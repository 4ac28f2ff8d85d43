// What overview, explorer and drill-down say of a table's cells alike.

const WORDS = {
  reference: "the reference",
  best: "best",
  tie: "not told apart",
  better: "better",
  worse: "worse",
  differs: "told apart",
  untested: "not tested",
};
const MARKS = { best: "", reference: "", tie: "=", better: "▲", worse: "▼", differs: "▼", untested: "?" };

/** The row of runs behind a line's cell; null where nothing was run. */
function rowOf(core, board, line, column) {
  const { rows, row } = board.lines[line];
  return core.rows[(rows && column in rows ? rows[column] : row) ?? -1] ?? null;
}

/** Why a cell has no number, as words. */
function absence(core, board, line, column) {
  const own = board.lines[line];
  if (!isTested(board.columns[column])) return "a benchmark of the average is missing";
  if (own.columns && !own.columns.includes(column)) return "not planned in this column";
  const runs = rowOf(core, board, line, column)?.runs ?? [];
  const failed = runs.filter((run) => run.status === "failed");
  if (failed.length) return `failed: ${failed[0].failure ?? "without a reason"}`;
  if (runs.some((run) => run.status === "running")) return "still running";
  return runs.length ? "run, but not scored here" : "not run";
}

/** "", or how many seeds a cell lacks: "3 of 5 seeds", "4 of 5 seeds, 1 without a number". */
function partial(board, line, column) {
  const cell = board.cells[line][column];
  if (!cell) return "";
  const planned = Math.max(board.lines[line].planned?.length ?? 0, cell.seeds + cell.lost);
  if (cell.seeds === planned) return "";
  return `${cell.seeds} of ${counted(planned, "seed")}${cell.lost ? `, ${cell.lost} without a number` : ""}`;
}

/** The address that opens a number. */
function opening(board, line, column) {
  return addressOf(currentState().section, {
    open: `${board.name}.${line}.${column}`,
    with: null,
    tab: null,
    page: null,
  });
}

/** A mean as a link to its seeds, runs and items; the text can be selected. */
function numberLink(board, line, column) {
  const { unit } = board.columns[column];
  const cell = board.cells[line][column];
  const text = Number.isNaN(cell.mean) ? "NaN" : score(cell.mean, unit);
  const said = `${board.lines[line].label}, ${board.columns[column].name}: ${text} ${unit}. Open its seeds and items`;
  return el("a", { href: opening(board, line, column), draggable: "false", "aria-label": said, class: "open" }, text);
}

/** The select of what verdicts are against. fallback: what "" means in this section. */
function referenceChoice(id, core, boards, wish, fallback) {
  const labels = new Set(boards.flatMap((board) => board.lines.map((line) => line.label)));
  const options = [
    ["best", "the best of each column"],
    ["printed", "as the printed tables"],
    ...[...labels].map((label) => [label, label]),
  ];
  return choice(id, "Compare with", options, wish || fallback, (ref) => change({ ref: ref === fallback ? "" : ref }));
}

/** What a column is compared with, as a sentence. */
function comparedWith(board, column, judged) {
  const reference = judged.references[column];
  return reference < 0 ? "" : board.lines[reference].label;
}

/** The rule by which a table's verdicts are made. */
function ruleOf(board, wish) {
  const best = board.columns.every((_, column) => asPrinted(board, column, wish));
  return best
    ? "Not told apart from the best: p > 5 % by the exact paired sign-flip test over test items, summed over shared seeds; Holm's correction within the column."
    : "Not told apart: inside the noise of the test items (exact paired sign-flip test, of losses a paired t test; Holm's correction over all differences " +
        `of the ${board.correction === "column" ? "column" : "table"}; 5 %), or of the trainings (95 % bootstrap interval of the seed-by-seed difference has zero in it; known from three shared seeds on).`;
}

/** The row's colour as a mark, its label, and where another line of the column shares it, its layers. */
function methodName(core, board, line, column = null) {
  const own = board.lines[line];
  const twin =
    column !== null && board.lines.some((each, i) => i !== line && each.label === own.label && board.cells[i][column]);
  return [swatch(core, own.method), own.label, twin ? el("span", { class: "small" }, ` ${own.targets}`) : null];
}

/** A line's label, with its layers where it has a twin. */
function lineTitle(board, line, column) {
  const own = board.lines[line];
  const twin = board.lines.some((each, i) => i !== line && each.label === own.label && board.cells[i][column]);
  return twin ? `${own.label}, ${own.targets}` : own.label;
}
