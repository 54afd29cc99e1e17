// The dialog of one image: large, with its metadata, and the way to images like it.

import { get, hasToken } from "./api.js";
import { byId, h, icon, nameParts } from "./dom.js";
import { narrow } from "./filter.js";
import { figure, meter } from "./grid.js";
import { showLarge } from "./images.js";
import { addStored, addUnlike } from "./composer.js";
import { EMPTY, addressOf, isEmpty, state } from "./state.js";

const dialog = byId("details");
const image = byId("details-image");
const region = byId("details-region");
const DEEPEST = 4;

/** What is shown of a stored image beside its metadata: a label, and the text of the value. */
const FACTS = {
  id: ["Id", String],
  uri: ["File", (uri, { id }) => (uri === id ? "" : uri)],
  paths: ["Also at", (paths, { uri }) => paths.filter((path) => path !== uri).join("\n")],
  bytes: ["Size", sizeText],
  modified: ["Modified", (time) => new Date(time).toLocaleString()],
  models: ["Models", (names) => names.join(", ")],
};

let hits = [];
let place = 0;

export function startDetails() {
  byId("previous").append(icon("left"));
  byId("next").append(icon("right"));
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("keydown", onKey);
  image.addEventListener("load", outline);
}

/** Show one of several hits; left and right lead to the others. */
export function openDetails(shown, at) {
  hits = shown;
  place = at;
  render();
  if (!dialog.open) dialog.showModal();
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const act = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    s: () => hits[place].copy || leave(() => addStored(hits[place].id)),
    a: () => hits[place].copy || leave(() => addStored(hits[place].id, { more: true })),
    d: () => hits[place].copy || leave(() => addUnlike(hits[place].id)),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function step(by) {
  const next = place + by;
  if (next < 0 || next >= hits.length) return;
  place = next;
  render();
}

function leave(act) {
  dialog.close();
  act();
}

function render() {
  const hit = hits[place];
  const [name, folder] = nameParts(hit);
  showLarge(image, hit);
  image.alt = name;
  byId("details-name").replaceChildren(h("bdi", {}, name));
  byId("details-folder").replaceChildren(h("bdi", {}, folder));
  byId("details-place").textContent = hits.length > 1 ? `${place + 1} of ${hits.length}` : "";
  byId("previous").disabled = place === 0;
  byId("next").disabled = place === hits.length - 1;
  const shown = figure(hit);
  byId("details-likeness").replaceChildren(
    ...(shown ? [h("span", {}, shown.title), meter(shown.share)] : []),
    ...(hit.region ? [h("span", {}, whereText(hit.region))] : []),
  );
  region.style.visibility = "hidden";
  byId("details-actions").replaceChildren(...actions(hit));
  fields(hit);
  more(hit);
}

/** Draw where in the image the query was found. */
function outline() {
  const found = hits[place]?.region;
  if (!found) return;
  const { naturalWidth: width, naturalHeight: height } = image;
  const [left, top, right, bottom] = found.map((edge, n) => edge * (n % 2 ? height : width));
  region.setAttribute("viewBox", `0 0 ${width} ${height}`);
  region.firstElementChild.setAttribute("d", `M${left} ${top}H${right}V${bottom}H${left}z`);
  region.style.visibility = "visible";
}

function whereText(found) {
  const [left, top, right, bottom] = found.map((edge) => Math.round(100 * edge));
  return `Found at ${left} to ${right} % from the left, ${top} to ${bottom} % from the top`;
}

function actions(hit) {
  // The index knows the path of an exact copy, and nothing else.
  if (hit.copy) return [h("p", { class: "hint" }, "An exact copy of another image of this group.")];
  const { view, model, filter } = state();
  const address = addressOf({
    ...EMPTY,
    view: view === "compare" ? view : "search",
    model,
    filter,
    ids: [hit.id],
  });
  const go = (event) => {
    // A new tab or window is the browser's matter.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    leave(() => addStored(hit.id));
  };
  return [
    h(
      "a",
      { class: "button primary", href: address, onclick: go },
      icon("similar"),
      "Find similar",
    ),
    h(
      "button",
      {
        type: "button",
        class: "button",
        onclick: () => leave(() => addStored(hit.id, { more: true })),
      },
      icon("plus"),
      "Add as an example",
    ),
    isEmpty(state())
      ? null
      : h(
          "button",
          {
            type: "button",
            class: "button",
            onclick: () => leave(() => addUnlike(hit.id)),
          },
          icon("minus"),
          "Less like this",
        ),
    // A link sends no token.
    hit.image && !hasToken()
      ? h(
          "a",
          { class: "button", href: hit.image, target: "_blank", rel: "noreferrer" },
          icon("open"),
          "Open the file",
        )
      : null,
  ].filter(Boolean);
}

/** Read the rest of what is stored of the image, which hits do not bring along. */
async function more(hit) {
  if (hit.copy) return;
  try {
    const record = await get(hit.record);
    if (hits[place] === hit) fields({ ...record, ...hit });
  } catch {
    // The image may have been removed meanwhile; what the hit says stays.
  }
}

function fields(hit) {
  byId("details-metadata").replaceChildren(
    ...leaves(hit.metadata ?? {}).flatMap(([path, value]) => metadataField(path, value)),
  );
  byId("details-file").replaceChildren(
    ...Object.entries(FACTS).flatMap(([name, [label, text]]) => {
      const shown = hit[name] === null || hit[name] === undefined ? "" : text(hit[name], hit);
      return shown ? [h("dt", {}, label), h("dd", {}, h("bdi", {}, shown))] : [];
    }),
  );
}

/** Return the path and value of each field of nested objects. */
function leaves(metadata, path = []) {
  return Object.entries(metadata).flatMap(([name, value]) => {
    const here = [...path, name];
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    return isObject && here.length < DEEPEST ? leaves(value, here) : [[here, value]];
  });
}

function metadataField(path, value) {
  const name = path.join(".");
  const scalar = ["string", "number", "boolean"].includes(typeof value);
  const keep = () => leave(() => narrow(path, value));
  const title = `Only images with this ${name}`;
  return [
    h("dt", {}, h("bdi", {}, name)),
    h(
      "dd",
      {},
      h("bdi", {}, scalar ? String(value) : listText(value)),
      scalar &&
        h(
          "button",
          { type: "button", class: "icon-button", "aria-label": title, title, onclick: keep },
          icon("filter"),
        ),
    ),
  ];
}

function listText(value) {
  const plain = Array.isArray(value) && value.every((each) => typeof each !== "object");
  return plain ? value.join(", ") : JSON.stringify(value, null, 1);
}

function sizeText(bytes) {
  const unit = bytes < 1e6 ? ["kilobyte", 1e3] : ["megabyte", 1e6];
  return new Intl.NumberFormat("en", {
    style: "unit",
    unit: unit[0],
    maximumSignificantDigits: 3,
  }).format(bytes / unit[1]);
}
