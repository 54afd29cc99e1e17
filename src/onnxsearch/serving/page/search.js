// The view of a search, or of all images where nothing is searched for.

import { get, post } from "./api.js";
import { addStored, addUnlike, clear, modelOf } from "./composer.js";
import { openDetails } from "./details.js";
import { byId, h, nameParts, plural } from "./dom.js";
import { Grid } from "./grid.js";
import { emptiness, report } from "./messages.js";
import { remember, thumbnailOf } from "./records.js";
import { isEmpty, navigate, uploads } from "./state.js";

const PAGE = 48;
const results = byId("results");
const more = byId("more");
const empty = byId("empty");
/** How the list goes on: `load` fetches more, and `alone` says that it need not be asked to. */
let following = null;
let service;

export const grid = new Grid(byId("grid"), {
  open: (hits, place) => openDetails(hits, place),
  similar: (hit) => addStored(hit.id),
  add: (hit) => addStored(hit.id, { more: true }),
  unlike: (hit) => addUnlike(hit.id),
});

export function startSearch(info) {
  service = info;
  more.addEventListener("click", () => following?.load());
  byId("order").addEventListener("change", ({ target }) => navigate({ order: target.value }));
}

const sentinel = byId("sentinel");
const nearEnd = new IntersectionObserver(
  ([{ isIntersecting }]) => isIntersecting && following?.alone && following.load(),
  { rootMargin: "600px" },
);

/** Show the first images of a state; the others follow as the reader scrolls. */
export async function showSearch(shown, signal) {
  const browsing = isEmpty(shown);
  following = null;
  more.hidden = true;
  empty.replaceChildren();
  byId("order-label").hidden = !browsing;
  byId("order").value = shown.order || "id";
  byId("heading").textContent = browsing ? "All images" : title(shown);
  results.setAttribute("aria-busy", "true");
  // Answers that come at once replace the old ones without a flash.
  const slow = setTimeout(() => grid.wait(), 150);
  try {
    const first = await page(shown, 0, signal);
    clearTimeout(slow);
    grid.fill(first.hits);
    account(shown, first);
    if (!first.hits.length) empty.replaceChildren(nothing(shown));
    follow(shown, first, signal);
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) {
      results.removeAttribute("aria-busy");
      if (grid.list.querySelector(".waiting")) grid.fill([]);
    }
  }
}

/** Return a query as a form for the service. */
export function formOf(shown, extra = {}) {
  const form = new FormData();
  for (const key of shown.images)
    form.append("image", uploads.get(key), uploads.get(key).name || "image");
  for (const id of shown.ids) form.append("id", id);
  for (const id of shown.unlike) form.append("unlike_id", id);
  if (shown.text) form.append("text", shown.text);
  if (shown.filter) form.append("filter", shown.filter);
  for (const [name, values] of Object.entries(extra)) {
    for (const value of [values].flat()) form.append(name, value);
  }
  return form;
}

/** Whether images are searched for in which the part of the query is. */
const isInside = (shown) => shown.box && shown.inside && modelOf(shown).regions;

const title = (shown) =>
  isInside(shown) ? `Images that contain ${describe(shown)}` : `Similar to ${describe(shown)}`;

/** Return the name of a query, for headings. */
export function describe(shown) {
  if (shown.box) return `a part of ${examples(shown)}`;
  const unlike =
    shown.unlike.length === 1 ? nameOf(shown.unlike[0]) : `${shown.unlike.length} images`;
  return shown.unlike.length ? `${examples(shown)}, unlike ${unlike}` : examples(shown);
}

const nameOf = (id) => nameParts(thumbnailOf(id))[0];

function examples({ text, ids, images }) {
  const count = ids.length + images.length + (text ? 1 : 0);
  if (count > 1) return `${count} examples`;
  if (text) return `“${text}”`;
  return ids.length ? nameOf(ids[0]) : uploads.get(images[0])?.name || "the pasted image";
}

async function page(shown, offset, signal) {
  if (isEmpty(shown)) {
    const { filter, order } = shown;
    const parameters = { filter, order_by: order || "id", limit: pageSize(), offset };
    const answer = await get("api/records", parameters, signal);
    return { ...answer, hits: remember(answer.records) };
  }
  const options = { top_k: pageSize(), offset, exclude: [...shown.ids, ...shown.unlike] };
  const { box, model } = shown;
  if (model) options.model = model;
  if (box) options.box = box;
  if (isInside(shown)) options.model = modelOf(shown).regions;
  const answer = await post("api/search", formOf(shown, options), signal);
  remember(answer.hits);
  return answer;
}

const pageSize = () => Math.min(PAGE, service.limits.top_k);

/** Load the following images, one page at a time, whenever the end of the list comes near. */
function follow(shown, first, signal) {
  let offset = first.hits.length;
  const full = ({ hits }) => hits.length >= pageSize();
  const offer = (answer) => {
    const rest = full(answer) && (answer.count === undefined || offset < answer.count);
    more.hidden = !rest;
    following = rest ? { load, alone: true } : null;
    // Observed anew, it reports at once whether the end is still in sight.
    nearEnd.unobserve(sentinel);
    nearEnd.observe(sentinel);
  };
  const load = async () => {
    following = null;
    more.disabled = true;
    try {
      const answer = await page(shown, offset, signal);
      offset += answer.hits.length;
      grid.append(answer.hits);
      account(shown, answer);
      offer(answer);
    } catch (error) {
      if (signal.aborted) return;
      // From now on the reader decides when to try again.
      report(error.message);
      following = { load, alone: false };
    } finally {
      more.disabled = false;
    }
  };
  offer(first);
}

function account(shown, answer) {
  const count = grid.hits.length;
  if (isEmpty(shown)) {
    const all = answer.count ?? service.count;
    report(
      count < all
        ? `${count.toLocaleString("en")} of ${plural(all, "image")}`
        : plural(all, "image"),
    );
    return;
  }
  const time =
    typeof answer.took_ms === "number" ? ` · ${Math.max(1, Math.round(answer.took_ms))} ms` : "";
  report(`${plural(count, "image")} by `, h("bdi", {}, answer.model ?? modelOf(shown).name), time);
}

function nothing(shown) {
  if (shown.filter) {
    const widen = h(
      "button",
      { type: "button", class: "button", onclick: () => navigate({ filter: "" }) },
      "Remove the filter",
    );
    return emptiness(
      "filter",
      "No image matches the filter",
      "Its conditions leave nothing to show.",
      widen,
    );
  }
  if (service.count === 0) {
    return emptiness(
      "image",
      "This index holds no image yet",
      "Fill it with a folder, then load this page again:",
      h("code", {}, "onnxsearch index LOCATION FOLDER"),
    );
  }
  return emptiness(
    "image",
    "No image was found",
    h("button", { type: "button", class: "button", onclick: clear }, "Show all images"),
  );
}
