// Intervals over seeds, paired tests over items, Holm's correction: the twins of analysis/statistics/stats.py.

const MIN_SEEDS = 3; // below, no interval over seeds is given
const LEVEL = 0.05; // two-sided
const Z = 1.96;
const NORMAL_975 = 1.959963984540054;
const resamples = {}; // n seeds -> [[counts of each seed..., times drawn], ...]; filled from the core

/** To twelve decimals, as Python rounds. */
function rounded(x) {
  return Number.isFinite(x) ? Number(x.toFixed(12)) + 0 : NaN;
}

/** Sum without the error of rounding (Neumaier). */
function exactSum(values) {
  let [sum, rest] = [0, 0];
  for (const value of values) {
    const next = sum + value;
    rest += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return sum + rest;
}

/** Mean to twelve decimals; NaN of none. */
function meanOf(values) {
  return values.length ? rounded(exactSum(values) / values.length) : NaN;
}

/** Percentile bootstrap interval of the mean over seeds, [low, high], from the printed tables' own resamples. */
function bootstrapInterval(values) {
  const table = resamples[values.length];
  if (values.length < MIN_SEEDS || !table || values.some(Number.isNaN)) return null;
  const n = values.length;
  const means = table.map((counts) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += counts[i] * values[i];
    return [sum / n, counts[n]];
  });
  means.sort((one, other) => one[0] - other[0]);
  const total = means.reduce((sum, each) => sum + each[1], 0);
  return [0.025, 0.975].map((share) => rounded(weightedQuantile(means, share * (total - 1))));
}

/** Between the sorted [value, times] at the (broken) place, as numpy's percentile. */
function weightedQuantile(sorted, place) {
  const at = (index) => {
    let seen = 0;
    for (const [value, times] of sorted) if ((seen += times) > index) return value;
    return sorted.at(-1)[0];
  };
  const below = Math.floor(place);
  const [low, high, part] = [at(below), at(below + 1), place - below];
  return part < 0.5 ? low + (high - low) * part : high - (high - low) * (1 - part);
}

/** Interval of a share of n items (Wilson 1927). */
function wilsonInterval(share, n) {
  const p = Math.round(share * n) / n;
  const z2 = NORMAL_975 ** 2;
  const centre = (2 * n * p + z2) / (2 * (n + z2));
  const half = (NORMAL_975 / (2 * (n + z2))) * Math.sqrt(4 * n * p * (1 - p) + z2);
  return [p === 0 ? 0 : rounded(centre - half), p === 1 ? 1 : rounded(centre + half)];
}

/** Standard error of a share of n items: binomial; at 0 and 1 half of the Wilson interval by 1.96. */
function shareError(share, n) {
  if (share > 0 && share < 1) return Math.sqrt((share * (1 - share)) / n);
  const [low, high] = wilsonInterval(share, n);
  return (high - low) / (2 * Z);
}

/**
 * Exact two-sided p of Σ d_i under random signs; d_i whole numbers. Eight significant digits.
 * c differences of size k add k (2 Binomial(c, 1/2) - c). mass[i] is the probability of the sum 2 i - reach.
 */
function signFlipP(differences) {
  const counts = new Map();
  let total = 0;
  for (const d of differences) {
    total += d;
    if (d) counts.set(Math.abs(d), (counts.get(Math.abs(d)) ?? 0) + 1);
  }
  let [mass, reach] = [Float64Array.of(1), 0];
  for (const [size, count] of counts) {
    mass = spread(mass, fairCoin(count), size);
    reach += size * count;
  }
  let p = 0;
  for (let i = 0; i < mass.length; i++) if (Math.abs(2 * i - reach) >= Math.abs(total)) p += mass[i];
  return Math.min(1, Number(p.toPrecision(8)));
}

/** The distribution of X + size · Y, of those of X and Y. */
function spread(mass, term, size) {
  const sum = new Float64Array(mass.length + size * (term.length - 1));
  for (let j = 0; j < term.length; j++) {
    if (term[j] < 1e-300) continue;
    for (let i = 0; i < mass.length; i++) sum[i + size * j] += mass[i] * term[j];
  }
  return sum;
}

/** Keys (data and seed) that both have numbers for, and their common length; null where nothing can be paired. */
function shared(one, other) {
  const keys = [...one.keys()].filter((key) => one.get(key)?.length && other.get(key)?.length);
  const lengths = new Set(keys.flatMap((key) => [one.get(key).length, other.get(key).length]));
  return lengths.size === 1 ? { keys, length: [...lengths][0] } : null;
}

/** Differences of two methods by item, summed over the keys that both have. */
function summedDifferences(one, other, { keys, length }) {
  const sums = new Array(length).fill(0);
  for (const key of keys) {
    const [a, b] = [one.get(key), other.get(key)];
    for (let i = 0; i < length; i++) sums[i] += a[i] - b[i];
  }
  return sums;
}

/** p of no difference between two methods, Maps of key -> 0/1 by item; null where nothing can be paired. */
function pairedP(one, other) {
  const both = shared(one, other);
  return both && signFlipP(summedDifferences(one, other, both));
}

/** As pairedP, of numbers by item (nats): Student's t. */
function pairedT(one, other) {
  const both = shared(one, other);
  if (!both || both.length === 1) return null;
  const sums = summedDifferences(one, other, both);
  if (sums.every((d) => d === sums[0])) return sums[0] === 0 ? 1 : 0;
  const mean = exactSum(sums) / sums.length;
  const t = mean / Math.sqrt(variance(sums) / sums.length);
  return Number((2 * studentTail(Math.abs(t), sums.length - 1)).toPrecision(8));
}

/** Σ (x - mean)² / (n - 1). */
function variance(values) {
  const mean = exactSum(values) / values.length;
  return exactSum(values.map((x) => (x - mean) ** 2)) / (values.length - 1);
}

/** Adjusted p (Holm 1979). */
function holm(pValues) {
  const order = pValues.map((_, i) => i).sort((i, j) => pValues[i] - pValues[j] || i - j);
  const adjusted = new Array(pValues.length);
  let least = 0;
  order.forEach((place, rank) => {
    least = Math.max(least, pValues[place] * (pValues.length - rank));
    adjusted[place] = Math.min(1, least);
  });
  return adjusted;
}

/**
 * For each name "best", "tie", "differs" or "untested". means: Map name -> number, higher is better; items: Map name ->
 * Map key -> 0/1 by item. first: the name that is the best where several means are equal.
 */
function againstBest(means, items, first = null) {
  let best = [...means.keys()][0];
  for (const [name, mean] of means) if (mean > means.get(best)) best = name;
  if (means.get(first) === means.get(best)) best = first;
  const tests = [...means.keys()]
    .filter((name) => name !== best)
    .map((name) => [name, pairedP(items.get(name), items.get(best))]);
  const tested = tests.filter(([, p]) => p !== null);
  const adjusted = holm(tested.map(([, p]) => p));
  const found = new Map(
    [...means.keys()].map((name) => [name, { verdict: name === best ? "best" : "untested", p: null }]),
  );
  tested.forEach(([name], i) => found.set(name, { verdict: adjusted[i] > LEVEL ? "tie" : "differs", p: adjusted[i] }));
  return found;
}
