// Section: what can be told apart, table by table.

/** A tile for each column that has a score. Tiles are filled in turns, so that the first is there at once. */
function overviewSection(root, core, state) {
  const wish = state.get("ref", "best");
  root.append(
    summary(core),
    el(
      "div",
      { class: "controls" },
      referenceChoice("overview-ref", core, core.boards, state.get("ref"), "best"),
      choice(
        "overview-goto",
        "Go to",
        [["", "a table"], ...core.boards.filter((board) => ownColumns(board).length).map((board) => [board.name, boardTitle(board)])],
        "",
        (name) => document.getElementById(`board-${name}`)?.scrollIntoView(),
      ),
      el(
        "p",
        { class: "small legend" },
        el("span", { class: "key" }),
        wish === "best"
          ? "Shaded: the best and what cannot be told apart from it. Within it there is no order."
          : "Shaded: what cannot be told apart from the reference (◆).",
        " Bars: 95 % interval over seeds; of one seed the standard error over items.",
      ),
      el(
        "details",
        {},
        el("summary", { id: "how-to-read" }, "How to read it"),
        el(
          "p",
          { class: "small" },
          "Smallest difference that could be seen: a true difference of that size is found four times in five by a test of one pair alone. ",
          "Given are the median over the rows, the least and the most. A smaller one may have been found, with luck.",
        ),
        el(
          "p",
          { class: "small" },
          "Each table is corrected for its own comparisons, so the same pair may have another verdict in another table.",
        ),
      ),
    ),
  );
  const tasks = [];
  const boards = el("div", { class: "tiles" });
  root.append(boards);
  for (const board of core.boards) {
    const filled = ownColumns(board);
    if (!filled.length) continue;
    const tiles = el("div", { class: "tiles" });
    boards.append(
      el(
        "section",
        { class: `board ${["", "one", "two"][filled.length] ?? "many"}`, "aria-labelledby": `board-${board.name}` },
        el(
          "h3",
          { id: `board-${board.name}` },
          board.title,
          " ",
          el(
            "a",
            { href: addressOf("explorer", { board: board.name }, GLOBAL), class: "small" },
            "open the table",
            unseen(` ${board.title}`),
          ),
        ),
        tiles,
      ),
    );
    filled.forEach((column) => {
      const tile = el("article", { class: "tile", "aria-busy": "true" }, el("h4", {}, tileTitle(board, column)));
      tiles.append(tile);
      tasks.push(() => fillTile(tile, core, board, column, wish));
    });
  }
  root.append(notRun(core));
  tasks.push(() => countAlike(core, wish));
  return inTurns(tasks);
}

/** Columns with a score, without those whose scores are all in the column of a comparison, which is shown. */
const ownColumns = (board) =>
  board.columns
    .map((_, column) => column)
    .filter((column) => !board.columns[column].covered && scoredLines(board, column).length);

/** Tasks one after another, the browser drawing between them. Stops where the section has gone. */
async function inTurns(tasks) {
  let began = performance.now();
  for (const task of tasks) {
    if (task() === false) return;
    if (performance.now() - began > 30) {
      await new Promise((next) => setTimeout(next));
      began = performance.now();
    }
  }
}

/** What was run, in numbers. */
function summary(core) {
  const { about } = core;
  const many = (n, word) => [count(n), n === 1 ? word : `${word}s`];
  const facts = [
    [count(about.done), `of ${counted(about.runs, "run")} finished`],
    many(about.tasks, "task"),
    many(about.models, "base"),
    many(new Set(core.rows.map((row) => row.method)).size, "method"),
    [about.train_hours ? three(about.train_hours) : "", "hours of training"],
    [about.failed ? count(about.failed) : "", "failed"],
    [about.running ? count(about.running) : "", "still running"],
  ];
  return el(
    "div",
    {},
    el("h2", { id: "heading" }, "What can be told apart"),
    el(
      "p",
      { class: "lead" },
      "Ranks hide noise. Each table below shows which methods its seeds and test items can tell apart, and which they cannot. Every number opens. ",
      el("span", { id: "alike" }),
    ),
    el(
      "dl",
      { class: "facts" },
      facts.filter(([n]) => n).map(([n, word]) => el("div", {}, el("dt", {}, word), el("dd", {}, n))),
    ),
  );
}

