"use strict";
// All images are in the page already. This moves the focus, remembers decisions and exports them.
const data = JSON.parse(document.getElementById("data").textContent);
const cards = [...document.querySelectorAll("li[data-image]")];
const sections = [...document.querySelectorAll("main > section")];
const columns = sections.map((section) => [...section.querySelectorAll("li[data-image]")]);
const groupOf = new Map(columns.flatMap((column, group) => column.map((card) => [card, group])));
const LETTERS = { keep: "k", remove: "r" };
const DECISIONS = { k: "keep", r: "remove" };
const place = `onnxsearch-duplicates-${data.key}`;

let decisions = cards.map(() => null);
let current = 0;
let exported = true;
const past = [];

const by = (id) => document.getElementById(id);
const say = (text) => { by("said").textContent = text; };
const nameOf = (card) => card.querySelector(".name").textContent;

function store() {
  const text = decisions.map((decision) => LETTERS[decision] ?? "-").join("");
  try {
    localStorage.setItem(place, text);
    if (localStorage.getItem(place) === text) return;
  } catch { /* Private windows and full disks refuse. */ }
  by("forgetful").hidden = false;
}

function restore() {
  let text = null;
  try { text = localStorage.getItem(place); } catch { /* as above */ }
  // Other pages of the same origin may have written anything.
  if (text?.length !== cards.length || !/^[kr-]*$/.test(text) || !/[kr]/.test(text)) return;
  decisions = [...text].map((letter) => DECISIONS[letter] ?? null);
  say("The decisions of your last visit are here again.");
}

function drawCard(number) {
  const card = cards[number];
  card.dataset.state = decisions[number] ?? "";
  for (const button of card.querySelectorAll("[data-decision]")) {
    button.setAttribute("aria-pressed", button.dataset.decision === decisions[number]);
  }
}

function drawGroup(group) {
  const removed = columns[group].every((card) => decisions[card.dataset.image] === "remove");
  sections[group].querySelector(".warning").hidden = !removed;
}

function summary() {
  const bytes = decisions.reduce(
    (sum, decision, number) => sum + (decision === "remove" ? data.images[number][3] ?? 0 : 0), 0);
  const count = (wanted) => decisions.filter((decision) => decision === wanted).length;
  const decided = columns.filter((column) => column.every((card) => decisions[card.dataset.image]));
  const size = bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const all = `${decided.length} of ${sections.length} groups decided`;
  return `${all}: ${count("keep")} to keep, ${count("remove")} to remove (${size})`;
}

function draw(numbers) {
  numbers.forEach(drawCard);
  new Set(numbers.map((number) => groupOf.get(cards[number]))).forEach(drawGroup);
  by("summary").textContent = summary();
}

/** Set decisions, each a pair of the number of a card and what is decided of it. */
function decide(pairs, said) {
  past.push(pairs.map(([number]) => [number, decisions[number]]));
  pairs.forEach(([number, decision]) => { decisions[number] = decision; });
  exported = false;
  draw(pairs.map(([number]) => number));
  store();
  say(said);
}

function toggle(number, decision) {
  const wanted = decisions[number] === decision ? null : decision;
  const done = { keep: "to keep", remove: "to remove" }[wanted] ?? "undecided";
  decide([[number, wanted]], `${nameOf(cards[number])}: ${done}`);
}

function suggested(group) {
  const keep = sections[group].dataset.keep;
  if (keep === undefined) return [];
  return columns[group].map((card) => {
    const number = Number(card.dataset.image);
    return [number, card.dataset.image === keep ? "keep" : "remove"];
  });
}

function setCurrent(number) {
  const mark = (card, index) => {
    card.tabIndex = index;
    card.querySelectorAll("button").forEach((button) => { button.tabIndex = index; });
  };
  mark(cards[current], -1);
  mark(cards[number], 0);
  current = number;
}

function go(card) {
  if (card) card.focus();
}

function step(groups, images) {
  const group = groupOf.get(cards[current]);
  const column = columns[group].indexOf(cards[current]);
  // The first key shows where the focus is; only the next one moves it.
  if (document.activeElement.closest("li") !== cards[current]) return go(cards[current]);
  if (images) return go(columns[group][column + images]);
  const goal = columns[group + groups];
  go(goal?.[Math.min(column, goal.length - 1)]);
}

function accept(group) {
  const pairs = suggested(group);
  if (!pairs.length) return say("This group has no suggestion.");
  const [kept] = pairs.find(([, decision]) => decision === "keep");
  decide(pairs, `Group ${group + 1}: ${nameOf(cards[kept])} to keep, the others to remove`);
  go(columns[group + 1]?.[0] ?? cards[kept]);
}

