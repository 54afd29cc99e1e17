// The panel beside the map: the image, the selection, the clusters. Texts are never read as HTML.
const MOST_NAMES = 200;

const say = (text) => {
  byId("status").textContent = text;
};

const row = (text, detail, hue, action) => {
  const button = document.createElement("button");
  button.type = "button";
  if (hue) {
    const dot = document.createElement("i");
    dot.style.background = hue;
    button.append(dot);
  }
  const name = document.createElement("bdi");
  name.textContent = text;
  name.title = text;
  const small = document.createElement("small");
  small.textContent = detail;
  button.append(name, small);
  button.addEventListener("click", action);
  const item = document.createElement("li");
  item.append(button);
  return item;
};

const showCurrent = () => {
  const image = shown.current;
  byId("image").hidden = image < 0;
  byId("no-image").hidden = image >= 0;
  if (image < 0) return;
  byId("image-name").textContent = data.uris[image] ?? data.ids[image];
  byId("image-cluster").textContent =
    data.clusters[image] < 0 ? "In no cluster" : `Cluster: ${labelOf(image)}`;
  byId("image-text").textContent = data.texts[image];
  byId("image-text").hidden = !data.texts[image];
  showPreview();
};

const showPreview = () => {
  const preview = byId("preview");
  const side = preview.width;
  const pen = preview.getContext("2d");
  pen.clearRect(0, 0, side, side);
  const image = shown.current;
  if (image < 0 || drawThumbnail(pen, image, side / 2, side / 2, side, showPreview)) return;
  pen.fillStyle = ink.quiet;
  pen.font = "28px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.fillText(data.tiles[image] ? "" : "no image", side / 2, side / 2);
};

const goTo = (image, scale) => {
  shown.current = image;
  const [x, y] = [across(image), down(image)];
  const isSeen = x > 40 && y > 40 && x < view.width - 40 && y < view.height - 40;
  if (scale || !isSeen) centreOn(image, Math.max(scale ?? 0, view.scale));
  showCurrent();
  redraw();
  say(`${nameOf(image)}, ${labelOf(image)}${shown.selected.has(image) ? ", selected" : ""}`);
};

const showSelection = () => {
  const images = [...shown.selected].sort((a, b) => a - b);
  const number = images.length.toLocaleString("en");
  byId("selected").textContent = images.length
    ? `${number} image${images.length === 1 ? "" : "s"}`
    : "No image is selected.";
  byId("selection-tools").hidden = !images.length;
  const rows = images
    .slice(0, MOST_NAMES)
    .map((image) => row(nameOf(image), "", colour(data.clusters[image]), () => goTo(image)));
  byId("selection").replaceChildren(...rows);
  const hidden = images.length - MOST_NAMES;
  if (hidden > 0) byId("selected").textContent += `; the first ${MOST_NAMES} are listed`;
};

const showClusters = () => {
  byId("no-clusters").hidden = data.labels.length > 0;
  const rows = data.labels.map((label, cluster) =>
    row(label, data.sizes[cluster].toLocaleString("en"), colour(cluster), () =>
      goTo(data.medoids[cluster], wholeScale() * 5)));
  byId("clusters").replaceChildren(...rows);
};

const search = () => {
  const found = imagesWith(byId("words").value);
  shown.found = found && new Set(found);
  byId("found").textContent = found ? `${found.length.toLocaleString("en")} found` : "";
  byId("select-found").hidden = !found?.length;
  redraw();
};

const goToNextFound = () => {
  if (!shown.found?.size) return;
  const found = [...shown.found];
  goTo(found.find((image) => image > shown.current) ?? found[0]);
};
