// A tile's rows: name, interval and mean of each line, and the band of those that are not told apart.

const [FOLDED, MOST] = [9, 16]; // rows of a tile before it is opened; at most, to show all that are alike
const unfolded = new Set();

/** Rows of name, interval and mean; the band of those that are not told apart. */
function forest(core, board, column, judged, lines) {
  const key = `${board.name}.${column}`;
  const last = lines.findLastIndex((line) => inGroup(judged.at(line, column)?.verdict));
  const few = Math.min(Math.max(FOLDED, last + 1), MOST);
  const show = unfolded.has(key) || lines.length <= few + 2 ? lines : lines.slice(0, few);
  const scale = forestScale(board, column, show);
  const table = el(
    "table",
    { class: "forest" },
    el("caption", { class: "unseen" }, `${board.columns[column].name}: mean, interval and verdict`),
    el(
      "colgroup",
      {},
      ["name", "interval", "mean", "verdict"].map((part) => el("col", { class: `${part}-column` })),
    ),
    el(
      "thead",
      { class: "unseen" },
      el(
        "tr",
        {},
        ["Method", "Interval", "Mean", "Verdict"].map((text) => el("th", { scope: "col" }, text)),
      ),
    ),
    el(
      "tbody",
      {},
      show.map((line) => forestRow(core, board, column, line, judged, scale)),
    ),
  );
  if (show.length === lines.length) return table;
  const more = button(
    `${lines.length - show.length} more`,
    () => {
      unfolded.add(key);
      const whole = forest(core, board, column, judged, lines);
      box.replaceWith(whole);
      whole.querySelectorAll("a")[few]?.focus();
    },
    { class: "quiet small" },
  );
  const box = el("div", {}, table, more);
  return box;
}

/** Score -> place from 0 to 100 on a column's common axis. */
function forestScale(board, column, lines) {
  const ends = lines.flatMap((line) => {
    const { mean, low, high, error } = board.cells[line][column];
    return [low ?? mean - (error ?? 0), high ?? mean + (error ?? 0)];
  });
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  return (x) => (most === least ? 50 : 3 + (94 * (x - least)) / (most - least));
}

/** One line: name, interval, mean, mark. */
function forestRow(core, board, column, line, judged, scale) {
  const cell = board.cells[line][column];
  const verdict = judged.at(line, column)?.verdict;
  const [low, high] = [cell.low ?? cell.mean - (cell.error ?? 0), cell.high ?? cell.mean + (cell.error ?? 0)];
  const colour = colourOf(core, board.lines[line].method);
  const anchor = board.cells[judged.references[column]]?.[column]; // none, where the reference was not run yet
  const strip = svg(
    "svg",
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "strip", "aria-hidden": "true" },
    ...(anchor
      ? [svg("line", { x1: scale(anchor.mean), x2: scale(anchor.mean), y1: 0, y2: 10, class: "rule" })]
      : []),
    svg("line", { x1: scale(low), x2: scale(high), y1: 5, y2: 5, stroke: colour, class: "bar" }),
    svg("line", { x1: scale(cell.mean), x2: scale(cell.mean), y1: 5, y2: 5, stroke: colour, class: "dot" }),
  );
  const noise = noiseText(cell, board.columns[column].unit);
  return el(
    "tr",
    {
      class: `v-${verdict ?? "none"}${inGroup(verdict) ? " alike" : ""}`,
      title: `${board.lines[line].label}: ${noise}${verdict ? `, ${WORDS[verdict]}` : ""}; ${counted(cell.seeds, "seed")}`,
    },
    el("th", { scope: "row" }, methodName(core, board, line, column), verdict === "reference" ? " ◆" : ""),
    el("td", {}, strip),
    el("td", { class: "number" }, numberLink(board, line, column)),
    el(
      "td",
      { class: "mark" },
      el("span", { "aria-hidden": "true" }, MARKS[verdict] ?? ""),
      unseen(WORDS[verdict] ?? ""),
    ),
  );
}
