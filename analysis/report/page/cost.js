// Section: step time and memory against the tokens of a step, by device.

const ratioText = (x) => (missing(x) ? "" : fixed(x, 2));
const MEASURES = {
  ratio: ["Step time over the reference's", "times", (step) => step.ratio, ratioText],
  seconds: ["Step time", "s", (step) => step.seconds, three],
  saved: ["Saved for the backward pass", "bytes", (step) => step.saved_bytes, (x) => short(x, true)],
  peak: ["Peak memory", "bytes", (step) => step.peak_bytes, (x) => short(x, true)],
};

/** One file of measurements: a figure, its table, and what each method keeps in memory. */
function costSection(root, core, state) {
  root.append(el("h2", {}, "Step time and memory"));
  const every = [el("h3", { id: "each-method" }, "What each method costs and keeps"), ...methodCosts(core, state)];
  if (!core.bench?.length) {
    root.append(
      el("p", {}, "Nothing was measured against tokens: ", el("code", {}, "make bench"), " makes the files."),
      ...every,
    );
    return null;
  }
  const place = core.bench[Number(state.get("bench"))] ? Number(state.get("bench")) : 0;
  const bench = core.bench[place];
  const key = Object.hasOwn(MEASURES, state.get("measure")) ? state.get("measure") : "ratio";
  const [title, unit, of, show] = MEASURES[key];
  const steps = bench.steps.filter((step) => !missing(of(step)));
  const chart = el("div", { class: "chart", id: "cost-chart" });
  root.append(
    el(
      "div",
      { class: "controls" },
      choice(
        "cost-bench",
        "Device",
        core.bench.map((each, i) => [i, `${each.device}: ${each.panel}`]),
        place,
        (value) => change({ bench: value }),
      ),
      choice(
        "cost-measure",
        "Measured",
        Object.entries(MEASURES).map(([id, [word]]) => [id, word]),
        key,
        (measure) => change({ measure }),
      ),
    ),
    el("p", { class: "small" }, bench.about ?? "", ` Reference: ${bench.reference}.`),
    chart,
    ...costTables(core, bench, { key, title, unit, of, show, steps }),
    ...every,
  );
  const rows = steps.map((step) => ({
    tokens: step.tokens,
    value: of(step),
    label: step.label,
    ...drawnAs(core, step.method),
    low: key === "ratio" ? (step.ratio_low ?? step.low ?? of(step)) : of(step),
    high: key === "ratio" ? (step.ratio_high ?? step.high ?? of(step)) : of(step),
  }));
  return drawChart(
    chart,
    "cost",
    withEnds(rows),
    {
      x: { axis: { format: "," } },
      y: { title: `${title} (${unit})`, axis: { format: unit === "bytes" ? "~s" : "~g" } },
    },
    `${title} against tokens a step; the table below has the numbers`,
    (spec) => (chart.clientWidth < NARROW ? Object.assign(spec, { height: PLOT }) : namedEnds(spec)),
  );
}

const [PLOT, NARROW] = [380, 640]; // pixels: height of the plot; width below which names have no room beside it

/** Rows whose last one of each label has its name and where it stands, a line apart from the others. */
function withEnds(rows) {
  const last = new Map(rows.map((row) => [row.label, row]));
  const all = rows.flatMap((row) => [row.low, row.high, row.value]);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const ends = [...last.values()];
  const offsets = spreadApart(ends.map((row) => PLOT * (1 - (row.value - low) / (high - low || 1))));
  return rows.map((row) =>
    ends.includes(row) ? { ...row, name: row.label, dy: offsets[ends.indexOf(row)] } : { ...row, name: "", dy: 0 },
  );
}

/** Lines named at their right ends. */
function namedEnds(spec) {
  const [lines] = spec.layer;
  const { x, y, color } = lines.encoding;
  spec.layer.push({
    data: lines.data,
    mark: { type: "text", align: "left", baseline: "middle", fontSize: 11, dx: 9, dy: { expr: "datum.dy" } },
    encoding: { x, y, color, text: { field: "name" } },
  });
  return Object.assign(spec, { height: PLOT, padding: { left: 5, top: 5, bottom: 5, right: 190 } });
}

/** The measured numbers by method and tokens, and the methods' memory. */
function costTables(core, bench, { key, title, unit, of, show, steps }) {
  const tokens = [...new Set(steps.map((step) => step.tokens))].sort((a, b) => a - b);
  const labels = [...new Set(steps.map((step) => step.label))];
  const at = (label, n) => steps.find((step) => step.label === label && step.tokens === n);
  const value = (label, n) => {
    const step = at(label, n);
    return step ? of(step) : null;
  };
  const noise = (step) =>
    key === "ratio" && step && !missing(step.ratio_low)
      ? `[${ratioText(step.ratio_low)}, ${ratioText(step.ratio_high)}]`
      : "";
  const name = (label) => [
    swatch(
      core,
      bench.steps.find((step) => step.label === label)?.method ??
        bench.methods.find((each) => each.label === label)?.method,
    ),
    label,
  ];
  const columns = [
    { id: "method", title: "Method", cell: name, text: String },
    ...tokens.map((n) => ({
      id: `t${n}`,
      title: `${count(n)} tokens`,
      unit: unit === "bytes" ? "" : unit,
      numeric: true,
      cell: (label) =>
        missing(value(label, n))
          ? { class: "none", title: "not measured, or out of memory", content: unseen("not measured") }
          : [show(value(label, n)), " ", el("span", { class: "noise" }, noise(at(label, n)))],
      text: (label) => `${show(value(label, n))} ${noise(at(label, n))}`.trim(),
    })),
  ];
  const methods = [
    { id: "method", title: "Method", cell: ({ label }) => name(label), text: ({ label }) => label },
    ...[
      ["trained", "Trained numbers", count],
      ["base_bytes", "Base weights", (x) => short(x, true)],
      ["resident_bytes", "Resident in training", (x) => short(x, true)],
    ]
      .filter(([field]) => bench.methods.some((each) => !missing(each[field])))
      .map(([field, head, print]) => ({ id: field, title: head, numeric: true, cell: (each) => print(each[field]) })),
  ];
  return [
    copyButtons("cost", () => ({ columns, rows: labels })),
    dataTable({ id: "cost", caption: `${title}, by tokens of a step`, columns, rows: labels }),
    el("h3", {}, "What each method keeps in memory"),
    dataTable({
      id: "resident",
      caption: "",
      label: "Numbers and bytes by method",
      columns: methods,
      rows: bench.methods,
    }),
  ];
}
