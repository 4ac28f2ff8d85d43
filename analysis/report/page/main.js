// Start: the first section needs the core alone; all else is opened when it is asked for.

const SECTIONS = [
  ["overview", "Overview", overviewSection],
  ["explorer", "Explorer", explorerSection],
  ["versus", "Two methods", versusSection],
  ["pareto", "Pareto", paretoSection],
  ["paper", "Paper", paperSection],
  ["cost", "Cost", costSection],
  ["methods", "Methods", methodsSection],
];
const report = (globalThis.report = {
  core: null,
  copied: "",
  ready: null,
  drawn: null, // drawn: a promise of all that the present section draws later
  statistics: {
    sign_flip_p: signFlipP,
    paired_p: pairedP,
    paired_t: pairedT,
    holm,
    bootstrap_interval: bootstrapInterval,
    wilson_interval: wilsonInterval,
    share_error: shareError,
    against_best: againstBest,
    crossed,
    over_seeds: overSeeds,
    smallest: smallestOf,
    interval: intervalOf,
    student_quantile: studentQuantile,
    judge,
    score,
    signed,
  },
});

/** Draw the section that the state names, where anything but the dialog changed, and the dialog. */
function render(core) {
  const state = currentState();
  const [id, title, draw] = SECTIONS.find(([name]) => name === state.section) ?? SECTIONS[0];
  const main = document.getElementById("main");
  const before = {
    section: main.dataset.section,
    focus: document.activeElement?.id,
    caret: document.activeElement?.selectionStart,
  };
  const shown = JSON.stringify([id, [...state.values].filter(([name]) => !DRILL.includes(name))]);
  if (main.dataset.shown !== shown) {
    main.dataset.shown = shown;
    main.dataset.section = id;
    const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    main.replaceChildren();
    report.drawn = Promise.resolve(draw(main, core, state));
    if (before.section === id) {
      restoreFocus(before);
      [...main.querySelectorAll(".scroll")].forEach((box, i) => (box.scrollLeft = scrolled[i] ?? 0));
    } else scrollTo(0, 0);
    document.title = `${title} · ${core.title}`;
    drawNavigation(id);
  }
  drawDrill(core, state);
}

/** Drawing anew takes the focus from a control; give it back. */
function restoreFocus({ focus, caret }) {
  const node = focus && document.getElementById(focus);
  if (!node || node === document.activeElement) return;
  node.focus({ preventScroll: true });
  if (typeof caret === "number" && node.type === "text") node.setSelectionRange(caret, caret);
}

/** Links to the sections; the comparison goes along. */
function drawNavigation(section) {
  document
    .getElementById("nav")
    .replaceChildren(
      ...SECTIONS.map(([id, title]) =>
        el("a", { href: addressOf(id, {}, GLOBAL), "aria-current": id === section ? "page" : null }, title),
      ),
    );
}

/** Whose parts are in the page. */
function drawFoot(core) {
  const parts =
    core.licences?.map(({ name, version, licence, use }) => `${name} ${version} (${licence}): ${use}`) ?? [];
  document
    .getElementById("foot")
    .replaceChildren(
      el("p", {}, "One file, no network: all numbers, test items and verdicts are in it."),
      parts.length ? el("details", {}, el("summary", {}, "Parts by others"), notes(parts)) : "",
    );
}

/** Dark or light: as the system has it, until the reader says otherwise. */
function setTheme(wish) {
  const dark = wish ? wish === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.getElementById("theme").textContent = dark ? "Light" : "Dark";
  return dark;
}

/** The reader's theme, kept by the browser; null where there is none. */
function remembered(wish = null) {
  try {
    if (wish) localStorage.setItem("theme", wish);
    return localStorage.getItem("theme");
  } catch {
    return null; // a browser that keeps nothing for files
  }
}

/** The core; null, and the page says why, where it cannot be opened. */
async function openCore() {
  const wait = document.getElementById("wait");
  if (!globalThis.DecompressionStream) {
    wait.textContent =
      "This browser cannot open the records: it lacks DecompressionStream. Chrome 80, Firefox 113, Safari 16.4 and later have it.";
    return null;
  }
  try {
    return decoded(await open("core"));
  } catch {
    wait.textContent = "The records cannot be opened: this file is not whole. Please download it again.";
    return null;
  }
}

/** Open the core, draw, and listen. */
async function start() {
  setTheme(remembered());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    setTheme(remembered());
    globalThis.dispatchEvent(new Event("shown-theme"));
  });
  document.getElementById("theme").addEventListener("click", () => {
    const wish = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    remembered(wish);
    setTheme(wish);
    globalThis.dispatchEvent(new Event("shown-theme"));
  });
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  const core = (report.core = await openCore());
  if (!core) return;
  document.getElementById("title").textContent = core.title;
  drawFoot(core);
  closeDrillWithDialog();
  globalThis.addEventListener("hashchange", () => render(core));
  globalThis.addEventListener("shown-state", () => render(core));
  globalThis.addEventListener("shown-theme", () => {
    delete document.getElementById("main").dataset.shown;
    render(core);
  });
  render(core);
}

report.ready = start();
