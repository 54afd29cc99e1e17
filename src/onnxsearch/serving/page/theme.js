// Light, dark, or as the system is.

import { byId, icon } from "./dom.js";
import { recall, retain } from "./storage.js";

const KEY = "onnxsearch-theme";
const THEMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
const button = byId("theme");

export function startTheme() {
  show(recall(KEY, "localStorage"));
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(button.dataset.theme) + 1) % names.length];
    retain(KEY, next, "localStorage");
    show(next);
  });
}

function show(given) {
  const name = given in THEMES ? given : "auto";
  button.dataset.theme = name;
  document.documentElement.dataset.theme = name;
  button.setAttribute("aria-label", THEMES[name]);
  button.title = THEMES[name];
  button.replaceChildren(icon(name));
}
