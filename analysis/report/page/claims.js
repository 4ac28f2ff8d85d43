// Part of the paper's section: claims, written down before the runs, with their verdicts and evidence.

const OUTCOMES = ["holds", "fails", "not told apart", "not tested"];

/** All claims by their verdict over all columns; each opens its evidence. */
function claimsPart(root, core, state) {
  const { rules, lines } = Array.isArray(core.claims)
    ? { rules: [], lines: core.claims }
    : (core.claims ?? { rules: [], lines: [] });
  if (!lines.length) {
    root.append(el("p", {}, "No experiment among these records judges a claim."));
    return null;
  }
  const wish = state.get("verdict");
  const number = (verdict) => lines.filter((claim) => claim.verdict === verdict).length;
  root.append(
    el(
      "p",
      { class: "lead" },
      "Claims were written down before the runs. Each is judged on every column that has its rows. The verdict beside it is over tasks: of one task, one column enters.",
    ),
    el(
      "dl",
      { class: "facts" },
      OUTCOMES.map((verdict) => el("div", {}, el("dt", {}, verdict), el("dd", {}, count(number(verdict))))),
    ),
    el(
      "div",
      { class: "controls" },
      choice(
        "claims-verdict",
        "Verdict over all",
        [["", "all"], ...OUTCOMES.map((each) => [each, each])],
        wish,
        (verdict) => change({ verdict }),
      ),
    ),
  );
  const drawn = [];
  for (const claim of lines.filter((each) => !wish || each.verdict === wish))
    root.append(claimBox(claim, state.get("claim") === claim.id, drawn));
  root.append(notes(rules));
  return Promise.all(drawn);
}

/** One claim, closed but for the one that the state names. drawn: promises of the figures it draws. */
function claimBox(claim, opened, drawn) {
  const single = claim.parts.filter((part) => part.column !== "all" && part.verdict !== "not tested");
  const words = [...new Set(single.map((part) => part.verdict))];
  const partly = words.some((word) => word !== claim.verdict) ? words : [];
  const fill = (box) => {
    if (box.children.length > 1) return;
    const chart = el("div", { class: "chart" });
    box.append(claimNotes(claim), evidenceTable(claim), chart);
    drawn.push(drawEvidence(chart, claim));
  };
  const box = el(
    "details",
    {
      class: "claim",
      open: opened,
      on: {
        toggle: (event) => {
          if (!event.target.open) return;
          fill(event.target);
          change({ claim: claim.id }, { replace: true });
        },
      },
    },
    el(
      "summary",
      { id: `claim-${claim.id}` },
      el("span", { class: `outcome o-${claim.verdict.replaceAll(" ", "-")}` }, claim.verdict),
      el(
        "span",
        { class: "words" },
        el("b", {}, `${claim.id} `),
        claim.claim,
        " ",
        el(
          "span",
          { class: "small" },
          `${claim.where}${partly.length ? `. On single columns: ${listed(partly)}` : ""}`,
        ),
      ),
    ),
  );
  if (opened) fill(box);
  return box;
}

/** What its verdict over all rests on; other columns are of the same task as one of these, or losses. */
function overWords(claim) {
  const { over } = claim;
  return over.length === 1
    ? `which is that of ${over[0]} alone: no other column of another task tests it`
    : `a summary of ${over.length} columns: ${listed(over)}`;
}

/** What is said of a claim as a whole. */
function claimNotes(claim) {
  return el(
    "p",
    { class: "small" },
    [
      claim.note,
      claim.reason ? `Over all: ${claim.reason}.` : "",
      missing(claim.p) ? "" : `Over all: p ${pValue(claim.p)}, ${overWords(claim)}.`,
    ]
      .filter(Boolean)
      .join(" "),
  );
}

/** One line a column and contrast: estimate and interval in points, and the verdict. */
function evidenceTable(claim) {
  const points = (x) => signed(x, "%");
  const column = (id, title, of, numeric = true, unit = "") => ({
    id,
    title,
    unit,
    numeric,
    cell: (part) => of(part) ?? "",
  });
  return dataTable({
    id: `evidence-${claim.id}`,
    caption: "",
    label: `Evidence on ${claim.id}`,
    rows: claim.parts,
    columns: [
      column("column", "Column", (part) => (part.column === "all" ? `summary of ${counted(claim.over.length, "column")}` : part.column), false),
      column("contrast", "Contrast", (part) => part.contrast, false),
      column("mean", "Estimate", (part) => points(part.mean), true, "points"),
      column(
        "interval",
        "95 % interval",
        (part) => (missing(part.low) ? "" : `[${points(part.low)}, ${points(part.high)}]`),
        true,
        "points",
      ),
      column("smallest", "Smallest visible", (part) => score(part.smallest, "%"), true, "points"),
      column("seeds", "Seeds", (part) => count(part.seeds)),
      column("items", "Items", (part) => (part.items ? count(part.items) : "")),
      column("p", "p", (part) => pValue(part.p)),
      column("verdict", "Verdict", (part) => `${part.verdict}${part.reason ? `: ${part.reason}` : ""}`, false),
    ],
  });
}

/** Contrasts and their intervals in points; nothing where none was measured. */
function drawEvidence(chart, claim) {
  const measured = claim.parts.filter((part) => !missing(part.mean));
  const rows = measured.map((part) => ({
    claim: claim.id,
    column: `${part.column === "all" ? `summary of ${counted(claim.over.length, "column")}` : part.column}${new Set(measured.map((each) => each.contrast)).size > 1 ? `: ${part.contrast}` : ""}`,
    mean: 100 * part.mean,
    low: 100 * part.low,
    high: 100 * part.high,
    verdict: part.verdict,
  }));
  if (!rows.length) {
    chart.remove();
    return null;
  }
  return drawChart(
    chart,
    "forest",
    rows,
    { x: { axis: { tickCount: 8 } } },
    `Estimates and intervals of ${claim.id}`,
    (spec) => Object.assign(spec, { height: 26 * new Set(rows.map((row) => row.column)).size + 10 }),
  );
}
