// Section: what is printed, by the authors and by others, and what was reproduced.

const PAPER_PARTS = [
  ["printed", "Printed and reproduced", printedPart],
  ["claims", "Claims", claimsPart],
  ["others", "Printed by others", othersPart],
  ["misprints", "Misprints", misprintsPart],
];

/** One of the section's parts. */
function paperSection(root, core, state) {
  const [part, , draw] = PAPER_PARTS.find(([id]) => id === state.get("part")) ?? PAPER_PARTS[0];
  const links = PAPER_PARTS.map(([id, title]) =>
    el(
      "a",
      {
        href: addressOf("paper", { part: id === "printed" ? "" : id }, GLOBAL),
        "aria-current": id === part ? "true" : null,
      },
      title,
    ),
  );
  root.append(el("h2", {}, "The paper"), el("nav", { class: "parts", "aria-label": "Parts of the section" }, links));
  return draw(root, core, state);
}
