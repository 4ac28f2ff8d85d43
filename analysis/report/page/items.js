// Tab: the test items on which two rows disagree, with both answers.

const PAGE_SIZE = 20;

/** Items of one seed by who is right, a page at a time. */
async function itemsTab(panel, core, opened) {
  const { board, line, column, second, state } = opened;
  if (second === null) {
    panel.append(el("p", {}, "There is no second row to compare with."));
    return;
  }
  const pairs = itemPairs(board, line, second, column);
  if (!pairs.length) {
    panel.append(el("p", {}, "The two share no seed with test items of the same data."));
    return;
  }
  const pair = pairs.find(({ own }) => String(own.seed) === state.get("seed")) ?? pairs[0];
  const names = [line, second].map((each) => lineTitle(board, each, column));
  const over = seedsRight(pairs, pair);
  const kinds = disagreements(pair, over);
  const kind = kinds.some(([id]) => id === state.get("show")) ? state.get("show") : kinds[0][0];
  const chosen = kinds.find(([id]) => id === kind)[2];
  const pages = Math.max(1, Math.ceil(chosen.length / PAGE_SIZE));
  const page = Math.min(pages, Math.max(1, Number(state.get("page")) || 1));
  panel.append(
    agreementLine(pair, names),
    el(
      "div",
      { class: "controls" },
      choice(
        "items-seed",
        "Seed",
        pairs.map(({ own }) => [own.seed, own.seed]),
        pair.own.seed,
        (seed) => change({ seed, page: "" }),
      ),
      choice(
        "items-show",
        "Items",
        kinds.map(([id, title, items]) => [id, `${title(names)} (${count(items.length)})`]),
        kind,
        (show) => change({ show, page: "" }),
      ),
      pager(page, pages),
    ),
  );
  const answers = await open("answers");
  panel.append(
    itemTable(answers, pair, over, names, chosen.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)),
    pages > 1 ? pager(page, pages, "below") : "",
    notes(answers?.left_out),
  );
}

/** Outcomes of both rows on the same seed and items. @returns {Array<{own: Outcome, other: Outcome}>} */
function itemPairs(board, line, second, column) {
  const alike = (one, other) =>
    one.seed === other.seed &&
    one.data === other.data &&
    ((one.items && other.items && one.items.length === other.items.length) ||
      (one.values && other.values && one.values.length === other.values.length));
  return board.cells[line][column].outcomes.flatMap((own) =>
    board.cells[second][column].outcomes.filter((other) => alike(own, other)).map((other) => ({ own, other })),
  );
}

/** On how many seeds each item was right, of those whose test items are the pair's. */
function seedsRight(pairs, { own }) {
  const alike = pairs.filter((pair) => pair.own.data === own.data && pair.own.items);
  const sum = (side) => (i) => alike.reduce((total, pair) => total + pair[side].items[i], 0);
  return { n: alike.length, own: sum("own"), other: sum("other") };
}

/** Kinds of items: [id, title of names, indices], those first on which the seeds differ most; of losses alike. */
function disagreements({ own, other }, over) {
  const all = Array.from({ length: (own.items ?? own.values).length }, (_, i) => i);
  if (!own.items) {
    const gap = (i) => Math.abs(own.values[i] - other.values[i]);
    return [["gap", () => "the largest difference first", [...all].sort((a, b) => gap(b) - gap(a))]];
  }
  const gap = all.map((i) => Math.abs(over.own(i) - over.other(i)));
  const chosen = (fits) => all.filter(fits).sort((a, b) => gap[b] - gap[a]);
  const where = (mine, theirs) => chosen((i) => own.items[i] === mine && other.items[i] === theirs);
  return [
    ["differ", () => "one right, one wrong", chosen((i) => own.items[i] !== other.items[i])],
    ["own", ([a]) => `only ${a} right`, where(1, 0)],
    ["other", ([, b]) => `only ${b} right`, where(0, 1)],
    ["wrong", () => "both wrong", where(0, 0)],
    ["right", () => "both right", where(1, 1)],
  ];
}

/** How often both, one or none are right. */
function agreementLine({ own, other }, [a, b]) {
  if (!own.items)
    return el("p", { class: "small" }, `Losses of ${counted(own.values.length, "item")}, seed ${own.seed}.`);
  const number = (mine, theirs) =>
    own.items.reduce((sum, right, i) => sum + (right === mine && other.items[i] === theirs), 0);
  return el(
    "p",
    {},
    `Of ${counted(own.items.length, "item")}, seed ${own.seed}: both right ${count(number(1, 1))}, only ${a} ${count(number(1, 0))}, only ${b} ${count(number(0, 1))}, both wrong ${count(number(0, 0))}.`,
  );
}

/** Buttons to the pages before and after. */
function pager(page, pages, id = "above") {
  const to = (text, next, off) =>
    button(text, () => change({ page: next === 1 ? "" : next }), {
      id: `items-${id}-${text.toLowerCase()}`,
      disabled: off,
    });
  return el(
    "div",
    { class: "pager", role: "group", "aria-label": "Pages of items" },
    to("Previous", page - 1, page <= 1),
    el("span", { class: "small" }, `${page} of ${pages}`),
    to("Next", page + 1, page >= pages),
  );
}

/** Items (places in their set) with question, gold answer and both answers, as far as the file has them. */
function itemTable(answers, { own, other }, over, names, items) {
  const set = answers?.sets?.[own.data];
  const string = (index) => (index === null || index === undefined || index < 0 ? "" : answers.strings[index]);
  const said = (outcome, i) => string(answers?.runs?.[outcome.run]?.[outcome.data]?.[i]);
  const answer = (outcome, side) => (i) => {
    const verdict = outcome.items ? (outcome.items[i] ? "right" : "wrong") : `${fixed(outcome.values[i], 3)} nats`;
    return {
      class: `answer ${verdict === "wrong" ? "wrong" : ""}`,
      content: [
        el("span", { class: "verdict" }, verdict, over.n > 1 ? `; ${over[side](i)} of ${over.n} seeds right` : ""),
        said(outcome, i) ? el("span", { class: "text" }, said(outcome, i)) : null,
      ],
    };
  };
  const columns = [
    { id: "item", title: "Item", cell: (i) => String(set?.ids?.[i] ?? i + 1) },
    ...(set?.questions
      ? [{ id: "question", title: "Question", cell: (i) => ({ class: "text", content: string(set.questions[i]) }) }]
      : []),
    ...(set?.gold
      ? [{ id: "gold", title: "Gold", cell: (i) => ({ class: "text", content: string(set.gold[i]) }) }]
      : []),
    { id: "own", title: names[0], cell: answer(own, "own") },
    { id: "other", title: names[1], cell: answer(other, "other") },
  ];
  if (!items.length) return el("p", {}, "There is none.");
  const known = [own, other].some((outcome) => answers?.runs?.[outcome.run]?.[outcome.data]);
  return el(
    "div",
    {},
    dataTable({ id: "items", caption: "", label: "Test items, answers side by side", columns, rows: items }),
    !set?.questions ? el("p", { class: "small" }, "The texts of these items are not in this file; their names are.") : null,
    known
      ? null
      : el("p", { class: "small" }, "The answers of these runs are not in this file; whether they are right is."),
  );
}
