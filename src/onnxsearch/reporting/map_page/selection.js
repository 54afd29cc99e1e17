// Which images are selected, and their ids as a file.
const changed = () => {
  showSelection();
  redraw();
};

const select = (images) => {
  for (const image of images) shown.selected.add(image);
  changed();
  say(`${shown.selected.size.toLocaleString("en")} images selected`);
};

const toggle = (image) => {
  if (!shown.selected.delete(image)) shown.selected.add(image);
  changed();
  say(`${nameOf(image)} ${shown.selected.has(image) ? "selected" : "deselected"}`);
};

const clearSelection = () => {
  shown.selected.clear();
  changed();
  say("Selection cleared");
};

// Whether a point is inside a polygon: a ray to the right crosses its border an odd number of times.
const isInside = (x, y, polygon) => {
  let inside = false;
  polygon.forEach(([ax, ay], step) => {
    const [bx, by] = polygon.at(step - 1);
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  });
  return inside;
};

const selectInside = (polygon) => {
  const images = [...data.ids.keys()].filter((image) =>
    isInside(across(image), down(image), polygon));
  select(images);
};

const selectCluster = (cluster) =>
  select([...data.ids.keys()].filter((image) => data.clusters[image] === cluster));

const selectedIds = () => [...shown.selected].sort((a, b) => a - b).map((image) => data.ids[image]);

const save = (name, type, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
};

const saveText = () => save("selection.txt", "text/plain", `${selectedIds().join("\n")}\n`);
const saveJson = () =>
  save("selection.json", "application/json", `${JSON.stringify(selectedIds(), null, 1)}\n`);
