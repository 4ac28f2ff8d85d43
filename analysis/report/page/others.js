// Parts of the paper's section: values that other papers print, and what does not follow.

/** Rows of other papers; lines in bold are headings. */
function othersPart(root, core, state) {
  const all = [core.others ?? []].flat();
  const chosen = all.find((each) => each.name === state.get("other")) ?? all[0];
  if (!chosen) {
    root.append(el("p", {}, "No values of other papers are kept here."));
    return null;
  }
  const plain = (text) => text.replace(/\*\*/g, "");
  const columns = chosen.columns.map((title, i) => ({
    id: `o${i}`,
    title,
    numeric:
      i > 0 &&
      chosen.lines.some((line) => line[i]) &&
      chosen.lines.every((line) => /^[\d.,+\-−%\s[\]±]*$/.test(line[i])),
    cell: (line) => plain(line[i] ?? ""),
  }));
  if (all.length > 1)
    root.append(
      el(
        "div",
        { class: "controls" },
        choice(
          "paper-other",
          "Table",
          all.map((each) => [each.name, each.title]),
          chosen.name,
          (other) => change({ other }),
        ),
      ),
    );
  root.append(
    copyButtons("others", () => ({ columns, rows: chosen.lines })),
    dataTable({
      id: "others",
      caption: chosen.title,
      columns,
      rows: chosen.lines,
      rowClass: (line) => (/^\*\*/.test(line[0]) ? "heading" : null),
    }),
    notes(chosen.notes),
  );
  return null;
}

/** All checks of the paper's numbers that do not hold. */
function misprintsPart(root, core, state) {
  const { errata } = core;
  if (!errata) {
    root.append(el("p", {}, "The paper's counts were not made from these records."));
    return null;
  }
  const kinds = [...new Set(errata.lines.map((line) => line.kind))];
  const rows = errata.lines.filter((line) => !state.get("kind") || line.kind === state.get("kind"));
  const columns = [
    { id: "place", title: "Where", cell: (line) => line.place },
    { id: "printed", title: "Said", numeric: true, cell: (line) => line.printed ?? "" },
    { id: "computed", title: "Follows", numeric: true, cell: (line) => line.computed ?? "" },
    { id: "kind", title: "Kind", cell: (line) => line.kind },
    { id: "how", title: "How", cell: (line) => ({ content: line.text, class: "prose" }) },
  ];
  root.append(
    el(
      "p",
      {},
      `${count(errata.checks)} numbers of the paper were checked against each other, against counts of its models and against its scripts. ${count(errata.failed)} do not hold.`,
    ),
    el(
      "div",
      { class: "controls" },
      choice("errata-kind", "Kind", [["", "all"], ...kinds.map((kind) => [kind, kind])], state.get("kind"), (kind) =>
        change({ kind }),
      ),
      copyButtons("errata", () => ({ columns, rows })),
    ),
    dataTable({ id: "errata", caption: "", label: "What does not hold", columns, rows }),
  );
  return null;
}
