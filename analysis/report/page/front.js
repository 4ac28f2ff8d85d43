// Which lines of a table no other beats on two axes at once, and which cannot be told apart from those.

/**
 * @typedef {{id: string, title: string, unit: string, lower: boolean, log: boolean, format: string,
 *   column: number|null, show: (x: number) => string, of: (line: number) => number|null}} Axis
 *   of: in the units of the core; format: of the axis' numbers; column: of the board, or null of a cost
 */

// How far the model moved from its base: name in the rows, title, unit, how many of it the core's is, a logarithmic axis?
const KEPT = [
  ["outputs_moved", "Outputs moved from the base's", "%", 100, true],
  ["weights_moved", "Weights moved from the base's", "%", 100, true],
  ["intruders", "Intruder dimensions", "a layer", 1, false],
  ["base_loss", "Rise of the base's own loss", "nats", 1, false],
];

/** All axes of a table: costs of its lines' runs, and its columns. @returns {Axis[]} */
function axesOf(core, board, column) {
  const row = (line) => rowOf(core, board, line, column);
  const cost = (id, title, unit, of, show, log, format) => ({
    id,
    title,
    unit,
    of,
    show,
    log,
    format,
    lower: true,
    column: null,
  });
  return [
    cost("params", "Trained numbers", "without the head", (line) => board.lines[line].params, count, true, "~s"),
    cost(
      "file",
      "Saved file",
      "bytes",
      (line) => row(line)?.file_bytes ?? null,
      (x) => short(x, true),
      true,
      "~s",
    ),
    cost("step", "Step time", "s", (line) => row(line)?.step_seconds ?? null, three, false, "~g"),
    cost(
      "peak",
      "Peak memory of training",
      "bytes",
      (line) => row(line)?.peak_bytes ?? null,
      (x) => short(x, true),
      false,
      "~s",
    ),
    ...KEPT.map(([name, title, unit, times, log]) =>
      cost(
        name,
        title,
        unit,
        (line) => (missing(row(line)?.kept?.[name]) ? null : times * row(line).kept[name]),
        three,
        log,
        "~g",
      ),
    ).filter((axis) => board.lines.some((_, line) => axis.of(line) !== null)),
    ...board.columns.map((each, place) => ({
      id: `c${place}`,
      title: each.name,
      unit: each.unit,
      lower: each.lower,
      log: false,
      format: "~g",
      column: place,
      show: (x) => score(x, each.unit),
      of: (line) => {
        const mean = board.cells[line][place]?.mean;
        return missing(mean) ? null : mean;
      },
    })),
  ];
}

/** Is a at least as good as b on an axis? */
const asGood = (axis, a, b) => (axis.lower ? axis.of(a) <= axis.of(b) : axis.of(a) >= axis.of(b));

/**
 * Line -> "front": no other is at least as good on both axes and better on one; "tie": of those that beat it none is
 * told apart from it; "untested": none of these pairs could be tested; "behind". Holm's correction over all pairs that are tested here.
 */
function standings(board, axes) {
  const lines = board.lines.map((_, line) => line).filter((line) => axes.every((axis) => !missing(axis.of(line))));
  const beats = (a, b) => axes.every((axis) => asGood(axis, a, b)) && axes.some((axis) => axis.of(a) !== axis.of(b));
  const front = lines.filter((line) => !lines.some((other) => beats(other, line)));
  const pairs = lines
    .filter((line) => !front.includes(line))
    .flatMap((line) =>
      front
        .filter((other) => beats(other, line))
        .flatMap((other) =>
          axes
            .filter((axis) => axis.column !== null && axis.of(other) !== axis.of(line))
            .map((axis) => ({
              name: line,
              column: axis.column,
              one: board.cells[other][axis.column].outcomes,
              other: board.cells[line][axis.column].outcomes,
              lower: axis.lower,
            })),
        ),
    );
  const found = differencesOf(pairs.filter(({ column }) => isTested(board.columns[column])));
  const apart = new Set(
    found
      .filter(([, each]) => each?.verdict === "better")
      .map(([line]) => line),
  );
  const tested = new Set(found.filter(([, each]) => each && each.verdict !== "untested").map(([line]) => line));
  const costs = axes.every((axis) => axis.column === null);
  const standing = (line) => (front.includes(line) ? "front" : costs || apart.has(line) ? "behind" : tested.has(line) ? "tie" : "untested");
  return new Map(lines.map((line) => [line, standing(line)]));
}

/** The best line of a column among some, and those that are not told apart from it (Holm over these pairs). */
function bestAmong(board, column, lines) {
  const { lower } = board.columns[column];
  const scored = lines.filter((line) => !missing(board.cells[line][column]?.mean));
  if (!scored.length) return null;
  const mean = (line) => board.cells[line][column].mean;
  const best = scored.reduce((most, line) =>
    (lower ? mean(line) < mean(most) : mean(line) > mean(most)) ? line : most,
  );
  const tested = isTested(board.columns[column]);
  const pairs = scored
    .filter((line) => line !== best)
    .map((line) => ({
      name: line,
      one: board.cells[line][column].outcomes,
      other: board.cells[best][column].outcomes,
      lower,
    }));
  const found = differencesOf(pairs);
  const named = (verdict) =>
    found
      .filter(([, difference]) => (tested ? (difference?.verdict ?? "untested") : "untested") === verdict)
      .map(([line]) => line);
  return { best, ties: named("tie"), untested: named("untested"), apart: named("worse") };
}
