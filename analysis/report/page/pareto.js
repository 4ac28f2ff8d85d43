// Section: score against cost, or any two axes; what to take under a budget.

const [HEIGHT, PADDING] = [440, 28]; // pixels of the plot
const STANDING = { front: "on the front", tie: "not told apart from the front", untested: "not on it, not tested", behind: "behind" };

/** Two axes of a table, the front with its ties, and what to take under a budget. */
function paretoSection(root, core, state) {
  const boards = core.boards.filter((board) =>
    board.columns.some((_, column) => scoredLines(board, column).length > 1),
  );
  const board = boards.find((each) => each.name === state.get("board")) ?? boards[0];
  root.append(el("h2", {}, "Score against cost"));
  if (!board) {
    root.append(el("p", {}, "No table has two lines with a score."));
    return null;
  }
  const filled = board.columns.findIndex((_, column) => scoredLines(board, column).length > 1);
  const wished = state.get("y", `c${filled}`).match(/^c(\d+)$/);
  const axes = axesOf(core, board, wished ? Number(wished[1]) : filled);
  const pick = (name, fallback) =>
    axes.find((axis) => axis.id === state.get(name, fallback)) ?? axes.find((axis) => axis.id === fallback);
  const [x, y] = [pick("x", "params"), pick("y", `c${filled}`)];
  const standing = standings(board, [x, y]);
  const options = axes.map((axis) => [axis.id, `${axis.title}${axis.column === null ? "" : ` (${axis.unit})`}`]);
  const chart = el("div", { class: "chart pareto", id: "pareto-chart" });
  root.append(
    el(
      "div",
      { class: "controls" },
      choice(
        "pareto-board",
        "Table",
        boards.map((each) => [each.name, boardTitle(each)]),
        board.name,
        (name) => change({ board: name, x: "", y: "", lora: "" }),
      ),
      choice("pareto-y", "Upwards", options, y.id, (id) => change({ y: id })),
      choice("pareto-x", "To the right", options, x.id, (id) => change({ x: id })),
    ),
    takeSentence(core, board, y.column ?? x.column ?? filled, axes, state),
    chart,
    el(
      "p",
      { class: "small legend" },
      "Bars: 95 % interval over seeds, or the standard error over items. Dashed: the front. Faint: behind it, told apart. ",
      "Named: the front, and what is not told apart from a front line that costs no more (exact paired test over items and interval over seeds; Holm over the pairs tested here). ",
      notDrawn(board, [x, y], standing),
    ),
    frontTable(core, board, [x, y], standing),
  );
  const rows = paretoRows(core, board, [x, y], standing);
  return drawChart(
    chart,
    "pareto",
    placedNames(rows, inPixels(rows, [x, y], chart.clientWidth - 70), chart.clientWidth - 70),
    channelsOf(x, y),
    `${y.title} against ${x.title}; the table below has the numbers`,
    (spec) => adaptPareto(spec, x, rows),
  );
}

/** Lines that have no place on an axis of logarithms. */
function notDrawn(board, axes, standing) {
  const zero = [...standing.keys()].filter((line) => axes.some((axis) => axis.log && axis.of(line) <= 0));
  return zero.length ? `Not drawn, as the axis has no 0: ${listed(zero.map((line) => board.lines[line].label))}.` : "";
}

/** In the units that are drawn: per cent, nats, bytes, seconds. */
const drawnValue = (axis, x) => (axis.column !== null && axis.unit === "%" ? 100 * x : x);

