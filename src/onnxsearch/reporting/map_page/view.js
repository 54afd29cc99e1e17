// The map on its canvas: which part is seen, and what is drawn of it.
const canvas = byId("map");
const context = canvas.getContext("2d");
const view = { x: 0, y: 0, scale: 1, width: 1, height: 1 };
const shown = { current: -1, selected: new Set(), found: null, lasso: [] };

const MOST_ZOOM = 400;
const across = (image) => (data.x[image] - view.x) * view.scale + view.width / 2;
const down = (image) => (data.y[image] - view.y) * view.scale + view.height / 2;
const wholeScale = () => Math.min(view.width, view.height) / 2.25;
const zoom = () => view.scale / wholeScale();

let drawing = 0;
const redraw = () => {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    draw();
  });
};

const showWhole = () => {
  Object.assign(view, { x: 0, y: 0, scale: wholeScale() });
  redraw();
};

// Zooms so that what is at a point of the canvas stays there.
const zoomBy = (factor, x = view.width / 2, y = view.height / 2) => {
  const before = view.scale;
  const whole = wholeScale();
  view.scale = Math.min(Math.max(before * factor, whole / 2), whole * MOST_ZOOM);
  view.x += (x - view.width / 2) * (1 / before - 1 / view.scale);
  view.y += (y - view.height / 2) * (1 / before - 1 / view.scale);
  redraw();
};

const moveBy = (x, y) => {
  view.x -= x / view.scale;
  view.y -= y / view.scale;
  redraw();
};

const centreOn = (image, scale = view.scale) => {
  Object.assign(view, { x: data.x[image], y: data.y[image], scale });
  redraw();
};

const resize = () => {
  const { width, height } = canvas.getBoundingClientRect();
  const factor = width ? Math.min(width, height) / Math.min(view.width, view.height) : 1;
  const density = devicePixelRatio || 1;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  Object.assign(view, { width, height, scale: view.scale * factor });
  redraw();
};

// Medoids first: an image that was given a place keeps it when others would cover it.
const order = (() => {
  const medoids = new Set(data.medoids);
  const others = [...data.ids.keys()].filter((image) => !medoids.has(image));
  return [...medoids, ...others];
})();

const thumbnailSize = () => Math.min(112, 34 + 14 * Math.log2(Math.max(1, zoom())));

// The images that are shown as thumbnails: as many as fit without covering each other. The whole
// map shows the middle of each cluster only; the others appear on zooming in.
const thumbnails = () => {
  const size = thumbnailSize() + 4;
  const many = zoom() < 1.6 ? data.medoids.length : order.length;
  const taken = new Map();
  const chosen = [];
  const first = shown.current < 0 ? [] : [shown.current];
  for (const image of [...first, ...order.slice(0, many)]) {
    const [x, y] = [across(image), down(image)];
    if (x < -size || y < -size || x > view.width + size || y > view.height + size) continue;
    const [column, row] = [Math.floor(x / size), Math.floor(y / size)];
    let free = true;
    for (let c = column - 1; free && c <= column + 1; c += 1) {
      for (let r = row - 1; free && r <= row + 1; r += 1) {
        const other = taken.get(c * 65536 + r);
        free = !(other && Math.abs(other[0] - x) < size && Math.abs(other[1] - y) < size);
      }
    }
    if (!free) continue;
    taken.set(column * 65536 + row, [x, y]);
    chosen.push(image);
  }
  return chosen;
};

let ink = {};
const readColours = () => {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "card", "ink", "quiet", "rule", "accent"]) {
    ink[name] = style.getPropertyValue(`--${name}`).trim();
  }
};

const draw = () => {
  const density = canvas.width / view.width;
  context.setTransform(density, 0, 0, density, 0, 0);
  context.fillStyle = ink.paper;
  context.fillRect(0, 0, view.width, view.height);
  drawPoints();
  const chosen = thumbnails();
  const size = thumbnailSize();
  for (const image of chosen) drawImage(image, size);
  drawNames(size, chosen);
  drawLasso();
  canvas.dataset.thumbnails = chosen.join(" ");
};

const isFaint = (image) => shown.found && !shown.found.has(image);