const actions = {
  left: () => step(0, -1),
  right: () => step(0, 1),
  up: () => step(-1, 0),
  down: () => step(1, 0),
  first: () => go(columns[groupOf.get(cards[current])][0]),
  last: () => go(columns[groupOf.get(cards[current])].at(-1)),
  keep: () => toggle(current, "keep"),
  remove: () => toggle(current, "remove"),
  accept: () => accept(groupOf.get(cards[current])),
  acceptAll: () => {
    const open = columns.map((_, group) => group)
      .filter((group) => columns[group].every((card) => !decisions[card.dataset.image]));
    const pairs = open.flatMap(suggested);
    if (!pairs.length) return say("No group with a suggestion is undecided.");
    decide(pairs, `Accepted the suggestions for all groups without a decision: U undoes it.`);
  },
  undo: () => {
    const pairs = past.pop();
    if (!pairs) return say("There is nothing to undo.");
    pairs.forEach(([number, decision]) => { decisions[number] = decision; });
    exported = false;
    draw(pairs.map(([number]) => number));
    store();
    say("Undone.");
    go(cards[pairs[0][0]]);
  },
  startOver: () => {
    if (!decisions.some(Boolean)) return say("Nothing is decided yet.");
    decide(decisions.map((_, number) => [number, null]), "All is undecided again: U undoes it.");
  },
  openHelp: () => by("help").showModal(),
  openExport: () => {
    const lost = columns.filter((column) =>
      column.every((card) => decisions[card.dataset.image] === "remove")).length;
    const warning = lost ? ` Of ${lost} groups, nothing is kept.` : "";
    by("export-summary").textContent = `${summary()}.${warning}`;
    by("export").showModal();
  },
  exportJSON: () => save("duplicates.json", "application/json", asJSON()),
  exportCSV: () => save("duplicates.csv", "text/csv", asCSV()),
};

const KEYS = {
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
  Home: "first", End: "last", k: "keep", x: "remove", a: "accept", u: "undo",
  e: "openExport", "?": "openHelp",
};

function rows() {
  return data.images.map(([group, id, path], number) =>
    ({ group, id, path, decision: decisions[number] ?? "undecided" }));
}

function asJSON() {
  const { format, version } = data;
  return `${JSON.stringify({ format, version, decisions: rows() }, null, 1)}\n`;
}

function asCSV() {
  // As Python shows bytes of a file name that are not UTF-8: CSV has no other way to hold them.
  const valid = (text) => text.replace(
    /\p{Surrogate}/gu, (half) => `\\u${half.charCodeAt(0).toString(16)}`);
  const harmless = (text) => (/^[=+\-@\t\r\n'＝＋－＠]/.test(text) ? `'${text}` : text);
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const line = (texts) => `${texts.map(cell).join(",")}\r\n`;
  const lines = rows().map(({ group, id, path, decision }) =>
    line([`${group}`, harmless(valid(id)), harmless(valid(path ?? "")), decision]));
  return line(["group", "id", "path", "decision"]) + lines.join("");
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  exported = true;
  by("export").close();
  say(`${name} was exported.`);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (!cards.length || document.querySelector("dialog[open]")) return;
  // On a keyboard of another script, the key at the place of the Latin letter counts.
  const isForeign = event.key.length === 1 && event.key > "~";
  const key = isForeign ? event.code.replace("Key", "") : event.key;
  const action = actions[KEYS[key.length === 1 ? key.toLowerCase() : key]];
  if (!action) return;
  event.preventDefault();
  action();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const card = event.target.closest("li[data-image]");
  if (card) setCurrent(Number(card.dataset.image));
  if (!button) return;
  const { action, decision, accept: isAccept, close } = button.dataset;
  if (close !== undefined) button.closest("dialog").close();
  else if (action) actions[action]();
  else if (decision) toggle(Number(card.dataset.image), decision);
  else if (isAccept !== undefined) accept(sections.indexOf(button.closest("section")));
});

document.addEventListener("focusin", (event) => {
  const card = event.target.closest("li[data-image]");
  if (card) setCurrent(Number(card.dataset.image));
});

addEventListener("beforeunload", (event) => {
  if (!by("forgetful").hidden && !exported) event.preventDefault();
});

if (cards.length) {
  restore();
  setCurrent(0);
  draw(cards.map((_, number) => number));
}
