// Verdicts of a table: the twins of analysis/statistics/paired.py and of the tests in analysis/pages/results.py.

/** A column of means over benchmarks is not tested. */
const isTested = (column) => column.tested !== false;

/**
 * An Outcome (store.js) is one run's score on one column: seed; mean in rates or nats, NaN where a finished run has no
 * number; n items; data: place of their set; items: 0 or 1 each, or null; values: nats by item, or null; run; error over
 * items.
 * @typedef {{mean: number, low: number|null, high: number|null, seeds: number, p: number|null, verdict: string}}
 *   Difference   first minus second; low and high over seeds; p adjusted
 */

/** @param {Outcome[]} outcomes @returns {Map} items or values by data and seed */
function bySeed(outcomes, name) {
  return new Map(outcomes.map((each) => [`${each.data} ${each.seed}`, each[name]]));
}

/** Of one pair, unadjusted. */
function pairTest(one, other) {
  if (one.some((each) => each.values?.length)) return pairedT(bySeed(one, "values"), bySeed(other, "values"));
  return pairedP(bySeed(one, "items"), bySeed(other, "items"));
}

/** First minus second, with an adjusted p; null where no seed is shared. @returns {Difference|null} */
function differenceOf(one, other, p, lower) {
  const means = new Map(other.map((each) => [each.seed, each.mean]));
  const own = one.filter((each) => means.has(each.seed)).map((each) => rounded(each.mean - means.get(each.seed)));
  if (!own.length) return null;
  const mean = meanOf(own);
  const [low, high] = bootstrapInterval(own) ?? [null, null];
  return { mean, low, high, seeds: own.length, p, verdict: pairVerdict(mean, low, high, p, lower) };
}

/** tie: inside the noise of the items or, where the interval over seeds is known, of the trainings. */
function pairVerdict(mean, low, high, p, lower) {
  if (p === null || Number.isNaN(mean)) return "untested";
  if (p > LEVEL || (low !== null && low <= 0 && high >= 0)) return "tie";
  return mean < 0 === lower ? "better" : "worse";
}

/** @param {Array<{name: *, one: Outcome[], other: Outcome[], lower: boolean}>} pairs Holm over all of them */
function differencesOf(pairs) {
  const tests = pairs.map((pair) => pairTest(pair.one, pair.other));
  const tested = tests.filter((p) => p !== null);
  const adjusted = holm(tested).values();
  return pairs.map(({ name, one, other, lower }, i) => {
    const p = tests[i] === null ? null : adjusted.next().value;
    return [name, differenceOf(one, other, p, lower)];
  });
}

/** Mean, interval or standard error of one cell, as the tables show them. @param {Outcome[]|null} outcomes */
function cellOf(outcomes) {
  if (!outcomes?.length) return null;
  const means = outcomes.map((each) => each.mean).filter((mean) => !Number.isNaN(mean));
  const [mean, first] = [meanOf(means), outcomes[0]];
  const extreme = outcomes.length === 1 && (mean === 0 || mean === 1) && first.items;
  const error = outcomes.length === 1 && !extreme ? first.error || null : null;
  let ends;
  const interval = () =>
    (ends ??= (extreme
      ? wilsonInterval(mean, first.items.length)
      : outcomes.length > 1 && bootstrapInterval(outcomes.map((each) => each.mean))) || [null, null]);
  return {
    mean,
    error,
    seeds: means.length, // with a number
    lost: outcomes.length - means.length, // whose score is no number
    n: first.n,
    outcomes,
    get low() {
      return interval()[0];
    },
    get high() {
      return interval()[1];
    },
  };
}

