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
 * Draw the figure `name` with rows. channels: {name: {title, scale}} to put into every encoding of that channel.
 * said: what it shows, for readers of the screen; its numbers stand in a table beside it. adapt: changes the
 * specification.
 */
async function drawChart(box, name, rows, channels, said, adapt = (spec) => spec) {
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", said);
  const [embed, charts] = await Promise.all([openVega(), open("charts")]);
  if (!box.isConnected) return;
  if (!embed || !charts?.[name]) {
    box.replaceChildren(el("p", { class: "small" }, "This file has no figures; the table has all of their numbers."));
    return;
  }
  const spec = { datasets: { rows }, ...adapt(withChannels(structuredClone(charts[name]), channels)) };
  spec.autosize = { type: "fit-x", contains: "padding" };
  spec.config = { ...spec.config, font: getComputedStyle(document.body).fontFamily };
  const holder = el("div", { class: "drawn" });
  box.replaceChildren(holder);
  box.classList.add("full");
  const theme = document.documentElement.dataset.theme === "dark" ? "dark" : "light";
  await embed(holder, spec, { ast: true, renderer: "svg", actions: false, logLevel: 1, tooltip: { theme } });
  holder.querySelector("svg")?.setAttribute("aria-hidden", "true");
}

/** A specification with titles and scales of channels replaced, in all of its layers. */
function withChannels(spec, channels) {
  for (const [channel, { title, scale, axis }] of Object.entries(channels)) {
    const own = spec.encoding?.[channel];
    if (own && title !== undefined && own.title !== null) own.title = title;
    if (own && scale && own.scale) own.scale = JSON.parse(JSON.stringify({ ...own.scale, ...scale }));
    if (own && axis) own.axis = { ...own.axis, ...axis };
  }
  spec.layer?.forEach((layer) => withChannels(layer, channels));
  return spec;
}

/** Matplotlib's markers as Vega's shapes. */
const SHAPES = {
  o: "circle",
  s: "square",
  D: "diamond",
  "^": "triangle-up",
  v: "triangle-down",
  P: "cross",
  "<": "triangle-left",
  ">": "triangle-right",
  X: "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z",
  "*": "M0,-1L.23,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.23,-.31Z",
};
const HEXAGON = "M0,-1L.87,-.5L.87,.5L0,1L-.87,.5L-.87,-.5Z";

/** {colour, shape} of a method, as the specifications take them. */
function drawnAs(core, method) {
  return { colour: colourOf(core, method), shape: SHAPES[lookOf(core, method).marker] ?? HEXAGON };
}
