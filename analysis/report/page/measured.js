// What each method costs and keeps: the printed table of a model, which sorts and can be copied.

/** Controls, table and notes of one model; nothing where none was measured. */
function methodCosts(core, state) {
  const every = core.method_costs ?? [];
  if (!every.length) return [el("p", { class: "small" }, "Made by ", el("code", {}, "make methods"), ".")];
  const place = every[Number(state.get("costs"))] ? Number(state.get("costs")) : 0;
  const one = every[place];
  const columns = one.heads.map((head, i) => costColumn(core, head, i));
  const sort = state.get("msort");
  return [
    el(
      "div",
      { class: "controls" },
      choice(
        "costs-model",
        "Model",
        every.map((each, i) => [i, `${each.model.replaceAll("_", "-")}, ${each.device}`]),
        place,
        (costs) => change({ costs }),
      ),
    ),
    el("p", { class: "small" }, `Step and Saved are ratios to ${one.reference}; the notes below say what is measured.`),
    copyButtons("costs", () => ({ columns, rows: sortedRows(one.rows, columns, sort) })),
    dataTable({
      id: "costs",
      caption: "",
      label: "Cost of each method",
      columns,
      rows: one.rows,
      sort,
      onSort: (msort) => change({ msort }),
    }),
    notes(one.notes.map(unmarked)),
  ];
}

/** A column of the printed table; a bold cell is more than rounding. @returns {TableColumn} */
function costColumn(core, head, i) {
  const name = i === 0;
  const text = ({ cells }) => unmarked(cells[i]);
  return {
    id: `h${i}`,
    title: head,
    numeric: !name && !["Rank", "Notes"].includes(head),
    value: ({ cells }) => (name ? cells[i] : leadingNumber(cells[i])),
    text,
    cell: (row) => ({
      class: row.cells[i].startsWith("**") ? "wrong" : null,
      content: name ? [swatch(core, row.method), text(row)] : text(row),
    }),
  };
}

/** Without the marks of bold text. */
function unmarked(text) {
  return text.replaceAll("**", "");
}

/** "1,024" is 1024, "1.02 [0.9, 1.1]" is 1.02; NaN where a cell does not begin with a number. */
function leadingNumber(text) {
  return Number.parseFloat(unmarked(text).replaceAll(",", ""));
}

/** "0.98, 1.02 times the step of LoRA (r=8) (micro-gemma, micro-vit)": of the models that were measured; or nothing. */
function measuredSteps(core, id) {
  const found = (core.method_costs ?? []).flatMap((one) => {
    const row = one.rows.find(({ method }) => method === id);
    const ratio = row ? leadingNumber(row.cells[one.heads.indexOf("Step")] ?? "") : NaN;
    return missing(ratio) ? [] : [{ ...one, ratio }];
  });
  if (!found.length) return [];
  const models = found.map(({ model }) => model.replaceAll("_", "-"));
  return [
    `${found.map(({ ratio }) => ratioText(ratio)).join(", ")} times the step of ${found[0].reference} (${models.join(", ")})`,
  ];
}
