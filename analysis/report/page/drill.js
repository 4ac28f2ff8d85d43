// A number opened: its seeds, configuration, items and runs, beside those of a second row.

const DRILL = ["open", "with", "tab", "page", "seed", "show"]; // the names of the state that are the dialog's
const TABS = [
  ["seeds", "Seeds", seedsTab],
  ["items", "Items", itemsTab],
  ["configuration", "Configuration", configurationTab],
  ["runs", "Runs", runsTab],
];

/** @typedef {{board: Object, line: number, column: number, second: number|null, wish: string, state: Object}} Opened */

/** What the state has opened; null where that is not there. @returns {Opened|null} */
function openedNumber(core, state) {
  const [, name, line, column] = state.get("open").match(/^(.*)\.(\d+)\.(\d+)$/) ?? [];
  const board = core.boardOf.get(name);
  if (!board?.cells[line]?.[column]) return null;
  const wish = state.get("ref", state.section === "explorer" ? "printed" : "best");
  const [own, reference] = [Number(line), referenceOf(board, Number(column), wish)];
  const asked = state.get("with") === "" ? reference : Number(state.get("with"));
  const next = rankedLines(board, column).find((each) => each !== own) ?? null;
  const second =
    board.cells[asked]?.[column] && asked !== own ? asked : asked === own || reference === own ? next : reference;
  return { board, line: own, column: Number(column), second, wish, state };
}

/** Show, change or close the dialog as the state says. */
function drawDrill(core, state) {
  const dialog = document.getElementById("drill");
  const opened = state.get("open") ? openedNumber(core, state) : null;
  if (!opened) {
    if (dialog.open) dialog.close();
    return;
  }
  const [focus, scrolled] = [document.activeElement?.id, dialog.scrollTop];
  const [tab, , draw] = TABS.find(([id]) => id === state.get("tab")) ?? TABS[0];
  const panel = el("div", { id: "drill-panel", role: "tabpanel", "aria-labelledby": `tab-${tab}`, tabindex: "0" });
  dialog.replaceChildren(drillHead(core, opened), drillTabs(tab), panel);
  if (!dialog.open) dialog.showModal();
  else if (focus && dialog.querySelector(`#${CSS.escape(focus)}`)) {
    document.getElementById(focus).focus({ preventScroll: true });
    dialog.scrollTop = scrolled;
  }
  report.drilled = Promise.resolve(draw(panel, core, opened));
}

/** Closing by the keyboard, the button or the ground beside it goes back to the address without it. */
function closeDrillWithDialog() {
  const dialog = document.getElementById("drill");
  dialog.addEventListener(
    "close",
    () => currentState().get("open") && change(Object.fromEntries(DRILL.map((name) => [name, ""]))),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

/** What was opened, its verdict, and which row stands beside it. */
function drillHead(core, { board, line, column, second, wish }) {
  const { unit, name, scorer } = board.columns[column];
  const cell = board.cells[line][column];
  const others = board.lines.map((_, i) => i).filter((i) => i !== line && board.cells[i][column]);
  return el(
    "header",
    {},
    el(
      "div",
      { class: "drill-title" },
      el("h2", { id: "drill-title" }, methodName(core, board, line, column)),
      button("Close", () => document.getElementById("drill").close(), { id: "drill-close" }),
    ),
    el("p", { class: "small" }, [`${board.title}: ${name}`, name.split(", ").includes(scorer) ? "" : scorer].filter(Boolean).join(", ")),
    el(
      "p",
      { class: "big" },
      el("b", {}, Number.isNaN(cell.mean) ? "NaN" : score(cell.mean, unit)),
      el("span", { class: "unit" }, ` ${unit} `),
      el("span", { class: "noise" }, noiseText(cell, unit)),
      ` ${counted(cell.seeds, "seed")}. ${standingWords(board, line, column, wish)}`,
    ),
    second === null
      ? null
      : choice(
          "drill-with",
          "Side by side with",
          others.map((i) => [i, lineTitle(board, i, column)]),
          second,
          (value) => change({ with: value, page: "" }),
        ),
  );
}

/** The verdict of the table that is shown behind the dialog, as a sentence. */
function standingWords(board, line, column, wish) {
  const judged = judge(board, wish);
  const found = judged.at(line, column);
  if (!found) return "";
  if (found.verdict === "reference") return "It is the reference.";
  if (found.verdict === "best") return "It is the best of its column.";
  const { unit } = board.columns[column];
  const difference = missing(found.mean) ? "" : `${differenceText(found, unit)} ${pointsOf(unit)}, `;
  const p = found.p === null ? "" : `, p ${pValue(found.p)}`;
  return `Against ${comparedWith(board, column, judged)}: ${difference}${WORDS[found.verdict]}${p}.`;
}

/** The list of tabs; arrow keys go from one to the next. */
function drillTabs(tab) {
  const list = el(
    "div",
    { role: "tablist", "aria-label": "What stands behind the number", class: "tabs" },
    TABS.map(([id, title]) =>
      button(title, () => change({ tab: id, page: "", show: "" }), {
        id: `tab-${id}`,
        role: "tab",
        "aria-selected": String(id === tab),
        "aria-controls": "drill-panel",
        tabindex: id === tab ? "0" : "-1",
      }),
    ),
  );
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = TABS[(TABS.findIndex(([id]) => id === tab) + step + TABS.length) % TABS.length][0];
    change({ tab: next, page: "", show: "" });
    document.getElementById(`tab-${next}`).focus();
  });
  return list;
}