/** How many scores their tables cannot tell from what they are compared with. */
function countAlike(core, wish) {
  const place = document.getElementById("alike");
  if (!place) return false;
  const verdicts = core.boards.flatMap((board) =>
    ownColumns(board).flatMap((column) =>
      scoredLines(board, column).map((line) => judge(board, wish).at(line, column)?.verdict),
    ),
  );
  const tested = verdicts.filter((verdict) => ["tie", "differs", "better", "worse"].includes(verdict));
  const ties = tested.filter((verdict) => verdict === "tie").length;
  place.textContent = tested.length
    ? `${count(ties)} of ${count(tested.length)} comparisons with ${wish === "best" ? "the best of a column" : "the reference"} cannot be told apart.`
    : "";
  return true;
}

/** A column's name and unit. */
function tileTitle(board, column) {
  const { name, unit, lower } = board.columns[column];
  return [name, el("span", { class: "unit" }, ` ${unit}${lower ? ", lower is better" : ""}`)];
}

/** Groups, rows and notes of one column. @returns {boolean} false where the section has gone */
function fillTile(tile, core, board, column, wish) {
  if (!tile.isConnected) return false;
  const judged = judge(board, wish);
  const lines = rankedLines(board, column);
  if (!lines.length) return true;
  tile.append(
    groupSentence(board, column, judged, lines, wish),
    forest(core, board, column, judged, lines),
    tileNotes(core, board, column, judged, lines),
  );
  tile.removeAttribute("aria-busy");
  return true;
}

/** Lines with a score in a column, the best first. */
function rankedLines(board, column) {
  const turn = board.columns[column].lower ? 1 : -1;
  return scoredLines(board, column).sort((a, b) => turn * (board.cells[a][column].mean - board.cells[b][column].mean));
}

const inGroup = (verdict) => ["best", "reference", "tie"].includes(verdict);

/** a, b, c and 7 more. */
function shortly(names) {
  return names.length > 9 ? `${names.slice(0, 8).join(", ")} and ${names.length - 8} more` : listed(names);
}

/** "Best, not told apart: ..." */
function groupSentence(board, column, judged, lines, wish) {
  const reference = judged.references[column];
  const named = (wanted) =>
    lines
      .filter((line) => wanted.includes(judged.at(line, column)?.verdict) && line !== reference)
      .map((line) => lineTitle(board, line, column));
  const best = reference === bestLine(board, column);
  const [ties, better] = [named(["tie"]), named(["better"])];
  const who = lineTitle(board, reference, column);
  if (lines.length < 2) return el("p", { class: "group" }, `Only ${board.lines[lines[0]].label} has a score.`);
  const start = best ? "Best" : "Reference";
  const other =
    wish && !["best", "printed"].includes(wish) && board.lines[reference].label !== wish ? `${wish} has no score here, so this is compared with ${who}. ` : "";
  const alike = ties.length
    ? [el("b", {}, `${start}, not told apart: `), shortly([who, ...ties]), "."]
    : [
        el("b", {}, `${start}: `),
        who,
        !isTested(board.columns[column]) || named(["untested"]).length
          ? ". Others are not tested."
          : best
            ? ", told apart from all others."
            : ".",
      ];
  return el(
    "p",
    { class: "group" },
    other,
    alike,
    !best && better.length ? [" ", el("b", {}, "Better: "), shortly(better), "."] : null,
  );
}

