// Images that are dropped on the page or pasted into it.

import { addFiles, addStored } from "./composer.js";
import { byId } from "./dom.js";
import { say } from "./messages.js";
import { isEmpty, state } from "./state.js";

const STORED = "application/x-onnxsearch-id";
const zone = byId("drop-zone");
const add = byId("drop-add");
let depth = 0;

export function startDrop() {
  addEventListener("dragenter", (event) => {
    if (!accepts(event)) return;
    depth += 1;
    add.hidden = isEmpty(state());
    zone.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (accepts(event) && (depth -= 1) <= 0) end();
  });
  addEventListener("dragover", (event) => {
    if (!accepts(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    for (const half of zone.children) half.classList.toggle("over", half.contains(event.target));
  });
  addEventListener("drop", (event) => {
    if (!accepts(event)) return;
    event.preventDefault();
    end();
    take(event.dataTransfer, add.contains(event.target));
  });
  addEventListener("dragend", end);
  addEventListener("paste", ({ clipboardData, target }) => {
    const files = [...(clipboardData?.files ?? [])];
    if (files.length) addFiles(files);
    else if (!target.matches?.("input, textarea"))
      say("The clipboard holds no image. Copy one, then paste it here.");
  });
}

const accepts = ({ dataTransfer }) =>
  Boolean(dataTransfer) &&
  (dataTransfer.types.includes("Files") || dataTransfer.types.includes(STORED));

function end() {
  depth = 0;
  zone.hidden = true;
}

function take(data, more) {
  const id = data.getData(STORED);
  if (id) addStored(id, { more });
  else if (data.files.length) addFiles(data.files, { more });
  else say("Nothing was dropped that is a file. Save the image first, then drop it here.");
}
