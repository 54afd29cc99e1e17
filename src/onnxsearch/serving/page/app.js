// Starts the page: asks the service what it holds, then shows what the address says.

import { get } from "./api.js";
import { showCompare, startCompare } from "./compare.js";
import { showComposer, startComposer } from "./composer.js";
import { startCrop } from "./crop.js";
import { startDetails } from "./details.js";
import { byId, h, plural } from "./dom.js";
import { startDrop } from "./drop.js";
import { showDuplicates, startDuplicates } from "./duplicates.js";
import { showFilter, showFilterError, startFilter } from "./filter.js";
import { startKeys } from "./keys.js";
import { report, say, silence } from "./messages.js";
import { describe, showSearch, startSearch } from "./search.js";
import { addressOf, isEmpty, navigate, state, watch } from "./state.js";
import { startTheme } from "./theme.js";
import { startToken } from "./token.js";

const VIEWS = { search: showSearch, compare: showCompare, duplicates: showDuplicates };
const models = byId("model");
let running = new AbortController();

async function start() {
  let info;
  try {
    info = await get("api/info");
  } catch (error) {
    const again = () => {
      silence();
      start();
    };
    say(error.message, again);
    return;
  }
  models.replaceChildren(...info.models.map(({ name }) => h("option", { value: name }, name)));
  byId("model-label").hidden = info.models.length < 2;
  byId("count").textContent = plural(info.count, "image");
  byId("version").textContent = `onnxsearch ${info.version}`;
  startComposer(info);
  startFilter(info.fields);
  startDetails();
  startCrop();
  startSearch(info);
  startCompare(info);
  startDuplicates(info);
  startDrop();
  startKeys();
  models.addEventListener("change", () => navigate({ model: models.value }));
  for (const link of document.querySelectorAll("[data-view]")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      navigate({ view: link.dataset.view });
    });
  }
  const fallback = info.models.find((model) => model.default) ?? info.models[0];
  watch((shown, back) => {
    // Where the reader was on a page before, the browser remembers.
    if (!back) scrollTo(0, 0);
    render(shown, fallback?.name ?? "");
  });
  document.documentElement.classList.add("ready");
  render(state(), fallback?.name ?? "");
}

/** Show a state; what was under way for an earlier one is given up. */
async function render(shown, fallback) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  for (const each of document.querySelectorAll("[aria-busy]")) each.removeAttribute("aria-busy");
  silence();
  frame(shown, fallback);
  try {
    await VIEWS[shown.view](shown, signal);
  } catch (error) {
    if (signal.aborted) return;
    report("");
    if (error.argument === "filter") showFilterError(error.message);
    else say(error.message, () => render(state(), fallback));
  }
}

function frame(shown, fallback) {
  const name = shown.model || fallback;
  if ([...models.options].some(({ value }) => value === name)) models.value = name;
  models.disabled = shown.view === "compare";
  const comparing = shown.view === "compare" && (models.options.length < 2 || !isEmpty(shown));
  byId("results").hidden = shown.view === "duplicates" || comparing;
  byId("compare").hidden = shown.view !== "compare";
  byId("duplicates").hidden = shown.view !== "duplicates";
  byId("duplicates-intro").hidden = shown.view !== "duplicates";
  byId("under").classList.toggle("wide", shown.view === "duplicates");
  for (const link of document.querySelectorAll("[data-view]")) {
    const { view } = link.dataset;
    link.href = addressOf({ ...shown, view });
    if (view === shown.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = isEmpty(shown) ? "onnxsearch" : `${describe(shown)} · onnxsearch`;
  showComposer(shown);
  showFilter(shown);
}

startTheme();
startToken();
start();
