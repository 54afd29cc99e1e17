// Keys that work anywhere on the page; each view has its own as well.

import { clear, focusWords } from "./composer.js";
import { byId } from "./dom.js";
import { open as openFilter } from "./filter.js";
import { isEmpty, navigate, state } from "./state.js";
import { recall, retain } from "./storage.js";

const ARROWS = ["ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"];
const help = byId("keys");
const single = byId("single-keys");
const SINGLE = "onnxsearch-single-keys";

export function startKeys() {
  byId("keys-button").addEventListener("click", () => help.showModal());
  help.addEventListener("click", ({ target }) => target === help && help.close());
  // Who speaks to the machine, or types with one hand, may need letters to do nothing by themselves.
  single.checked = recall(SINGLE, "localStorage") !== "off";
  single.addEventListener("change", () => {
    retain(SINGLE, single.checked ? "on" : "off", "localStorage");
  });
  addEventListener("keydown", onKey);
}

function onKey(event) {
  const { key, target } = event;
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (target.matches?.("input, select, textarea")) {
    if (key === "Escape") target.blur();
    return;
  }
  const act = {
    "/": focusWords,
    "?": () => help.showModal(),
    f: () => openFilter(true),
    Escape: () => isEmpty(state()) || clear(),
    1: () => navigate({ view: "search" }),
    2: () => navigate({ view: "compare" }),
    3: () => navigate({ view: "duplicates" }),
  }[key];
  if (act && (single.checked || key === "Escape")) {
    event.preventDefault();
    act();
  } else if (ARROWS.includes(key) && !target.closest?.("a, button")) {
    event.preventDefault();
    document.querySelector('main .open[tabindex="0"], main .row[tabindex="0"]')?.focus();
  }
}