/** What the figure draws: one row a line, in per cent, nats, bytes or seconds. */
function paretoRows(core, board, [x, y], standing) {
  const ends = (axis, line) => {
    const cell = axis.column === null ? { mean: axis.of(line) } : board.cells[line][axis.column];
    return [cell.low ?? cell.mean - (cell.error ?? 0), cell.high ?? cell.mean + (cell.error ?? 0)].map((end) =>
      drawnValue(axis, end),
    );
  };
  return [...standing]
    .filter(([line]) => !(x.log && x.of(line) <= 0) && !(y.log && y.of(line) <= 0))
    .map(([line, where]) => {
      const look = drawnAs(core, board.lines[line].method);
      const [[xLow, xHigh], [low, high]] = [ends(x, line), ends(y, line)];
      return {
        x: drawnValue(x, x.of(line)),
        y: drawnValue(y, y.of(line)),
        x_low: xLow,
        x_high: xHigh,
        low,
        high,
        label: board.lines[line].label,
        name: ["front", "tie"].includes(where) ? lineTitle(board, line, y.column ?? x.column ?? 0) : "",
        ...look,
        colour: where === "behind" ? `${look.colour}59` : look.colour,
        front: where === "front",
      };
    });
}

/** Where a row is drawn, about: pixels from the upper left. */
function inPixels(rows, [x, y], width) {
  const part = (axis, name, ends) => {
    const at = (value) => (axis.log ? Math.log(value) : value);
    const all = rows.flatMap((row) => [name, ...ends].map((each) => at(row[each])));
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return (row) => (high === low ? 0.5 : (at(row[name]) - low) / (high - low));
  };
  const [across, up] = [part(x, "x", ["x_low", "x_high"]), part(y, "y", ["low", "high"])];
  return (row) => [PADDING + across(row) * (width - 2 * PADDING), PADDING + (1 - up(row)) * (HEIGHT - 2 * PADDING)];
}

/** Titles, scales and number formats of both axes. */
function channelsOf(x, y) {
  const channel = (axis) => ({
    title: `${axis.title} (${axis.unit})`,
    scale: { type: axis.log ? "log" : "linear", zero: axis.log ? undefined : false, nice: false, padding: PADDING },
    axis: { format: axis.format },
  });
  return { x: channel(x), y: channel(y) };
}

/** Names of those that are not behind alone; bars along x where it has intervals; no front where none of it is drawn. */
function adaptPareto(spec, x, rows) {
  if (!rows.some((row) => row.front)) spec.layer = spec.layer.filter((layer) => !layer.transform);
  const marked = (kind) => spec.layer.filter((layer) => (layer.mark?.type ?? layer.mark) === kind);
  for (const layer of marked("text")) {
    layer.encoding.text.field = "name";
    Object.assign(layer.mark, {
      fontSize: 11,
      baseline: "middle",
      align: "left",
      dx: { expr: "datum.dx" },
      dy: { expr: "datum.dy" },
    });
  }
  if (x.column !== null) {
    const bars = structuredClone(marked("rule")[0]);
    const { x: across, y: up } = structuredClone(marked("point")[0].encoding);
    bars.encoding = { ...bars.encoding, x: { ...across, field: "x_low" }, x2: { field: "x_high" }, y: up };
    delete bars.encoding.y2;
    spec.layer.splice(1, 0, bars);
  }
  spec.height = HEIGHT;
  return spec;
}

/** The figure's numbers. */
function frontTable(core, board, axes, standing) {
  const order = { front: 0, tie: 1, untested: 2, behind: 3 };
  const rows = [...standing].map(([line, where]) => ({ line, where })).sort((a, b) => order[a.where] - order[b.where]);
  const axisColumn = (axis) => ({
    id: axis.id,
    title: axis.title,
    unit: axis.column === null && axis.unit === "bytes" ? "" : axis.unit,
    numeric: true,
    value: ({ line }) => axis.of(line),
    text: ({ line }) => axis.show(axis.of(line)),
    cell: ({ line }) =>
      axis.column === null
        ? axis.show(axis.of(line))
        : [
            numberLink(board, line, axis.column),
            " ",
            el("span", { class: "noise" }, noiseText(board.cells[line][axis.column], axis.unit)),
          ],
  });
  const columns = [
    {
      id: "method",
      title: "Method",
      cell: ({ line }) => methodName(core, board, line, axes.find((axis) => axis.column !== null)?.column ?? null),
      text: ({ line }) => lineTitle(board, line, axes.find((axis) => axis.column !== null)?.column ?? 0),
    },
    ...[...new Set(axes)].map(axisColumn),
    {
      id: "standing",
      title: "Standing",
      cell: ({ where }) => ({ content: STANDING[where], class: ["front", "tie"].includes(where) ? "alike" : "" }),
    },
  ];
  return el(
    "div",
    {},
    copyButtons("front", () => ({ columns, rows })),
    dataTable({ id: "front", caption: "", label: "Lines by their standing", columns, rows }),
  );
}

