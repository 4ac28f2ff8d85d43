// How far a contrast may be off, seeds and items crossed: the twins of analysis/statistics/estimates.py.

const POWER = 0.8;
const STILL = 1e-9;

/** @typedef {{mean: number, error: number, df: number, seeds: number, items: number}} Estimate in rates */

/** Of differences, one array (items) a seed; at least two of each. @returns {Estimate} */
function crossed(differences) {
  const [S, I] = [differences.length, differences[0].length];
  const ofSeeds = differences.map((row) => exactSum(row) / I);
  const ofItems = Array.from({ length: I }, (_, i) => differences.reduce((sum, row) => sum + row[i], 0) / S);
  const mean = exactSum(ofSeeds) / S;
  let rest = 0;
  differences.forEach((row, s) => {
    for (let i = 0; i < I; i++) rest += (row[i] - ofSeeds[s] - ofItems[i] + mean) ** 2;
  });
  const squares = [I * variance(ofSeeds), S * variance(ofItems), rest / ((S - 1) * (I - 1))];
  const freedoms = [S - 1, I - 1, (S - 1) * (I - 1)];
  const square = Math.max(squares[0], squares[1], squares[0] + squares[1] - squares[2]);
  const error = Math.sqrt(square / (S * I));
  const least = Math.min(S, I) - 1;
  if (error < STILL) return { mean: rounded(mean), error: 0, df: least, seeds: S, items: I };
  const satterthwaite = square ** 2 / squares.reduce((sum, each, i) => sum + each ** 2 / freedoms[i], 0);
  return { mean: rounded(mean), error, df: Math.max(satterthwaite, least), seeds: S, items: I };
}

/** Of the contrast on each seed, at least two. @returns {Estimate} */
function overSeeds(values) {
  const error = Math.sqrt(variance(values) / values.length);
  const mean = rounded(exactSum(values) / values.length);
  return { mean, error: error > STILL ? error : 0, df: values.length - 1, seeds: values.length, items: 0 };
}

/** 95 %, two-sided. @param {Estimate} estimate */
function intervalOf(estimate) {
  const half = studentQuantile(1 - LEVEL / 2, estimate.df) * estimate.error;
  return [estimate.mean - half, estimate.mean + half];
}

/** The difference that a two-sided test at 5 % finds with a power of 80 %, unadjusted. @param {Estimate} estimate */
function smallestOf(estimate) {
  return (studentQuantile(1 - LEVEL / 2, estimate.df) + studentQuantile(POWER, estimate.df)) * estimate.error;
}

/** Smallest difference between two lines' outcomes that their seeds and items could have shown; null: not known. */
function smallestBetween(one, other) {
  const pairs = one.flatMap((a) => other.filter((b) => b.seed === a.seed).map((b) => [a, b]));
  if (pairs.length < 2) return null;
  const first = pairs[0][0].items;
  const alike = pairs.every(
    ([a, b]) => a.items && a.data === b.data && a.items.length === first?.length && b.items?.length === first.length,
  );
  const estimate =
    alike && first.length > 1
      ? crossed(pairs.map(([a, b]) => Array.from(a.items, (right, i) => right - b.items[i])))
      : overSeeds(pairs.map(([a, b]) => a.mean - b.mean));
  return estimate.error > 0 ? smallestOf(estimate) : null;
}
