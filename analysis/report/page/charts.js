// Figures: Vega-Lite specifications from Python, drawn by Vega, which is opened with the first of them.

let vegaReady = null;

/** window.vegaEmbed, after the script in the element `vega` has run. Null where the file has none. */
function openVega() {
  vegaReady ??= unpack("vega").then(async (text) => {
    if (!text) return null;
    const ready = new Promise((found) => globalThis.addEventListener("vega-ready", found, { once: true }));
    const script = document.createElement("script");
    script.type = "module";
    script.textContent = text;
    document.head.append(script);
    await ready;
    return globalThis.vegaEmbed;
  });
  return vegaReady;
}

/**
 * Draw the figure `name` with rows. fields: {channel: {title, scale}} to put into every encoding of that channel.
 * said: what the figure shows, for readers of the screen; the numbers stand in a table beside it.
 */
async function drawChart(box, name, rows, fields, said, extra = {}) {
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", said);
  const [embed, charts] = await Promise.all([openVega(), open("charts")]);
  if (!box.isConnected) return;
  if (!embed || !charts?.[name]) {
    box.replaceChildren(el("p", { class: "small" }, "This file has no figures; the table has all of their numbers."));
    return;
  }
  const spec = withFields({ ...structuredClone(charts[name]), ...extra }, fields);
  spec.data = { name: "rows" };
  spec.datasets = { rows };
  const holder = el("div");
  box.replaceChildren(holder);
  await embed(holder, spec, { ast: true, renderer: "svg", actions: false, config: chartLook(), tooltip: { theme: document.documentElement.dataset.theme } });
  holder.querySelector("svg")?.setAttribute("aria-hidden", "true");
}

/** A specification with titles and scales of channels replaced, in all of its layers. */
function withFields(spec, fields) {
  for (const [channel, { title, scale }] of Object.entries(fields)) {
    const own = spec.encoding?.[channel];
    if (own && title !== undefined) Object.assign(own, { title });
    if (own && scale) own.scale = { ...own.scale, ...scale };
  }
  for (const part of ["layer", "hconcat", "vconcat"]) spec[part]?.forEach((each) => withFields(each, fields));
  if (spec.spec) withFields(spec.spec, fields);
  return spec;
}

/** Vega's colours and fonts, as the page's. */
function chartLook() {
  const style = getComputedStyle(document.documentElement);
  const [ink, faint, line, ground] = ["--ink", "--faint", "--line", "--ground"].map((name) => style.getPropertyValue(name).trim());
  const font = getComputedStyle(document.body).fontFamily;
  return {
    background: "transparent", font, view: { stroke: null },
    axis: { labelColor: faint, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500, labelFontSize: 11, titleFontSize: 12 },
    legend: { labelColor: ink, titleColor: ink }, title: { color: ink }, text: { color: ink }, rule: { color: faint }, point: { stroke: ground },
  };
}