const drawPoints = () => {
  const radius = Math.min(5, 1.6 + 0.5 * Math.log2(1 + zoom()) + (count < 500 ? 1.2 : 0));
  for (let image = 0; image < count; image += 1) {
    const [x, y] = [across(image), down(image)];
    if (x < -9 || y < -9 || x > view.width + 9 || y > view.height + 9) continue;
    context.globalAlpha = isFaint(image) ? 0.15 : 0.85;
    context.fillStyle = shown.selected.has(image) ? ink.accent : colour(data.clusters[image]);
    const r = shown.selected.has(image) || shown.found?.has(image) ? radius + 1.2 : radius;
    context.beginPath();
    context.arc(x, y, r, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
};

const drawImage = (image, size) => {
  const [x, y] = [across(image), down(image)];
  context.globalAlpha = isFaint(image) ? 0.2 : 1;
  const drawn = drawThumbnail(context, image, x, y, size, redraw);
  const [w, h] = drawn || [size * 0.6, size * 0.6];
  if (!drawn && data.tiles[image]) return;
  if (!drawn) drawPlaceholder(x, y, w);
  const isMarked = image === shown.current || shown.selected.has(image);
  context.lineWidth = image === shown.current ? 4 : isMarked ? 3 : 1.5;
  context.strokeStyle = isMarked ? ink.accent : colour(data.clusters[image]);
  context.strokeRect(x - w / 2, y - h / 2, w, h);
  context.globalAlpha = 1;
};

// An image without a thumbnail: its file is missing or damaged, or there are too many.
const drawPlaceholder = (x, y, size) => {
  if (zoom() < 1.6) return;
  context.fillStyle = ink.rule;
  context.fillRect(x - size / 2, y - size / 2, size, size);
  context.fillStyle = ink.quiet;
  context.font = `${Math.round(size / 2)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText("?", x, y);
};

// Names of clusters, the largest first, where they cover no other name and no thumbnail.
const drawNames = (size, chosen) => {
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "top";
  context.lineJoin = "round";
  const half = size / 2;
  const most = view.width < 600 ? 16 : 28;
  const boxes = chosen.map((image) => {
    const [x, y] = [across(image), down(image)];
    return [x - half, y - half, x + half, y + half];
  });
  data.labels.forEach((label, cluster) => {
    const [middle, y] = [across(data.medoids[cluster]), down(data.medoids[cluster]) + half + 3];
    if (middle < 0 || middle > view.width) return;
    const text = label.length > most ? `${label.slice(0, most - 1)}…` : label;
    const reach = context.measureText(text).width / 2 + 3;
    const x = Math.min(Math.max(middle, reach), view.width - reach);
    const box = [x - reach, y, x + reach, y + 15];
    if (box[3] < 0 || y > view.height) return;
    const covers = (o) => o[0] < box[2] && o[2] > box[0] && o[1] < box[3] && o[3] > box[1];
    if (boxes.some(covers)) return;
    boxes.push(box);
    context.lineWidth = 4;
    context.strokeStyle = ink.paper;
    context.strokeText(text, x, y);
    context.fillStyle = ink.ink;
    context.fillText(text, x, y);
  });
};

const drawLasso = () => {
  if (shown.lasso.length < 2) return;
  context.beginPath();
  shown.lasso.forEach(([x, y], step) => (step ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.lineWidth = 2;
  context.strokeStyle = ink.accent;
  context.stroke();
  context.globalAlpha = 0.12;
  context.fillStyle = ink.accent;
  context.fill();
  context.globalAlpha = 1;
};

// The image at a point of the canvas; -1 if none is near.
const imageAt = (x, y) => {
  const half = thumbnailSize() / 2;
  const under = thumbnails().find(
    (image) => Math.abs(across(image) - x) <= half && Math.abs(down(image) - y) <= half);
  if (under !== undefined) return under;
  let [best, nearest] = [-1, 14 ** 2];
  for (let image = 0; image < count; image += 1) {
    const distance = (across(image) - x) ** 2 + (down(image) - y) ** 2;
    if (distance < nearest) [best, nearest] = [image, distance];
  }
  return best;
};
