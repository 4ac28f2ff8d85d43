// Distributions that the tests need: binomial with p = 1/2, Student's t.

/** ln Γ(x), x > 0: Stirling's series after moving x above 15. */
function lnGamma(x) {
  let shift = 0;
  while (x < 15) shift += Math.log(x++);
  const y = 1 / (x * x);
  const series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / x;
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series - shift;
}

/** Probabilities of 0..n heads of a fair coin. By products, so that no sum of logarithms costs digits. */
function fairCoin(n) {
  const mass = new Float64Array(n + 1);
  const middle = n >> 1;
  let [centre, halves] = [1, 0];
  for (let i = 1; i <= middle; i++) {
    centre *= (n - middle + i) / i;
    for (; centre > 1 && halves < n; halves++) centre /= 2;
  }
  for (; halves < n; halves++) centre /= 2;
  mass[middle] = centre;
  for (let k = middle; k < n; k++) mass[k + 1] = (mass[k] * (n - k)) / (k + 1);
  for (let k = middle; k > 0; k--) mass[k - 1] = (mass[k] * k) / (n - k + 1);
  return mass;
}

/** Regularised incomplete beta function I_x(a, b), by Lentz's continued fraction. */
function betaShare(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaFraction(1 - x, b, a);
  return betaFraction(x, a, b);
}

/** I_x(a, b) where x is at most (a + 1) / (a + b + 2). */
function betaFraction(x, a, b) {
  const tiny = 1e-300;
  const ahead = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + lnGamma(a + b) - lnGamma(a) - lnGamma(b)) / a;
  let [c, d] = [1, 1 / (1 - ((a + b) * x) / (a + 1) || tiny)];
  let product = d;
  for (let m = 1; m < 10000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d || tiny);
    c = 1 + even / c || tiny;
    product *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d || tiny);
    c = 1 + odd / c || tiny;
    product *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return ahead * product;
}

/** P(T > t) of Student's t. */
function studentTail(t, df) {
  if (t < 0) return 1 - studentTail(-t, df);
  return 0.5 * betaShare(df / (df + t * t), df / 2, 0.5);
}

/** The t below which a share q of Student's t lies, by halving. */
function studentQuantile(q, df) {
  if (q === 0.5) return 0;
  if (q < 0.5) return -studentQuantile(1 - q, df);
  let [low, high] = [0, 1];
  while (studentTail(high, df) > 1 - q) high *= 2;
  for (let i = 0; i < 200 && low < high; i++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (studentTail(middle, df) > 1 - q) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
