"use strict";
// The hits are in the page already; this only moves the focus and marks the same image.
for (const models of document.querySelectorAll(".models")) {
  const columns = [...models.querySelectorAll("ol")].map((list) => [...list.children]);

  const mark = (hit) => {
    for (const each of models.querySelectorAll("[data-image]")) {
      each.classList.toggle("same", !!hit && each.dataset.image === hit.dataset.image);
    }
  };
  for (const hit of columns.flat()) {
    hit.addEventListener("focus", () => mark(hit));
    hit.addEventListener("blur", () => mark(null));
    hit.addEventListener("mouseenter", () => mark(hit));
    hit.addEventListener("mouseleave", () => mark(null));
  }

  models.addEventListener("keydown", (event) => {
    const column = columns.findIndex((hits) => hits.includes(event.target));
    if (column < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const row = columns[column].indexOf(event.target);
    const beside = (step) => {
      const hits = columns[column + step] ?? [];
      const same = hits.find((hit) => hit.dataset.image === event.target.dataset.image);
      return same ?? hits[Math.min(row, hits.length - 1)];
    };
    const goals = {
      ArrowDown: () => columns[column][row + 1],
      ArrowUp: () => columns[column][row - 1],
      ArrowLeft: () => beside(-1),
      ArrowRight: () => beside(1),
      Home: () => columns[column][0],
      End: () => columns[column].at(-1),
    };
    const goal = goals[event.key]?.();
    if (!goal) return;
    event.preventDefault();
    goal.focus();
  });
}