/** The line with the best mean of a column; -1 where none has one. */
function bestLine(board, column) {
  const { lower } = board.columns[column];
  const scored = scoredLines(board, column);
  let best = scored[0] ?? -1;
  for (const line of scored) {
    const [mean, most] = [line, best].map((each) => board.cells[each][column].mean);
    if (lower ? mean < most : mean > most) best = line;
  }
  const { best: first } = board.columns[column]; // which of equal means the printed table calls the best
  return scored.includes(first) && board.cells[first][column].mean === board.cells[best][column].mean ? first : best;
}

/** Lines with a mean in a column. */
function scoredLines(board, column) {
  return board.lines
    .map((_, line) => line)
    .filter((line) => board.cells[line][column] && !Number.isNaN(board.cells[line][column].mean));
}

/** Line that a column is compared with. wish: "" or "printed": as the table; "best"; or a method's label. */
function referenceOf(board, column, wish) {
  const own = board.columns[column].reference;
  if (wish === "best") return bestLine(board, column);
  if (wish && wish !== "printed") {
    const line = board.lines.findIndex((each, i) => each.label === wish && board.cells[i][column]);
    if (line >= 0) return line;
    if (!board.cells[own]?.[column]) return bestLine(board, column);
  }
  return own ?? bestLine(board, column);
}

/** Does a column keep the printed test against its best line? */
function asPrinted(board, column, wish) {
  return board.kind === "results" && referenceOf(board, column, wish) === bestLine(board, column);
}

/**
 * Verdicts of a whole table. @returns {{references: number[], at: (line: number, column: number) => Difference|null}}
 * verdict: "reference" (or "best"), "better", "worse", "tie", "untested"; of a printed table of results "best", "tie", "differs".
 */
function judge(board, wish) {
  board.judged ??= new Map();
  if (!board.judged.has(wish)) board.judged.set(wish, judgeAnew(board, wish));
  return board.judged.get(wish);
}

/** As `judge`, not remembered. */
function judgeAnew(board, wish) {
  const references = board.columns.map((_, column) => referenceOf(board, column, wish));
  const found = board.lines.map(() => board.columns.map(() => null));
  const groups = new Map(); // pairs that are corrected together
  board.columns.forEach((column, place) => {
    if (references[place] < 0 || !isTested(column)) return;
    if (asPrinted(board, place, wish)) judgeAgainstBest(board, place, found);
    else {
      const group = board.correction === "column" ? place : "board";
      groups.set(group, [...(groups.get(group) ?? []), ...pairsOf(board, place, references[place])]);
      found[references[place]][place] = {
        verdict: wish === "best" ? "best" : "reference",
        p: null,
        mean: null,
        low: null,
        high: null,
        seeds: 0,
      };
    }
  });
  for (const pairs of groups.values()) {
    for (const [[line, column], difference] of differencesOf(pairs)) found[line][column] = difference;
  }
  return { references, at: (line, column) => found[line][column] };
}

/** Pairs of every other line of a column and its reference. */
function pairsOf(board, column, reference) {
  const other = board.cells[reference][column]?.outcomes ?? [];
  return board.lines.flatMap((_, line) => {
    const one = board.cells[line][column]?.outcomes;
    return !one || line === reference ? [] : [{ name: [line, column], one, other, lower: board.columns[column].lower }];
  });
}

/** Verdicts of a printed table of results, put into found[line][column]. */
function judgeAgainstBest(board, column, found) {
  const lines = scoredLines(board, column);
  if (lines.length < 2) return;
  const { lower } = board.columns[column];
  const best = bestLine(board, column);
  const outcomes = (line) => board.cells[line][column].outcomes;
  const means = new Map(lines.map((line) => [line, board.cells[line][column].mean * (lower ? -1 : 1)]));
  const items = new Map(lines.map((line) => [line, bySeed(outcomes(line), "items")]));
  for (const [line, { verdict, p }] of againstBest(means, items, best)) {
    const difference = line === best ? null : differenceOf(outcomes(line), outcomes(best), p, lower);
    found[line][column] = { mean: null, low: null, high: null, seeds: 0, ...difference, p, verdict };
  }
}
