// The view of images that show nearly the same.

import { get } from "./api.js";
import { modelOf } from "./composer.js";
import { openDetails } from "./details.js";
import { byId, h, nameParts, plural } from "./dom.js";
import { thumbnail } from "./images.js";
import { emptiness, report } from "./messages.js";
import { remember } from "./records.js";
import { navigate } from "./state.js";

const LIMIT = 100;
/** The greatest distance worth asking for, the step, and where to begin, by metric. */
const RANGES = {
  l2: [1, 0.05, 0.5],
  cosine: [0.5, 0.01, 0.1],
  ip: [0.5, 0.01, 0.1],
  hamming: [32, 1, 8],
};

const groups = byId("groups");
const slider = byId("distance");
const shownDistance = byId("distance-value");

let service;

export function startDuplicates(info) {
  service = info;
  slider.addEventListener("input", () => (shownDistance.textContent = slider.value));
  slider.addEventListener("change", () => navigate({ distance: slider.value }, { replace: true }));
}

/** Show the groups of images that are at most as distant as the slider says. */
export async function showDuplicates(shown, signal) {
  const [most, step, usual] = RANGES[modelOf(shown)?.metric] ?? RANGES.l2;
  Object.assign(slider, { min: 0, max: most, step });
  slider.value = shown.distance || usual;
  shownDistance.textContent = slider.value;
  groups.setAttribute("aria-busy", "true");
  const slow = setTimeout(() => {
    groups.replaceChildren(
      ...Array.from({ length: 6 }, () => h("div", { class: "group waiting" })),
    );
  }, 150);
  try {
    const limit = Math.min(LIMIT, service.limits.top_k);
    const parameters = { max_distance: slider.value, model: shown.model, limit };
    const answer = await get("api/duplicates", parameters, signal);
    clearTimeout(slow);
    draw(answer.groups, answer.count);
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) {
      groups.removeAttribute("aria-busy");
      if (groups.querySelector(".waiting")) groups.replaceChildren();
    }
  }
}

function draw(found, count) {
  found.forEach(remember);
  groups.replaceChildren(
    ...(found.length
      ? found.map(drawn)
      : [
          emptiness(
            "copies",
            "No duplicates",
            "No two images are this near to each other. A greater distance finds more.",
          ),
        ]),
  );
  const some = count > found.length ? `, the first ${found.length} of them shown` : "";
  report(`${plural(count, "group")}${some}`);
}

function drawn(images) {
  return h(
    "section",
    { class: "group", "aria-label": `${images.length} images` },
    h("h3", {}, plural(images.length, "image")),
    h("ul", {}, ...images.map((image, place) => member(image, place, images))),
  );
}

function member(image, place, images) {
  const [name] = nameParts(image);
  return h(
    "li",
    {},
    h(
      "button",
      {
        type: "button",
        class: "open",
        "aria-label": name,
        onclick: () => openDetails(images, place),
      },
      thumbnail(image),
      h("bdi", { class: "name", title: image.id }, name),
      image.copy ? h("span", { class: "only" }, "exact copy") : null,
    ),
  );
}
