// A table that sorts by its heads, scrolls in its own box, and can be copied as it is shown.

/**
 * @typedef {{id: string, title: string, unit?: string, numeric?: boolean, value?: (row) => *, cell: (row) => *,
 *   text?: (row) => string, hint?: string}} TableColumn
 *   cell: what stands in the cell, or {class, title, content}; value: what is sorted by; text: what is copied
 */

/** One <table> in a box. sort: "id" or "-id" (downwards); onSort(sort). rowClass: of a row. */
function dataTable({ id, caption, columns, rows, sort = "", onSort = null, rowClass = null, label = caption }) {
  const shown = sortedRows(rows, columns, sort);
  const head = el(
    "tr",
    {},
    columns.map((column) => headCell(id, column, sort, onSort)),
  );
  const body = shown.map((row) =>
    el(
      "tr",
      { class: rowClass?.(row) },
      columns.map((column, i) => bodyCell(column, row, i === 0)),
    ),
  );
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    el("table", { id }, caption ? el("caption", {}, caption) : null, el("thead", {}, head), el("tbody", {}, body)),
  );
}

/** A column's head; a button where the table can be sorted by it. */
function headCell(id, column, sort, onSort) {
  const unit = column.unit ? el("span", { class: "unit" }, ` ${column.unit}`) : null;
  const props = { scope: "col", class: column.numeric ? "number" : null, title: column.hint };
  if (!onSort || !column.value) return el("th", props, column.title, unit);
  const [up, down] = [sort === column.id, sort === `-${column.id}`];
  const next = column.numeric
    ? down
      ? column.id
      : up
        ? ""
        : `-${column.id}`
    : up
      ? `-${column.id}`
      : down
        ? ""
        : column.id;
  const mark = el("span", { class: "sorted", "aria-hidden": "true" }, up ? " ↑" : down ? " ↓" : "");
  return el(
    "th",
    { ...props, "aria-sort": up ? "ascending" : down ? "descending" : "none" },
    button([column.title, unit, mark], () => onSort(next), { class: "head", id: `${id}-${column.id}` }),
  );
}

/** One cell; the first of a row is its head. */
function bodyCell(column, row, first) {
  const made = column.cell(row);
  const plain =
    made === null || made === undefined || made instanceof Node || Array.isArray(made) || typeof made !== "object";
  const { content, title, ...rest } = plain ? { content: made } : made;
  const classes = [column.numeric ? "number" : "", rest.class ?? ""].join(" ").trim();
  return el(first ? "th" : "td", { scope: first ? "row" : null, title, class: classes || null }, content ?? "");
}

/** Rows in the order of a column; what is missing comes last either way. */
function sortedRows(rows, columns, sort) {
  const column = columns.find((each) => each.id === sort.replace(/^-/, ""));
  if (!column?.value) return rows;
  const turn = sort.startsWith("-") ? -1 : 1;
  const empty = (value) => missing(value) || value === "";
  return [...rows].sort((one, other) => {
    const [a, b] = [column.value(one), column.value(other)];
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    return turn * (typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b), "en") : a - b);
  });
}

/** Text that eyes skip and screen readers read. */
function unseen(text) {
  return el("span", { class: "unseen" }, text);
}
