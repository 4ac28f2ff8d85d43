// What is shown, kept in the address: #/section?name=value&... A link to it restores it.

/** @returns {{section: string, get: (name: string, fallback?: string) => string}} */
function currentState() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const values = new URLSearchParams(query);
  return { section: path || "overview", values, get: (name, fallback = "") => values.get(name) ?? fallback };
}

/** The address of another state; values of null or "" are left out. keep: of the names in the present one. */
function addressOf(section, changes, keep = null) {
  const values = new URLSearchParams();
  for (const [name, value] of currentState().values) if (!keep || keep.includes(name)) values.set(name, value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") values.delete(name);
    else values.set(name, value);
  }
  const query = values.toString();
  return `#/${section}${query ? `?${query}` : ""}`;
}

const GLOBAL = ["ref"]; // what a reader takes along to another section

/** Change what is shown. replace: without a new step in the history, as while typing. */
function change(changes, { section = currentState().section, replace = false } = {}) {
  const to = addressOf(section, changes);
  if (to === location.hash) return;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  globalThis.dispatchEvent(new Event("shown-state"));
}
