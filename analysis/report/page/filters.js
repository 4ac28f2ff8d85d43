// What narrows the explorer: filters of its lines, and which columns are shown.

const FILTERS = ["q", "family", "layers", "recipe", "base", "task", "seeds", "most"]; // names in the state

const FACETS = {
  family: ["Family", (core, { own }) => lookOf(core, own.method).family],
  layers: ["Layers", (core, { own }) => own.targets],
  recipe: ["Recipe", (core, { row }) => row?.recipe],
  base: ["Base", (core, { own, row }) => own.model ?? row?.model_label],
  task: [
    "Task",
    (core, { row, board, column }) => row?.task_label ?? (column === undefined ? "" : board.columns[column].task),
  ],
};

/** Lines that pass all filters of the state. @param {ExplorerRow[]} rows */
function filtered(core, rows, state) {
  const words = state.get("q").toLowerCase().split(/\s+/).filter(Boolean);
  const [seeds, most] = [Number(state.get("seeds") || 0), readNumber(state.get("most"))];
  return rows.filter((each) => {
    if (Object.entries(FACETS).some(([name, [, of]]) => state.get(name) && (of(core, each) ?? "") !== state.get(name)))
      return false;
    if (seeds && (seedsOf(each) ?? 0) < seeds) return false;
    if (most !== null && (each.own.params === null || each.own.params > most)) return false;
    const text = [each.own.label, each.own.targets, ...Object.values(FACETS).map(([, of]) => of(core, each))]
      .join(" ")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** "50k", "1.2M", "3,000", "1e5" -> a number; null where it is none. */
function readNumber(text) {
  const plain = text.trim();
  const found = (/^\d{1,3}(,\d{3})+$/.test(plain) ? plain.replaceAll(",", "") : plain).match(
    /^(\d+(?:\.\d+)?(?:e\d)?|\.\d+)\s*([kKmMbB]?)$/,
  );
  return found ? Number(found[1]) * { "": 1, k: 1e3, m: 1e6, b: 1e9 }[found[2].toLowerCase()] : null;
}

/** Search, facets with more than one value, budget and seeds. */
function filterControls(core, rows, state) {
  const facets = Object.entries(FACETS).flatMap(([name, [title, of]]) => {
    const values = [...new Set(rows.map((each) => of(core, each)).filter(Boolean))].sort((a, b) =>
      a.localeCompare(b, "en"),
    );
    return values.length > 1 || state.get(name)
      ? [
          choice(
            `filter-${name}`,
            title,
            [["", "all"], ...values.map((value) => [value, value])],
            state.get(name),
            (value) => change({ [name]: value }),
          ),
        ]
      : [];
  });
  const most = state.get("most");
  return el(
    "div",
    { class: "controls filters", role: "group", "aria-label": "Filters" },
    entry("filter-q", "Search", state.get("q"), (q) => change({ q }, { replace: true }), {
      type: "text",
      placeholder: "method, layers, ...",
    }),
    facets,
    entry("filter-most", "Trained at most", most, (value) => change({ most: value }, { replace: true }), {
      placeholder: "50k",
      size: 8,
      "aria-invalid": most && readNumber(most) === null ? "true" : null,
    }),
    choice(
      "filter-seeds",
      "Seeds at least",
      [["", "any"], ...[2, 3, 5, 10].map((n) => [n, n])],
      state.get("seeds"),
      (value) => change({ seeds: value }),
    ),
  );
}

/** A checkbox a column. */
function columnControls(columns, shown) {
  const on = new Set(shown.map((column) => column.id));
  const toggle = (id, wanted) =>
    change({
      cols: columns
        .map((column) => column.id)
        .filter((each) => (each === id ? wanted : on.has(each)))
        .join(","),
    });
  return el(
    "details",
    { class: "columns", open: columnsOpen, on: { toggle: (event) => (columnsOpen = event.target.open) } },
    el("summary", { id: "columns-summary" }, `Columns: ${shown.length} of ${columns.length}`),
    el(
      "div",
      { class: "checks" },
      columns
        .filter((column) => column.id !== "method")
        .map((column) =>
          check(`column-${column.id}`, column.title, on.has(column.id), (wanted) => toggle(column.id, wanted)),
        ),
      button("Usual columns", () => change({ cols: "" }), { class: "quiet", id: "columns-usual" }),
    ),
  );
}

let columnsOpen = false;
