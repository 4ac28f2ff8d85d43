// A table as Markdown, CSV or LaTeX: heads and cells are texts.

const plainText = (column, row) => {
  if (column.text) return column.text(row);
  const made = column.cell(row);
  return made === null || made === undefined
    ? ""
    : typeof made === "object"
      ? String(made.content ?? made.textContent ?? "")
      : String(made);
};

const headText = (column) => (column.unit ? `${column.title} (${column.unit})` : column.title);

/** Heads and lines as texts; `empty` stands where there is nothing. @returns {string[][]} */
function grid(columns, rows, empty = "") {
  return [columns.map(headText), ...rows.map((row) => columns.map((column) => plainText(column, row) || empty))];
}

const plainMarkdown = (text) => text.replace(/[\\|*_`<>[\]&$~]/g, "\\$&").replace(/\s+/g, " ");

/** Lines of Markdown; what would end a cell or act as markup is escaped. */
function toMarkdown(columns, rows, note) {
  const [head, ...lines] = grid(columns, rows, "–").map((line) =>
    line.map(plainMarkdown),
  );
  const rule = columns.map((column) => (column.numeric ? "--:" : ":--"));
  return [head, rule, ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n") + `\n${note ? `\n${plainMarkdown(note)}\n` : ""}`;
}

/** RFC 4180. A cell that a spreadsheet would take for a formula begins with an apostrophe. */
function toCsv(columns, rows) {
  const quoted = (text) => {
    const safe = /^[=@\t\r\n]|^[+-](?![\d.][^=!|()A-Za-z]*$)/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return (
    grid(columns, rows)
      .map((line) => line.map((text) => quoted(text.replaceAll("−", "-"))).join(","))
      .join("\r\n") + "\r\n"
  );
}

const LATEX = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  "&": "\\&",
  "%": "\\%",
  $: "\\$",
  "#": "\\#",
  _: "\\_",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "−": "$-$",
  "±": "$\\pm$",
  "▲": "$\\blacktriangle$",
  "▼": "$\\blacktriangledown$",
};

/** A tabular with booktabs' rules. A line that begins with [ or * would be read as an option of the line's end above it. */
function toLatex(columns, rows, note) {
  const [head, ...lines] = grid(columns, rows, "--").map((line) =>
    line
      .map((text) => text.replace(/[\\{}&%$#_~^−±▲▼]/g, (c) => LATEX[c]).replace(/\s+/g, " "))
      .join(" & ")
      .replace(/^[[*]/, "{$&}"),
  );
  const shape = columns.map((column) => (column.numeric ? "r" : "l")).join("");
  return [
    "% packages: booktabs, amssymb",
    ...(note ? [`% ${note.replace(/\s+/g, " ")}`] : []),
    `\\begin{tabular}{${shape}}`,
    "\\toprule",
    `${head} \\\\`,
    "\\midrule",
    ...lines.map((line) => `${line} \\\\`),
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
}

/** Into the clipboard; where the browser does not allow that, a box with the text selected. */
async function copy(text, what) {
  report.copied = text;
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied as ${what}.`);
  } catch {
    const dialog = document.getElementById("copied");
    const area = el("textarea", { rows: 16, readonly: true, "aria-label": what, spellcheck: "false" });
    area.value = text;
    dialog.replaceChildren(
      el("h2", { id: "copied-title" }, `${what}: copy with Ctrl+C`),
      area,
      button("Close", () => dialog.close()),
    );
    dialog.showModal();
    area.select();
  }
}

/** Three buttons; table() gives {columns, rows} as they are shown, and `note`, which stands below a table of text. */
function copyButtons(id, table) {
  const make = (what, write) =>
    button(
      what,
      () => {
        const { columns, rows, note } = table();
        copy(write(columns, rows, note), what);
      },
      { id: `${id}-${what.toLowerCase()}`, class: "quiet" },
    );
  return el(
    "div",
    { class: "copy", role: "group", "aria-label": "Copy the table" },
    el("span", { class: "small" }, "Copy as"),
    make("Markdown", toMarkdown),
    make("CSV", toCsv),
    make("LaTeX", toLatex),
  );
}
