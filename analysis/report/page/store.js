// What Python put into the file: opened once when it is asked for.

const opened = new Map();

/** The text in the element `id`: base64 of gzip. */
async function unpack(id) {
  const packed = document.getElementById(id)?.textContent.trim();
  if (!packed) return null;
  const raw = atob(packed);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

/** The JSON in the element `id`, null where there is none. */
function open(id) {
  if (!opened.has(id))
    opened.set(
      id,
      unpack(id).then((text) => text && JSON.parse(text)),
    );
  return opened.get(id);
}

/** n items, eight a byte, the first in the highest bit. @returns {Uint8Array} of 0 and 1 */
function unpackBits(text, n) {
  const [raw, bits] = [atob(text), new Uint8Array(n)];
  for (let i = 0; i < n; i++) bits[i] = (raw.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1;
  return bits;
}

/** The core with tables' outcomes as objects, and `cells` (mean, interval) beside them. */
function decoded(core) {
  Object.assign(resamples, core.bootstrap);
  core.methodOf = new Map(core.methods.map((method) => [method.id, method]));
  core.boardOf = new Map(core.boards.map((board) => [board.name, board]));
  for (const board of core.boards) {
    board.cells = board.outcomes.map((line) =>
      line.map((cell) => cellOf(cell && cell.map((each) => new Outcome(core, each)))),
    );
    delete board.outcomes;
  }
  return core;
}

/** One run's score (paired.js). Its items, 0 or 1 each, are unpacked when they are asked for. */
class Outcome {
  #packed;
  #items;

  constructor(core, [seed, mean, n, data, items, values, run, error]) {
    Object.assign(this, {
      seed,
      mean: mean ?? NaN,
      n,
      data,
      values: values < 0 ? null : core.values[values],
      run,
      error,
    });
    this.#packed = items < 0 ? null : core.items[items];
  }

  get items() {
    return (this.#items ??= this.#packed && unpackBits(this.#packed, this.n));
  }
}

/** How a method is shown: {family, colour, marker}. A variant as "lora_r1" is shown as its method is. */
function lookOf(core, method) {
  for (let id = method ?? ""; id; id = id.slice(0, Math.max(0, id.lastIndexOf("_"))))
    if (core.methodOf.has(id)) return core.methodOf.get(id);
  return { id: method, family: "other", colour: "#6b6b6b", marker: "p", drawn: "point" };
}

/** A method's colour; on a dark ground a dark one is mixed with white, and black is the ink's. */
function colourOf(core, method) {
  const { colour } = lookOf(core, method);
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const light = 0.3 * parts[0] + 0.59 * parts[1] + 0.11 * parts[2];
  if (document.documentElement.dataset.theme !== "dark" || light > 105) return colour;
  const share = light < 50 && Math.max(...parts) - Math.min(...parts) < 30 ? 0.85 : 0.45;
  return `#${parts
    .map((x) =>
      Math.round(x + share * (255 - x))
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}
