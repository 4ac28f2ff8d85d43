// The one way in which elements are made: texts are texts, never markup.

/** An element. props: attributes, and `on`: {event: listener}. children: nodes, strings, arrays; nothing is left out. */
function el(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** As `el`, of SVG. */
function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

/** Attributes, listeners and children put into a new node. */
function filled(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "style") Object.entries(value).forEach(([key, to]) => node.style.setProperty(key, to));
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false && child !== ""),
  );
  return node;
}

/** A labelled <select>. options: [[value, text], ...]. */
function choice(id, label, options, value, change) {
  const list = options.map(([key, text]) =>
    el("option", { value: key, selected: String(key) === String(value) }, text),
  );
  return el(
    "label",
    { class: "field" },
    el("span", {}, label),
    el("select", { id, on: { change: (event) => change(event.target.value) } }, list),
  );
}

/** A labelled <input>; change is called while typing. */
function entry(id, label, value, change, props = {}) {
  const input = el("input", {
    id,
    type: "text",
    value: value ?? "",
    autocomplete: "off",
    ...props,
    on: { input: (event) => change(event.target.value) },
  });
  return el("label", { class: "field" }, el("span", {}, label), input);
}

/** A checkbox with its label. */
function check(id, label, checked, change) {
  return el(
    "label",
    { class: "check" },
    el("input", { id, type: "checkbox", checked, on: { change: (event) => change(event.target.checked) } }),
    el("span", {}, label),
  );
}

/** A <button> that does something. */
function button(text, click, props = {}) {
  return el("button", { type: "button", ...props, on: { click } }, text);
}

/** Sentences below a table. */
function notes(sentences) {
  return sentences?.length
    ? el(
        "ul",
        { class: "notes" },
        sentences.map((text) => el("li", {}, text)),
      )
    : "";
}

/** A dot in a method's colour; decoration, so hidden from readers of the screen. */
function swatch(core, method) {
  return el("span", { class: "swatch", "aria-hidden": "true", style: { background: colourOf(core, method) } });
}

/** Said to screen readers and shown for a moment. */
function say(text) {
  document.getElementById("said").textContent = text;
}
