// The search box: words, uploads and stored images, which together form one query.

import { byId, h, icon, nameParts } from "./dom.js";
import { thumbnail } from "./images.js";
import { say } from "./messages.js";
import { EMPTY, isEmpty, isOneImage, keep, navigate, state, uploads } from "./state.js";
import { openCrop } from "./crop.js";
import { thumbnailOf } from "./records.js";

const form = byId("composer");
const words = byId("words");
const parts = byId("parts");
const previews = new Map();
let service;

/** Wire the box up; `info` is what the service says of itself. */
export function startComposer(info) {
  service = info;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask({ text: words.value.trim() });
  });
  // The cross of a search field, and an emptied field, end the search by words.
  words.addEventListener("search", () => words.value || !state().text || ask({ text: "" }));
  for (const input of form.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      addFiles(input.files, { more: input.dataset.more !== undefined });
      input.value = "";
    });
  }
  byId("clear").addEventListener("click", clear);
}

/** Show the query of a state. */
export function showComposer(shown) {
  form.hidden = shown.view === "duplicates";
  const empty = isEmpty(shown);
  words.value = shown.text;
  const model = modelOf(shown);
  const reads = service.models.some(({ text }) => text);
  byId("words-label").hidden = !model?.text;
  words.disabled = !model?.text;
  byId("no-words").hidden = Boolean(model?.text) || !empty;
  byId("no-words").replaceChildren(...(model?.text ? [] : whyNoWords(model, reads)));
  parts.replaceChildren(
    ...shown.images.map(uploadPart),
    ...shown.ids.map((id) => storedPart(id, "ids")),
    ...shown.unlike.map((id) => storedPart(id, "unlike")),
  );
  parts.hidden = !parts.childElementCount;
  byId("more-label").hidden = !parts.childElementCount;
  byId("clear").hidden = empty;
}

/** Return the model that a state searches with, as the service describes it. */
export function modelOf(shown) {
  const named = service.models.find(({ name }) => name === shown.model);
  return named ?? service.models.find((model) => model.default) ?? service.models[0];
}

/** Search for files: alone, or with `more` beside what was searched for. */
export function addFiles(files, { more = false } = {}) {
  const { upload_bytes: bytes, images: most } = service.limits;
  const wanted = [...files];
  const before = more ? state().images : [];
  if (!wanted.length) return;
  const large = wanted.find((file) => file.size > bytes);
  if (large) {
    const limit = (bytes / 2 ** 20).toFixed(0);
    return say(`${large.name} is too large: the service accepts images of up to ${limit} MiB.`);
  }
  const others = more ? state().ids.length : 0;
  if (before.length + others + wanted.length > most) {
    return say(`The service accepts ${most} examples in one search, and this would be more.`);
  }
  const images = [...before, ...wanted.map(keep)];
  ask(more ? { images } : { images, ids: [], unlike: [], text: "" });
}

/** Search for a stored image: alone, or with `more` beside what was searched for. */
export function addStored(id, { more = false } = {}) {
  if (!more) return ask({ ids: [id], unlike: [], images: [], text: "" });
  if (!state().ids.includes(id))
    ask({ ids: [...state().ids, id], unlike: without(id, state().unlike) });
}

/** Search for what was searched for, and less for images like a stored one. */
export function addUnlike(id) {
  if (isEmpty(state()))
    return say("Search for something first: this says what it should be unlike.");
  if (!state().unlike.includes(id))
    ask({ unlike: [...state().unlike, id], ids: without(id, state().ids) });
}

/** Search for nothing: show all images. */
export function clear() {
  const { model, filter } = state();
  navigate({ ...EMPTY, model, filter, view: state().view });
}

export function focusWords() {
  if (words.disabled) byId("file").focus();
  else words.select();
}

function ask(change) {
  const view = state().view === "duplicates" ? "search" : state().view;
  // A part belongs to the image that it was chosen in.
  const whole = { box: "", inside: "" };
  // Nothing is unlike an image by itself.
  const unlike = isEmpty({ ...state(), ...change }) ? [] : (change.unlike ?? state().unlike);
  navigate({ ...whole, ...change, unlike, view });
}

function whyNoWords(model, reads) {
  const why = ` is a model of images only, so it cannot search by words.`;
  const other = service.models.find(({ text }) => text);
  return [
    h("span", { class: "lead" }, "Drop, paste or choose an image. "),
    h("span", { class: "why" }, h("bdi", {}, model?.name ?? "This index"), why, reads ? " " : ""),
    reads
      ? h(
          "button",
          { type: "button", class: "link", onclick: () => navigate({ model: other.name }) },
          `Use ${other.name} for words`,
        )
      : null,
  ].filter(Boolean);
}

function uploadPart(key) {
  const file = uploads.get(key);
  if (!previews.has(key)) previews.set(key, URL.createObjectURL(file));
  const image = h("img", { alt: "", class: "thumbnail loaded", src: previews.get(key) });
  // Formats that this browser cannot show, such as HEIC, can be searched for all the same.
  image.addEventListener("error", () =>
    image.replaceWith(h("span", { class: "thumbnail none" }, icon("image"))),
  );
  const remove = () => ask({ images: state().images.filter((other) => other !== key) });
  return part(image, file.name || "pasted image", remove);
}

/** Return a stored image of the query; `list` says whether the hits are to be like it. */
function storedPart(id, list) {
  const stored = thumbnailOf(id);
  const [name] = nameParts(stored);
  const remove = () => ask({ [list]: without(id, state()[list]) });
  const shown = part(thumbnail(stored, 128), name, remove);
  if (list === "unlike") {
    shown.classList.add("unlike");
    shown.title = "The images found are to be unlike this one";
    shown.prepend(icon("minus"), h("span", { class: "unseen" }, "unlike"));
  }
  return shown;
}

const without = (id, ids) => ids.filter((other) => other !== id);

function part(image, name, remove) {
  const label = `Remove ${name}`;
  return h(
    "li",
    { class: "part" },
    image,
    h("bdi", { class: "name" }, name),
    isOneImage(state()) && cropButton(name),
    h(
      "button",
      { type: "button", class: "icon-button", "aria-label": label, onclick: remove },
      icon("close"),
    ),
  );
}

function cropButton(name) {
  const chosen = Boolean(state().box);
  const label = chosen ? `A part of ${name} is searched with: change it` : `Search with a part of ${name}`;
  return h(
    "button",
    {
      type: "button",
      class: chosen ? "icon-button chosen" : "icon-button",
      "aria-label": label,
      "aria-haspopup": "dialog",
      title: label,
      onclick: () => openCrop(Boolean(modelOf(state())?.regions)),
    },
    icon("crop"),
  );
}
