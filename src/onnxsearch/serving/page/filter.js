// The filter: a line of text, with suggestions for the word at the cursor.

import { byId, h } from "./dom.js";
import { fieldText, suggestionsAt } from "./suggestions.js";
import { navigate, state } from "./state.js";

const form = byId("filter-form");
const input = byId("filter");
const list = byId("suggestions");
const error = byId("filter-error");
let fields = {};
let offered = [];
let chosen = -1;

/** Wire the line up; `known` are the fields that the service names. */
export function startFilter(known) {
  fields = known;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply(input.value.trim());
  });
  form.addEventListener("reset", () => setTimeout(() => apply("")));
  input.addEventListener("input", offer);
  input.addEventListener("click", offer);
  input.addEventListener("focus", offer);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", onKey);
  byId("filter-toggle").addEventListener("click", () => open(form.hidden));
}

export function showFilter(shown) {
  byId("filter-bar").hidden = shown.view === "duplicates";
  if (shown.filter || !error.hidden) open(true, false);
  input.value = shown.filter;
  byId("filter-clear").hidden = !shown.filter;
  byId("filter-toggle").classList.toggle("active", Boolean(shown.filter));
  showFilterError("");
}

/** Show what is wrong with the filter, below it. */
export function showFilterError(text) {
  // The service names the argument first; here the message is beside it.
  const place = text.indexOf("filter, character");
  error.textContent = place < 0 ? text : `C${text.slice(place + 9)}`;
  error.hidden = !text;
  input.setAttribute("aria-invalid", String(Boolean(text)));
  if (text) open(true, false);
}

/** Keep only images whose field has this value, beside the filter that there is. */
export function narrow(path, value) {
  const condition = `${path.map(fieldText).join(".")} == ${JSON.stringify(value)}`;
  const { filter } = state();
  apply(filter && filter !== condition ? `(${filter}) and ${condition}` : condition);
}

export function open(wanted, focus = true) {
  form.hidden = !wanted;
  byId("filter-toggle").setAttribute("aria-expanded", String(wanted));
  if (wanted && focus) input.focus();
}

function apply(filter) {
  close();
  byId("filter-clear").hidden = !filter;
  const view = state().view === "duplicates" ? "search" : state().view;
  navigate({ filter, view });
}

function offer() {
  offered = suggestionsAt(input.value.slice(0, input.selectionStart), fields);
  chosen = -1;
  list.replaceChildren(...offered.map(option));
  list.hidden = !offered.length;
  input.setAttribute("aria-expanded", String(Boolean(offered.length)));
  input.removeAttribute("aria-activedescendant");
}

function option({ text, note }, place) {
  // A press would move the focus away from the line, and close the list before the click.
  const take = (event) => {
    event.preventDefault();
    accept(place);
  };
  return h(
    "li",
    { role: "option", id: `suggestion-${place}`, "aria-selected": "false", onpointerdown: take },
    h("bdi", {}, text.trim()),
    note ? h("small", {}, note) : null,
  );
}

function accept(place) {
  const { text, replaces } = offered[place];
  const end = input.selectionStart;
  input.setRangeText(text, end - replaces, end, "end");
  offer();
}

function close() {
  list.hidden = true;
  offered = [];
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function onKey(event) {
  if (event.key === "Escape" && offered.length) {
    event.preventDefault();
    event.stopPropagation();
    close();
  } else if (offered.length && ["ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    const step = event.key === "ArrowDown" ? 1 : -1;
    choose((chosen + step + offered.length + (chosen < 0 && step < 0 ? 1 : 0)) % offered.length);
  } else if (chosen >= 0 && ["Enter", "Tab"].includes(event.key)) {
    event.preventDefault();
    accept(chosen);
  }
}

function choose(place) {
  chosen = place;
  [...list.children].forEach((each, other) =>
    each.setAttribute("aria-selected", String(other === place)),
  );
  list.children[place].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", `suggestion-${place}`);
}
