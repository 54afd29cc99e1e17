// The view that shows what several models find for one query, side by side.

import { post } from "./api.js";
import { modelOf } from "./composer.js";
import { openDetails } from "./details.js";
import { byId, h, nameParts, plural, svg } from "./dom.js";
import { figure, meter } from "./grid.js";
import { thumbnail } from "./images.js";
import { emptiness, report } from "./messages.js";
import { remember } from "./records.js";
import { describe, formOf, showSearch } from "./search.js";
import { isEmpty, navigate } from "./state.js";

const TOP = 10;
const columns = byId("columns");
const agreement = byId("agreement");
let service;

export function startCompare(info) {
  service = info;
  columns.addEventListener("keydown", onKey);
  for (const [event, on] of [
    ["focusin", true],
    ["mouseover", true],
    ["focusout", false],
    ["mouseleave", false],
  ]) {
    columns.addEventListener(event, ({ target }) =>
      mark(on ? target.closest?.("[data-image]") : null),
    );
  }
}

/** Show the rankings of the chosen models; without a query, all images to choose one from. */
export async function showCompare(shown, signal) {
  columns.replaceChildren();
  agreement.replaceChildren();
  if (service.models.length < 2) {
    byId("compare-heading").textContent = "Compare models";
    report("");
    columns.replaceChildren(
      emptiness(
        "columns",
        "This index has one model",
        "A comparison needs two. Index the images with a second one, then start the service again:",
        h("code", {}, "onnxsearch index FOLDER -m efficientnet-lite2 -m efficientnet-lite0"),
      ),
    );
    return;
  }
  choice(shown);
  if (isEmpty(shown)) {
    byId("compare-heading").textContent = "Compare models";
    await showSearch(shown, signal);
    byId("heading").textContent = "Choose an image to compare the models";
    return;
  }
  byId("compare-heading").textContent = `Similar to ${describe(shown)}`;
  columns.setAttribute("aria-busy", "true");
  try {
    const models = chosen(shown);
    const answer = await post(
      "api/compare",
      formOf(shown, {
        top_k: Math.min(TOP, service.limits.top_k),
        models,
        exclude: [...shown.ids, ...shown.unlike],
      }),
      signal,
    );
    for (const { hits } of answer.models) remember(hits);
    draw(answer.models);
    agree(answer.agreement);
    report(`${plural(models.length, "model")}, ${TOP} images each`);
  } finally {
    if (!signal.aborted) columns.removeAttribute("aria-busy");
  }
}

const chosen = ({ models }) => {
  const known = service.models.map(({ name }) => name);
  const named = known.filter((name) => models.includes(name));
  return named.length > 1 ? named : known;
};

/** Offer the models to choose from, where there are more than two. */
function choice(shown) {
  const names = service.models.map(({ name }) => name);
  const used = chosen(shown);
  const toggle = (name) => {
    const models = used.includes(name) ? used.filter((other) => other !== name) : [...used, name];
    navigate({ models: models.length === names.length ? [] : models });
  };
  byId("model-choice").replaceChildren(
    ...(names.length > 2
      ? names.map((name) =>
          h(
            "button",
            {
              type: "button",
              class: "chip",
              "aria-pressed": String(used.includes(name)),
              disabled: used.length === 2 && used.includes(name),
              onclick: () => toggle(name),
            },
            h("bdi", {}, name),
          ),
        )
      : []),
  );
}

function draw(rankings) {
  const ids = [...new Set(rankings.flatMap(({ hits }) => hits.map(({ id }) => id)))];
  const number = new Map(ids.map((id, place) => [id, place]));
  const parts = rankings.flatMap((ranking, place) => {
    const others = new Set(
      rankings.filter((other) => other !== ranking).flatMap(({ hits }) => hits.map(({ id }) => id)),
    );
    const drawn = column(ranking, number, others);
    return place ? [lines(rankings[place - 1].hits, ranking.hits, number), drawn] : [drawn];
  });
  columns.style.setProperty("--models", rankings.length);
  columns.replaceChildren(...parts);
  columns.querySelector(".row")?.setAttribute("tabindex", "0");
}

