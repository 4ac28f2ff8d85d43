// Numbers as the printed tables show them. Missing (null, NaN) is an empty string.

const missing = (x) => x === null || x === undefined || Number.isNaN(x);

/** As Python's f"{x:.{digits}f}": of two equally near numbers the even one. */
function fixed(x, digits) {
  const text = x.toFixed(digits);
  const scaled = Math.abs(x) * 10 ** digits;
  const below = Math.floor(scaled);
  const tie = scaled - below === 0.5 && (2 * below + 1) % 5 ** digits === 0;
  const even = tie && below % 2 === 0 ? (Math.sign(x) * below) / 10 ** digits : null;
  const shown = even === null ? text : even.toFixed(digits);
  return Number(shown) === 0 ? (0).toFixed(digits) : shown;
}

/** A score in its column's unit: per cent with one decimal, nats with three. */
function score(x, unit) {
  if (missing(x)) return "";
  return unit === "nats" ? fixed(x, 3) : fixed(100 * x, 1);
}

/** What differences of scores in a unit are counted in. */
function pointsOf(unit) {
  return unit === "nats" ? "nats" : "points";
}

/** A difference with its sign; what rounds to zero has none. */
function signed(x, unit) {
  const text = score(x, unit);
  return text && x > 0 && Number(text) !== 0 ? `+${text}` : text.replace("-", "−");
}

/** 1234567 -> 1,234,567. */
function count(x) {
  return missing(x) ? "" : Math.trunc(x).toLocaleString("en-US");
}

/** Three significant digits without an exponent's noise. */
function three(x) {
  if (missing(x)) return "";
  return String(Number(x.toPrecision(3)));
}

/** 26247168 -> 26.2M; base "B": 26.2 MB. */
function short(x, bytes = false) {
  if (missing(x)) return "";
  const power = Math.max(0, Math.min(Math.floor((String(Math.trunc(Math.abs(x))).length - 1) / 3), 4));
  const unit = bytes ? [" B", " kB", " MB", " GB", " TB"][power] : ["", "K", "M", "B", "T"][power];
  return `${three(x / 1000 ** power)}${unit}`;
}

/** p as it is read: 0.032, <0.001. */
function pValue(p) {
  if (missing(p)) return "";
  return p < 0.001 ? "< 0.001" : fixed(p, 3);
}

/** [46.9, 48.6], ± 1.5, or nothing. */
function noiseText(cell, unit) {
  if (!cell) return "";
  if (!missing(cell.low)) return `[${score(cell.low, unit)}, ${score(cell.high, unit)}]`;
  return missing(cell.error) ? "" : `± ${score(cell.error, unit)}`;
}

/** a, b and c. */
function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** 1 seed, 3 seeds. */
function counted(n, word) {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}
