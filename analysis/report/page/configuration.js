// Tab: the configuration of a row, and where a second one's differs.

// The seed, how a method is drawn, and rates from which a run takes one: the one that it took is train.lr.
const ASIDE = /^config\.(seed$|method\.(plot\.|lr$)|recipe\.picked\.)/;

/** Settings in words, then the values of the configuration in which two rows differ, or all. */
async function configurationTab(panel, core, { board, line, column, second, state }) {
  const details = await open("details");
  if (!details?.fields) {
    panel.append(el("p", {}, "This file has no configurations."));
    return;
  }
  const all = state.get("show") === "all";
  const runs = [line, second].map((each) =>
    each === null ? [] : board.cells[each][column].outcomes.map(({ run }) => run),
  );
  const rows = Object.entries(details.fields)
    .filter(([name]) => name.startsWith("config.") && !name.match(ASIDE))
    .map(([name, field]) => ({ name: name.slice(7), own: fieldOver(field, runs[0]), other: fieldOver(field, runs[1]) }))
    .filter(({ own, other }) => (all ? own || other : second !== null && own !== other));
  const words = settingsOf(core, board, line, second, column);
  const columns = (title, own, other) => [
    { id: "name", title, cell: ({ name }) => name },
    { id: "own", title: board.lines[line].label, cell: (row) => ({ content: own(row) || "–", class: "code" }) },
    ...(second === null
      ? []
      : [
          {
            id: "other",
            title: lineTitle(board, second, column),
            cell: (row) => ({ content: other(row) || "–", class: row.own === row.other ? "code" : "code differs" }),
          },
        ]),
  ];
  panel.append(
    el("h3", {}, "In words"),
    words.length
      ? dataTable({
          id: "settings",
          caption: "",
          label: "Settings in words",
          rows: words,
          columns: columns(
            "Setting",
            (row) => row.own,
            (row) => row.other,
          ),
        })
      : el("p", { class: "small" }, "Nothing was run."),
    el("h3", {}, all || second === null ? "Whole configuration" : `What differs: ${counted(rows.length, "value")}`),
    check("configuration-all", "Show values that are equal, too", all, (wanted) =>
      change({ show: wanted ? "all" : "" }),
    ),
    dataTable({
      id: "configuration",
      caption: "",
      label: "Configuration",
      rows,
      columns: columns(
        "Value",
        (row) => row.own,
        (row) => row.other,
      ),
    }),
  );
}

/** A field's value over runs: the one that all have, or all of them. "" where none has it. */
function fieldOver({ values, of }, runs) {
  const found = [...new Set(runs.filter((run) => of[run] >= 0).map((run) => fieldText(values[of[run]])))];
  return found.length > 4 ? `${found.slice(0, 3).join(" | ")} | … (${found.length} values)` : found.join(" | ");
}

/** Settings in words of both rows, by their names. @returns {Array<{name: string, own: string, other: string}>} */
function settingsOf(core, board, line, second, column) {
  const [own, other] = [line, second].map(
    (each) => (each === null ? null : rowOf(core, board, each, column))?.settings ?? {},
  );
  return [...new Set([...Object.keys(own), ...Object.keys(other)])].map((name) => ({
    name,
    own: own[name] ?? "",
    other: other[name] ?? "",
  }));
}
