// A grid of images, which arrow keys walk through.

import { h, icon, nameParts } from "./dom.js";
import { thumbnail } from "./images.js";

/** A list of tiles. `actions`: `open(hits, index)`, `similar(hit)`, `add(hit)`, `unlike(hit)`. */
export class Grid {
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    this.hits = [];
    list.addEventListener("keydown", (event) => this.#onKey(event));
    list.addEventListener("focusin", ({ target }) => {
      if (target.matches(".open")) this.#rove(target);
    });
  }

  fill(hits) {
    this.hits = [];
    this.list.replaceChildren();
    this.append(hits);
  }

  append(hits) {
    const start = this.hits.length;
    this.hits = [...this.hits, ...hits];
    this.list.append(...hits.map((hit, place) => this.#tile(hit, start + place)));
    if (start === 0) this.list.querySelector(".open")?.setAttribute("tabindex", "0");
  }

  /** Show where images will be. */
  wait(count = 12) {
    this.hits = [];
    const tile = () => h("li", { class: "tile waiting", "aria-hidden": "true" });
    this.list.replaceChildren(...Array.from({ length: count }, tile));
  }

  focusFirst() {
    (this.list.querySelector('.open[tabindex="0"]') ?? this.list.querySelector(".open"))?.focus();
  }

  #tile(hit, place) {
    const [name, folder] = nameParts(hit);
    const likeness = figure(hit);
    const label = likeness ? `${name}, ${likeness.label}, rank ${place + 1}` : name;
    const button = (glyph, text, act) =>
      h(
        "button",
        {
          type: "button",
          class: "icon-button",
          tabindex: "-1",
          "aria-label": `${text}: ${name}`,
          title: text,
          onclick: act,
        },
        icon(glyph),
      );
    const tile = h(
      "li",
      { class: "tile", draggable: "true" },
      h(
        "button",
        {
          type: "button",
          class: "open",
          tabindex: "-1",
          "aria-label": label,
          onclick: () => this.actions.open(this.hits, place),
        },
        thumbnail(hit),
      ),
      h(
        "div",
        { class: "actions" },
        button("similar", "Find similar images", () => this.actions.similar(hit)),
        button("plus", "Add as an example", () => this.actions.add(hit)),
      ),
      h(
        "div",
        { class: "caption" },
        h("bdi", { class: "name", title: hit.id }, name),
        likeness
          ? h("span", { class: "figure", title: likeness.title }, likeness.text)
          : h("bdi", { class: "folder" }, lastOf(folder)),
      ),
      likeness ? meter(likeness.share) : null,
    );
    tile.addEventListener("dragstart", ({ dataTransfer }) => {
      dataTransfer.setData("application/x-onnxsearch-id", hit.id);
      dataTransfer.effectAllowed = "copy";
    });
    return tile;
  }

  #rove(target) {
    for (const other of this.list.querySelectorAll('.open[tabindex="0"]')) other.tabIndex = -1;
    target.tabIndex = 0;
  }

  #onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const tiles = [...this.list.querySelectorAll(".open")];
    const place = tiles.indexOf(event.target.closest(".tile")?.querySelector(".open"));
    if (place < 0) return;
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const goal = {
      ArrowRight: place + 1,
      ArrowLeft: place - 1,
      ArrowDown: place + columns,
      ArrowUp: place - columns,
      Home: 0,
      End: tiles.length - 1,
    }[event.key];
    const act = {
      s: () => this.actions.similar(this.hits[place]),
      a: () => this.actions.add(this.hits[place]),
      d: () => this.actions.unlike(this.hits[place]),
    }[event.key];
    if (goal === undefined && !act) return;
    event.preventDefault();
    event.stopPropagation();
    if (act) act();
    else tiles[goal]?.focus();
  }
}

/** Return the innermost of some folders. */
const lastOf = (folders) => folders.split(/[\\/]/).filter(Boolean).at(-1) ?? "";

/** Return how a hit's nearness is shown; null for a record, which answers no query. */
export function figure({ similarity, distance }) {
  if (typeof similarity === "number") {
    const text = similarity.toFixed(2);
    return {
      text,
      label: `similarity ${text}`,
      title: `cosine similarity ${similarity.toFixed(4)}, distance ${distance.toFixed(4)}`,
      share: Math.max(0, similarity),
    };
  }
  if (typeof distance === "number") {
    const text = distance.toFixed(2);
    return {
      text,
      label: `distance ${text}`,
      title: `distance ${distance.toFixed(4)}`,
      share: Math.max(0, 1 - distance),
    };
  }
  return null;
}

/** Return a bar of a share from 0 to 1. */
export function meter(share) {
  const bar = h("span", { class: "meter", "aria-hidden": "true" }, h("span"));
  bar.firstChild.style.width = `${(100 * Math.min(1, share)).toFixed(1)}%`;
  return bar;
}