function column({ model, hits }, number, others) {
  const { metric, dimension } = modelOf({ model }) ?? {};
  const rows = hits.map((hit, place) => row(hit, place, hits, number, others));
  return h(
    "section",
    { class: "column", "aria-label": model },
    h(
      "h3",
      {},
      h("bdi", {}, model),
      h("small", {}, [dimension && `${dimension} dimensions`, metric].filter(Boolean).join(" · ")),
    ),
    h("ol", {}, ...rows),
  );
}

function row(hit, place, hits, number, others) {
  const [name] = nameParts(hit);
  const shown = figure(hit);
  const only = !others.has(hit.id);
  const label = `${place + 1}. ${name}${shown ? `, ${shown.label}` : ""}${only ? ", only here" : ""}`;
  return h(
    "li",
    {},
    h(
      "button",
      {
        type: "button",
        class: "row",
        tabindex: "-1",
        "data-image": number.get(hit.id),
        "aria-label": label,
        onclick: () => openDetails(hits, place),
      },
      h("span", { class: "rank" }, String(place + 1)),
      thumbnail(hit, 200),
      h(
        "span",
        { class: "about" },
        h("bdi", { class: "name" }, name),
        h(
          "span",
          { class: "figure" },
          shown?.text ?? "",
          only ? h("span", { class: "only" }, "only here") : null,
        ),
        shown ? meter(shown.share) : null,
      ),
    ),
  );
}

/** Return curves from the rank of each image in one column to its rank in the next. */
function lines(left, right, number) {
  const height = Math.max(left.length, right.length);
  const drawing = svg("svg", {
    class: "moves",
    viewBox: `0 0 100 ${100 * height}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  drawing.style.setProperty("--rows", height);
  left.forEach(({ id }, from) => {
    const to = right.findIndex((hit) => hit.id === id);
    if (to < 0) return;
    const [start, end] = [100 * from + 50, 100 * to + 50];
    const kind = to === from ? "kept" : to < from ? "rose" : "fell";
    drawing.append(
      svg("path", {
        class: kind,
        "data-image": number.get(id),
        d: `M0 ${start}C50 ${start} 50 ${end} 100 ${end}`,
      }),
    );
  });
  return drawing;
}

function mark(target) {
  const image = target?.dataset.image;
  for (const each of columns.querySelectorAll("[data-image]")) {
    each.classList.toggle("same", image !== undefined && each.dataset.image === image);
  }
}

function agree(pairs) {
  const share = (value) => (typeof value === "number" ? `${Math.round(100 * value)} %` : "–");
  agreement.replaceChildren(
    ...pairs.map(({ models, overlap, rank_biased_overlap: biased, kendall_tau: tau }) =>
      h(
        "dl",
        { class: "figures" },
        pairs.length > 1 ? h("p", {}, h("bdi", {}, models.join(" and "))) : null,
        ...measure("found by both", share(overlap), "Share of the images that both models found"),
        ...measure(
          "rank-biased overlap",
          share(biased),
          "The same, with more weight for the first ranks",
        ),
        ...measure(
          "Kendall's tau",
          typeof tau === "number" ? tau.toFixed(2) : "–",
          "Whether both order their common images alike, from -1 to 1",
        ),
      ),
    ),
  );
}

const measure = (name, value, title) => [
  h("div", { title }, h("dt", {}, name), h("dd", {}, value)),
];

/** Up and down walk through a ranking; left and right follow an image to the next model. */
function onKey(event) {
  const target = event.target.closest(".row");
  if (!target || event.ctrlKey || event.altKey || event.metaKey) return;
  const rankings = [...columns.querySelectorAll(".column")].map((each) => [
    ...each.querySelectorAll(".row"),
  ]);
  const column = rankings.findIndex((rows) => rows.includes(target));
  const place = rankings[column].indexOf(target);
  const beside = (step) => {
    const rows = rankings[column + step] ?? [];
    return (
      rows.find((other) => other.dataset.image === target.dataset.image) ??
      rows[Math.min(place, rows.length - 1)]
    );
  };
  const goal = {
    ArrowDown: () => rankings[column][place + 1],
    ArrowUp: () => rankings[column][place - 1],
    ArrowLeft: () => beside(-1),
    ArrowRight: () => beside(1),
    Home: () => rankings[column][0],
    End: () => rankings[column].at(-1),
  }[event.key]?.();
  if (!goal) return;
  event.preventDefault();
  event.stopPropagation();
  target.tabIndex = -1;
  goal.tabIndex = 0;
  goal.focus();
}