// --- under a budget --------------------------------------------------------------------------------------------------

/** "true" where a limit is given that is no number. */
const unread = (text) => (text && readNumber(text) === null ? "true" : null);

/** Limits that the reader sets, and what to take within them. */
function takeSentence(core, board, column, axes, state) {
  const [params, step] = ["params", "step"].map((id) => axes.find((axis) => axis.id === id));
  const scored = scoredLines(board, column);
  const timed = scored.filter((line) => step.of(line));
  const lora =
    timed.find((line) => String(line) === state.get("lora")) ??
    timed.find((line) => board.lines[line].method === "lora") ??
    timed[0];
  const [most, times] = [readNumber(state.get("most")), readNumber(state.get("times"))];
  const fits = scored.filter(
    (line) =>
      (most === null || (params.of(line) !== null && params.of(line) <= most)) &&
      (times === null || (step.of(line) !== null && step.of(line) <= times * step.of(lora))),
  );
  const limits = [
    most === null ? "" : `at most ${count(most)} trained numbers`,
    times === null ? "" : `at most ${times} times the step of ${board.lines[lora]?.label}`,
  ].filter(Boolean);
  return el(
    "section",
    { class: "take", "aria-label": "Under a budget" },
    el(
      "div",
      { class: "controls" },
      entry(
        "take-most",
        "At most so many trained numbers",
        state.get("most"),
        (value) => change({ most: value }, { replace: true }),
        { placeholder: "50k", size: 9, "aria-invalid": unread(state.get("most")) },
      ),
      timed.length
        ? entry(
            "take-times",
            "At most so many times the step of",
            state.get("times"),
            (value) => change({ times: value }, { replace: true }),
            { placeholder: "1.5", size: 5, "aria-invalid": unread(state.get("times")) },
          )
        : null,
      timed.length
        ? choice(
            "take-lora",
            "this method",
            timed.map((line) => [line, lineTitle(board, line, column)]),
            lora,
            (value) => change({ lora: value }),
          )
        : null,
    ),
    el(
      "p",
      { class: "lead", id: "take", "aria-live": "polite" },
      unread(state.get("most")) || unread(state.get("times"))
        ? "A limit is no number: 50000, 50k and 1.5 are."
        : takeWords(board, column, bestAmong(board, column, fits), limits, params),
    ),
  );
}

/** `At most 50,000 trained numbers: take ...`, with what cannot be told apart from it. */
function takeWords(board, column, found, limits, params) {
  const start = limits.length ? `${listed(limits).replace(/^a/, "A")}: ` : "Without a limit: ";
  if (!found) return `${start}no line fits.`;
  const { unit } = board.columns[column];
  const name = (line) => lineTitle(board, line, column);
  const alike = [found.best, ...found.ties];
  const least = alike.filter((line) => params.of(line) !== null).sort((a, b) => params.of(a) - params.of(b))[0];
  const ties = found.ties.length
    ? [
        " Not told apart from it: ",
        listed(found.ties.map(name)),
        ". ",
        least !== undefined && least !== found.best
          ? `Of these ${name(least)} trains the fewest numbers, ${count(params.of(least))}.`
          : "It trains the fewest numbers of these.",
      ]
    : found.untested.length
      ? " Others could not be tested."
      : found.apart.length
        ? ` It is told apart from ${found.apart.length === 1 ? "the other one" : `all ${found.apart.length} others`} that fit${found.apart.length === 1 ? "s" : ""}.`
        : " No other fits.";
  return [
    start,
    "take ",
    el("b", {}, name(found.best)),
    ` (${score(board.cells[found.best][column].mean, unit)} ${unit}).`,
    ties,
  ];
}
