// Messages: the quiet line that counts results, and the notice of what went wrong.

import { byId, h, icon } from "./dom.js";

const notice = byId("notice");
const line = byId("status");

/** Announce what is shown now. */
export function report(...content) {
  line.replaceChildren(...content);
}

/** Say that something did not work, with a button that tries again if `retry` is given. */
export function say(text, retry = null) {
  notice.replaceChildren(
    icon("alert"),
    h("p", {}, text),
    ...(retry
      ? [h("button", { type: "button", class: "button", onclick: retry }, "Try again")]
      : []),
    h(
      "button",
      { type: "button", class: "icon-button", "aria-label": "Dismiss", onclick: silence },
      icon("close"),
    ),
  );
  notice.hidden = false;
}

export function silence() {
  notice.hidden = true;
  notice.replaceChildren();
}

/** Return a large notice in place of results. */
export function emptiness(name, title, ...content) {
  return h(
    "div",
    { class: "emptiness" },
    icon(name),
    h("h3", {}, title),
    h("div", {}, ...content.map((each) => (typeof each === "string" ? h("p", {}, each) : each))),
  );
}