// --- seeds -----------------------------------------------------------------------------------------------------------

/** Scores by seed of both rows, their difference, and the losses of training. */
async function seedsTab(panel, core, opened) {
  const { board, line, column, second } = opened;
  const { unit } = board.columns[column];
  const [own, other] = [line, second].map((each) => (each === null ? [] : board.cells[each][column].outcomes));
  const seeds = [...new Set([...own, ...other].map((each) => each.seed))].sort((a, b) => a - b);
  const at = (outcomes, seed) => outcomes.find((each) => each.seed === seed)?.mean ?? null;
  const show = (outcomes, seed) =>
    outcomes.some((each) => each.seed === seed && Number.isNaN(each.mean)) ? "NaN" : score(at(outcomes, seed), unit);
  const difference = (seed) =>
    missing(at(own, seed)) || missing(at(other, seed)) ? null : at(own, seed) - at(other, seed);
  const columns = [
    { id: "seed", title: "Seed", cell: String },
    { id: "own", title: board.lines[line].label, unit, numeric: true, cell: (seed) => show(own, seed) },
  ];
  if (second !== null) {
    columns.push(
      { id: "other", title: lineTitle(board, second, column), unit, numeric: true, cell: (seed) => show(other, seed) },
      {
        id: "difference",
        title: "Difference",
        unit: pointsOf(unit),
        numeric: true,
        cell: (seed) => signed(difference(seed), unit),
      },
    );
  }
  const chart = el("div", { class: "chart", id: "curve" });
  panel.append(
    dataTable({ id: "seeds", caption: "", label: "Scores by seed", columns, rows: seeds }),
    pairSentences(opened, own, other),
    el("h3", {}, "Training loss"),
    chart,
  );
  await lossCurves(chart, core, opened, own, other);
}

/** The pair alone: difference, test and what could have been seen. */
function pairSentences({ board, line, column, second }, own, other) {
  if (second === null) return "";
  const { unit, lower } = board.columns[column];
  const found = differenceOf(own, other, pairTest(own, other), lower);
  const smallest = smallestBetween(own, other);
  if (!found) return el("p", {}, "The two share no seed.");
  return el(
    "p",
    {},
    `${board.lines[line].label} minus ${board.lines[second].label}: ${differenceText(found, unit) || "not known in"} ${pointsOf(unit)} over ${counted(found.seeds, "shared seed")}. `,
    found.p === null ? "Their items cannot be paired. " : `This pair alone: p ${pValue(found.p)}, not corrected. `,
    smallest === null
      ? ""
      : `A true difference of ${score(smallest, unit)} ${pointsOf(unit)} would have been seen four times in five.`,
  );
}

