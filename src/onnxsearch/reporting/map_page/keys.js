// Mouse, fingers and keys.
const pointers = new Map();
let dragged = false;
let isLassoed = false;

const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

const setLasso = (on) => {
  byId("lasso").setAttribute("aria-pressed", on);
  canvas.classList.toggle("lasso", on);
};
const wantsLasso = () => byId("lasso").getAttribute("aria-pressed") === "true";

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event));
  dragged = pointers.size > 1;
  isLassoed = pointers.size === 1 && (event.shiftKey || wantsLasso());
  shown.lasso = isLassoed ? [place(event)] : [];
});

canvas.addEventListener("pointermove", (event) => {
  const [x, y] = place(event);
  const before = pointers.get(event.pointerId);
  if (!before) return;
  if (Math.hypot(x - before[0], y - before[1]) < 3 && !dragged) return;
  dragged = true;
  if (isLassoed) {
    shown.lasso.push([x, y]);
    redraw();
    return;
  }
  canvas.classList.add("dragged");
  pinch(event.pointerId, before, [x, y]);
  pointers.set(event.pointerId, [x, y]);
});

// One finger moves the map; of two, the distance zooms and the middle moves.
const pinch = (id, before, after) => {
  const other = [...pointers].find(([each]) => each !== id)?.[1];
  if (!other) {
    moveBy(after[0] - before[0], after[1] - before[1]);
    return;
  }
  const apart = ([x, y]) => Math.max(20, Math.hypot(x - other[0], y - other[1]));
  moveBy((after[0] - before[0]) / 2, (after[1] - before[1]) / 2);
  zoomBy(apart(after) / apart(before), (after[0] + other[0]) / 2, (after[1] + other[1]) / 2);
};

const release = (event) => {
  if (!pointers.delete(event.pointerId)) return;
  canvas.classList.remove("dragged");
  if (event.type === "pointerup" && isLassoed && shown.lasso.length > 2) {
    selectInside(shown.lasso);
  } else if (event.type === "pointerup" && !dragged) {
    pick(event);
  }
  shown.lasso = [];
  isLassoed = false;
  redraw();
};
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);

const pick = (event) => {
  const image = imageAt(...place(event));
  if (image < 0) return;
  goTo(image);
  if (event.ctrlKey || event.metaKey || event.shiftKey) toggle(image);
};

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 30 : 1;
  const amount = Math.max(-250, Math.min(250, event.deltaY * lines));
  zoomBy(2 ** (-amount / 250), ...place(event));
}, { passive: false });
canvas.addEventListener("dblclick", (event) => zoomBy(2, ...place(event)));

// The next image in a direction: near, and rather straight ahead than aside.
const walk = (x, y) => {
  if (!count) return;
  if (shown.current < 0) {
    const centre = [...data.ids.keys()].map((image) =>
      (data.x[image] - view.x) ** 2 + (data.y[image] - view.y) ** 2);
    goTo(centre.indexOf(centre.reduce((a, b) => Math.min(a, b))));
    return;
  }
  let [best, least] = [-1, Infinity];
  for (let image = 0; image < count; image += 1) {
    const [dx, dy] = [data.x[image] - data.x[shown.current], data.y[image] - data.y[shown.current]];
    const ahead = dx * x + dy * y;
    const aside = Math.abs(dx * y - dy * x);
    const cost = ahead + 2 * aside;
    if (ahead > aside && cost < least) [best, least] = [image, cost];
  }
  if (best >= 0) goTo(best);
};

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const mapKeys = {
  Enter: () => shown.current >= 0 && toggle(shown.current),
  "+": () => zoomBy(1.5),
  "=": () => zoomBy(1.5),
  "-": () => zoomBy(1 / 1.5),
  0: showWhole,
  c: () => shown.current >= 0 && data.clusters[shown.current] >= 0
    && selectCluster(data.clusters[shown.current]),
};

const pageKeys = {
  "/": () => byId("words").focus(),
  "?": () => byId("help").showModal(),
  l: () => setLasso(!wantsLasso()),
};

const escape = () => {
  if (shown.lasso.length || wantsLasso()) {
    isLassoed = false;
    shown.lasso = [];
    setLasso(false);
    redraw();
  } else if (byId("words").value) {
    byId("words").value = "";
    search();
    canvas.focus();
  } else {
    clearSelection();
  }
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || byId("help").open) return;
  if (event.key === "Escape") {
    event.preventDefault();
    escape();
    return;
  }
  if (event.target === byId("words")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const direction = event.target === canvas && DIRECTIONS[key];
  const [x, y] = direction || [];
  const action = direction
    ? () => (event.shiftKey ? moveBy(-80 * x, -80 * y) : walk(x, y))
    : pageKeys[key] ?? (event.target === canvas ? mapKeys[key] : undefined);
  if (!action) return;
  event.preventDefault();
  action();
});

byId("words").addEventListener("input", search);
byId("words").closest("form").addEventListener("submit", (event) => {
  event.preventDefault();
  goToNextFound();
});
byId("select-found").addEventListener("click", () => select(shown.found));
byId("smaller").addEventListener("click", () => zoomBy(1 / 1.5));
byId("larger").addEventListener("click", () => zoomBy(1.5));
byId("whole").addEventListener("click", showWhole);
byId("lasso").addEventListener("click", () => setLasso(!wantsLasso()));
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("save-text").addEventListener("click", saveText);
byId("save-json").addEventListener("click", saveJson);
byId("clear").addEventListener("click", clearSelection);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  redraw();
});
new ResizeObserver(resize).observe(canvas);

byId("nothing").hidden = count > 0;
readColours();
resize();
showWhole();
showClusters();
