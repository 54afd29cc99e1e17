// What the page shows. All of it is in the address, except uploads, which only this tab has.

/** Files that were given in this tab, by the key under which a query refers to them. */
export const uploads = new Map();
let counter = Date.now();

const VIEWS = ["search", "compare", "duplicates"];
export const EMPTY = Object.freeze({
  view: "search",
  text: "",
  ids: [],
  /** Ids of images that the hits are to be unlike. */
  unlike: [],
  images: [],
  /** The part of the one image that is searched with, in pixels: left, top, right, bottom. */
  box: "",
  /** "1" to find images in which that part is. */
  inside: "",
  model: "",
  models: [],
  filter: "",
  order: "",
  distance: "",
});

const watchers = new Set();
let current = fromAddress();

export const state = () => current;

/** Call `watcher` after every change, with the state and whether the back button led there. */
export function watch(watcher) {
  watchers.add(watcher);
}

/** Whether nothing is searched for. */
export const isEmpty = (query) => !query.text && !query.ids.length && !query.images.length;

/** Whether one image alone is searched with, so that a part of it can be. */
export const isOneImage = ({ images, ids, unlike, text, view }) =>
  images.length + ids.length === 1 && !unlike.length && !text && view === "search";

/** Keep a file for queries, and return its key. */
export function keep(file) {
  const key = `upload-${(counter += 1)}`;
  uploads.set(key, file);
  return key;
}

/** Change the state and the address; the back button undoes it, unless it is a replacement. */
export function navigate(change, { replace = false } = {}) {
  current = { ...current, ...change };
  const write = replace ? history.replaceState : history.pushState;
  write.call(history, { images: current.images }, "", addressOf(current));
  tell(false);
}

/** Return the address of a state, relative to the page. */
export function addressOf(shown) {
  const query = new URLSearchParams();
  if (shown.view !== "search") query.set("view", shown.view);
  for (const name of ["text", "box", "inside", "model", "filter", "order", "distance"]) {
    if (shown[name]) query.set(name, shown[name]);
  }
  for (const id of shown.ids) query.append("id", id);
  for (const id of shown.unlike) query.append("unlike", id);
  for (const name of shown.models) query.append("models", name);
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

function fromAddress() {
  const query = new URLSearchParams(location.search);
  const text = (name) => query.get(name) ?? "";
  return {
    ...EMPTY,
    view: VIEWS.includes(text("view")) ? text("view") : "search",
    text: text("text"),
    ids: query.getAll("id"),
    unlike: query.getAll("unlike"),
    box: /^\d{1,9}(,\d{1,9}){3}$/.test(text("box")) ? text("box") : "",
    inside: text("inside"),
    images: (history.state?.images ?? []).filter((key) => uploads.has(key)),
    model: text("model"),
    models: query.getAll("models"),
    filter: text("filter"),
    order: text("order"),
    distance: text("distance"),
  };
}

function tell(back) {
  for (const watcher of watchers) watcher(current, back);
}

addEventListener("popstate", () => {
  current = fromAddress();
  tell(true);
});