/** A line a seed; the second row in grey. */
async function lossCurves(chart, core, { board, line, second }, own, other) {
  const details = await open("details");
  const curve = (outcomes, each, apart) =>
    outcomes.flatMap(({ run, seed }) =>
      (details?.curves?.[run] ?? []).map(([step, loss]) => ({
        step,
        loss,
        label: `${board.lines[each].label}, seed ${seed}`,
        colour: apart ? "#8a8f94" : colourOf(core, board.lines[each].method),
      })),
    );
  const rows = [...curve(own, line, false), ...(second === null ? [] : curve(other, second, true))].filter(
    (row) => !missing(row.loss),
  );
  if (!rows.length) {
    chart.replaceWith(el("p", { class: "small" }, "No losses were recorded."));
    return;
  }
  await drawChart(
    chart,
    "curve",
    rows,
    {},
    `Training loss against steps of ${board.lines[line].label}${second === null ? "" : `, in grey of ${board.lines[second].label}`}`,
    (spec) => Object.assign(spec, { height: 220 }),
  );
  chart.after(
    el(
      "p",
      { class: "small" },
      swatch(core, board.lines[line].method),
      `${board.lines[line].label}, a line a seed.`,
      second === null ? "" : ` Grey: ${board.lines[second].label}.`,
    ),
  );
}

// --- runs ------------------------------------------------------------------------------------------------------------

/** By seed: the command, fingerprints, device and checks of a run; what did not finish. */
async function runsTab(panel, core, { board, line, column }) {
  const details = await open("details");
  const row = rowOf(core, board, line, column);
  const runs = board.cells[line][column].outcomes;
  const fields = (run, starts) =>
    Object.entries(details?.fields ?? {})
      .filter(([name, { of }]) => starts.some((start) => name.startsWith(start)) && of[run] >= 0)
      .map(([name, { values, of }]) => ({ name, value: values[of[run]] }));
  const command = board.lines[line].commands?.[column] ?? board.lines[line].command;
  panel.append(command ? el("div", {}, el("h3", {}, "Command that repeats the row"), commandBox(command)) : "");
  for (const { seed, run } of runs) {
    const [origin, checks] = [
      fields(run, ["fingerprints", "provenance", "device", "train.", "adapter.", "parameters.", "data."]),
      details?.checks?.[run] ?? [],
    ];
    panel.append(
      el(
        "details",
        { open: runs[0].run === run },
        el("summary", {}, `Seed ${seed}`),
        details?.commands?.[run] ? commandBox(details.commands[run]) : "",
        dataTable({
          id: `run-${run}`,
          caption: "",
          label: `Run of seed ${seed}`,
          rows: origin,
          columns: [
            { id: "field", title: "Fingerprint, device, code", cell: ({ name }) => name },
            { id: "value", title: "Value", cell: ({ value }) => ({ content: fieldText(value), class: "code" }) },
          ],
        }),
        checks.length ? [el("h4", {}, "Checks"), notes(checks)] : "",
      ),
    );
  }
  const failed = row?.runs.filter((run) => run.status !== "done") ?? [];
  if (failed.length)
    panel.append(
      el("h3", {}, "Not finished"),
      notes(failed.map((run) => `seed ${run.seed}: ${run.status}${run.failure ? `, ${run.failure}` : ""}`)),
    );
  if (row?.warnings?.length) panel.append(el("h3", {}, "Warnings"), notes(row.warnings));
}

/** A command that can be copied. */
function commandBox(command) {
  return el(
    "div",
    { class: "command" },
    el("code", {}, command),
    button("Copy", () => copy(command, "command"), { class: "quiet" }),
  );
}

/** A leaf of a record as text. */
function fieldText(value) {
  return value === null || value === undefined ? "null" : typeof value === "string" ? value : JSON.stringify(value);
}
