// Section: a card for each method.

/** All methods that have a card, in the order of tables. */
function methodsSection(root, core, state) {
  const cards = core.methods.filter(({ id }) => core.cards[id]);
  root.append(
    el("h2", {}, "Methods"),
    el(
      "p",
      { class: "lead" },
      "W0 is the frozen weight of a layer with m outputs and n inputs, W0 = U diag(s) Vᵀ. p = min(m, n). Patterns are those of M in a small layer: a filled cell is a trained number.",
    ),
    el(
      "div",
      { class: "cards" },
      cards.map((method) => methodCard(core, method, core.cards[method.id])),
    ),
  );
  return null;
}

/** Formula, pattern, count, use, cost and source of one method. */
function methodCard(core, method, card) {
  const labels = [...new Set(core.rows.filter((row) => row.method === method.id).map((row) => row.label))].sort(
    (a, b) => a.localeCompare(b, "en", { numeric: true }),
  );
  const facts = [
    ["Trains", card.count],
    ["Take it when", card.use ?? card.good_for],
    ["Not when", card.avoid ?? card.not_for],
    ["Measured here as", listed(labels)],
    ["Cost", costWords(core, method.id)],
    ["Source", card.source],
  ];
  return el(
    "article",
    { class: "card", "aria-labelledby": `card-${method.id}` },
    el("h3", { id: `card-${method.id}` }, swatch(core, method.id), method.name),
    el("p", { class: "formula" }, card.formula),
    card.pattern ? patternPicture(card.pattern) : null,
    el(
      "dl",
      {},
      facts.filter(([, text]) => text).map(([word, text]) => el("div", {}, el("dt", {}, word), el("dd", {}, text))),
    ),
    labels.length
      ? el(
          "p",
          { class: "small" },
          el(
            "a",
            { href: addressOf("explorer", { board: EVERY, family: method.family }, GLOBAL) },
            `Scores of ${method.family}`,
          ),
        )
      : null,
  );
}

/** Step time over the reference's, of all devices and models. */
function costWords(core, id) {
  const ranges = (core.bench ?? []).flatMap((bench) => {
    const ratios = bench.steps
      .filter((step) => lookOf(core, step.method).id === id && !missing(step.ratio))
      .map((step) => step.ratio);
    return ratios.length
      ? [
          `${ratioText(Math.min(...ratios))} to ${ratioText(Math.max(...ratios))} times the step of ${bench.reference} (${bench.panel})`,
        ]
      : [];
  });
  return [...ranges.slice(0, 2), ...measuredSteps(core, id)].join("; ");
}

/** M's entries as squares. */
function patternPicture({ rows, columns, ones }) {
  return svg(
    "svg",
    {
      viewBox: `-0.5 -0.5 ${columns + 1} ${rows + 1}`,
      class: "pattern",
      role: "img",
      "aria-label": `${counted(ones.length, "trained number")} of ${rows * columns}`,
    },
    svg("rect", { x: 0, y: 0, width: columns, height: rows, class: "empty" }),
    ones.map(([i, j]) => svg("rect", { x: j + 0.06, y: i + 0.06, width: 0.88, height: 0.88, class: "one" })),
  );
}