/** Smallest visible difference, and what is missing. */
function tileNotes(core, board, column, judged, lines) {
  const anchor = judged.references[column];
  const { unit } = board.columns[column];
  const against = board.cells[anchor]?.[column]; // none, where the reference was not run yet
  const found = lines
    .filter((line) => against && line !== anchor)
    .map((line) => smallestBetween(board.cells[line][column].outcomes, against.outcomes))
    .filter((x) => x !== null)
    .sort((a, b) => a - b);
  const points = (x) => score(x, unit);
  const middle = (found[Math.floor((found.length - 1) / 2)] + found[Math.floor(found.length / 2)]) / 2;
  const smallest = found.length
    ? `Smallest difference that could be seen: ${points(middle)}${found.length > 1 ? ` (${points(found[0])} to ${points(found.at(-1))})` : ""} ${pointsOf(unit)}.`
    : lines.length > 1 && against
      ? "Smallest difference that could be seen: not known, fewer than two shared seeds."
      : "";
  const absent = board.lines
    .map((each, line) => line)
    .filter((line) => board.lines[line].columns?.includes(column) && !board.cells[line][column]);
  const few = lines.filter((line) => partial(board, line, column));
  const first = against ?? board.cells[lines[0]][column];
  return el(
    "p",
    { class: "small tile-notes" },
    `${first.n ? `${counted(first.n, "item")}. ` : ""}${smallest}`,
    absent.length && isTested(board.columns[column])
      ? ` Without a number: ${grouped(board, column, absent, (line) => absence(core, board, line, column))}.`
      : "",
    few.length
      ? ` Not all seeds: ${grouped(board, column, few, (line) => partial(board, line, column))}.`
      : "",
  );
}

/** "A, B (not run); C (failed)": lines by the words of each. */
function grouped(board, column, lines, words) {
  const found = new Map();
  for (const line of lines) found.set(words(line), [...(found.get(words(line)) ?? []), line]);
  return [...found]
    .map(([why, those]) => `${shortly(those.map((line) => lineTitle(board, line, column)))} (${why})`)
    .join("; ");
}

/** All that is planned and has no number, what failed, and what is not counted. */
function notRun(core) {
  const failures = core.rows.flatMap((row) =>
    row.runs
      .filter((run) => run.status === "failed")
      .map((run) => `${row.label}, ${row.task_label}, ${row.model_label}, seed ${run.seed}: ${run.failure ?? "without a reason"}`),
  );
  const plans = core.boards.flatMap((board) => {
    const cells = board.lines.flatMap((line, i) => (line.columns ?? []).map((column) => [i, column]));
    const empty = cells.filter(([line, column]) => !board.cells[line][column] && isTested(board.columns[column]));
    const few = cells.filter(([line, column]) => partial(board, line, column));
    return empty.length || few.length ? [{ board, cells: cells.length, empty, few }] : [];
  });
  return el(
    "section",
    { "aria-labelledby": "not-run" },
    el("h3", { id: "not-run" }, "What has not been run"),
    plans.length
      ? dataTable({
          id: "plans",
          caption: "",
          label: "Planned and not run",
          rows: plans,
          columns: [
            {
              id: "table",
              title: "Table",
              cell: ({ board }) => el("a", { href: addressOf("explorer", { board: board.name }, GLOBAL) }, board.title),
            },
            { id: "cells", title: "Cells planned", numeric: true, cell: ({ cells }) => count(cells) },
            { id: "empty", title: "Without a number", numeric: true, cell: ({ empty }) => count(empty.length) },
            { id: "few", title: "With fewer seeds than planned", numeric: true, cell: ({ few }) => count(few.length) },
            {
              id: "why",
              title: "Why",
              cell: ({ board, empty }) =>
                [...new Set(empty.map(([line, column]) => absence(core, board, line, column)))].slice(0, 3).join("; "),
            },
          ],
        })
      : el(
          "p",
          {},
          core.boards.some((board) => board.lines.some((line) => line.planned))
            ? "All that was planned has a number."
            : "These tables show what was run; no plan is among the records.",
        ),
    failures.length ? [el("h4", {}, "Failed"), notes(failures)] : "",
    notes(core.about.left_out),
  );
}
