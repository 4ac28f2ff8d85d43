// Section: step time and memory against the tokens of a step, by device.

const MEASURES = {
  ratio: ["Step time over the reference's", "times", (step) => step.ratio, three], seconds: ["Step time", "s", (step) => step.seconds, three],
  saved: ["Saved for the backward pass", "bytes", (step) => step.saved_bytes, (x) => short(x, true)], peak: ["Peak memory", "bytes", (step) => step.peak_bytes, (x) => short(x, true)],
};

function costSection(root, core, state) {
  root.append(el("h2", {}, "Step time and memory"));
  if (!core.bench?.length) {
    root.append(el("p", {}, "Nothing was measured: ", el("code", {}, "make bench"), " makes the files."));
    return null;
  }
  const place = core.bench[Number(state.get("bench"))] ? Number(state.get("bench")) : 0;
  const bench = core.bench[place];
  const key = MEASURES[state.get("measure")] ? state.get("measure") : "ratio";
  const [title, unit, of, show] = MEASURES[key];
  const steps = bench.steps.filter((step) => !missing(of(step)));
  const chart = el("div", { class: "chart", id: "cost-chart" });
  root.append(el("div", { class: "controls" },
    choice("cost-bench", "Device", core.bench.map((each, i) => [i, `${each.device}: ${each.panel}`]), place, (value) => change({ bench: value })),
    choice("cost-measure", "Measured", Object.entries(MEASURES).map(([id, [word]]) => [id, word]), key, (measure) => change({ measure }))),
  el("p", { class: "small" }, bench.about ?? "", ` Reference: ${bench.reference}.`), chart, ...costTables(core, bench, { key, title, unit, of, show, steps }));
  const rows = steps.map((step) => ({
    tokens: step.tokens, value: of(step), label: step.label, ...drawnAs(core, step.method),
    low: key === "ratio" ? step.ratio_low ?? step.low ?? of(step) : of(step), high: key === "ratio" ? step.ratio_high ?? step.high ?? of(step) : of(step),
  }));
  return drawChart(chart, "cost", rows, { y: { title: `${title} (${unit})`, axis: { format: "~s" } } }, `${title} against tokens a step; the table below has the numbers`);
}

function costTables(core, bench, { key, title, unit, of, show, steps }) {
  const tokens = [...new Set(steps.map((step) => step.tokens))].sort((a, b) => a - b);
  const labels = [...new Set(steps.map((step) => step.label))];
  const at = (label, n) => steps.find((step) => step.label === label && step.tokens === n);
  const value = (label, n) => { const step = at(label, n); return step ? of(step) : null; };
  const noise = (step) => (key === "ratio" && step && !missing(step.ratio_low) ? `[${three(step.ratio_low)}, ${three(step.ratio_high)}]` : "");
  const name = (label) => [swatch(core, bench.steps.find((step) => step.label === label)?.method ?? bench.methods.find((each) => each.label === label)?.method), label];
  const columns = [{ id: "method", title: "Method", cell: name, text: String }, ...tokens.map((n) => ({
    id: `t${n}`, title: `${count(n)} tokens`, unit: unit === "bytes" ? "" : unit, numeric: true,
    cell: (label) => (missing(value(label, n)) ? { class: "none", title: "not measured, or out of memory", content: unseen("not measured") } : [show(value(label, n)), " ", el("span", { class: "noise" }, noise(at(label, n)))]),
    text: (label) => `${show(value(label, n))} ${noise(at(label, n))}`.trim() }))];
  const methods = [{ id: "method", title: "Method", cell: ({ label }) => name(label), text: ({ label }) => label },
    ...[["trained", "Trained numbers", count], ["base_bytes", "Base weights", (x) => short(x, true)], ["resident_bytes", "Resident in training", (x) => short(x, true)]]
      .filter(([field]) => bench.methods.some((each) => !missing(each[field]))).map(([field, head, print]) => ({ id: field, title: head, numeric: true, cell: (each) => print(each[field]) }))];
  return [copyButtons("cost", () => ({ columns, rows: labels })), dataTable({ id: "cost", caption: `${title}, by tokens of a step`, columns, rows: labels }),
    el("h3", {}, "What each method keeps in memory"), dataTable({ id: "resident", caption: "", label: "Numbers and bytes by method", columns: methods, rows: bench.methods })];
}
