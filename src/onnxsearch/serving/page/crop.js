// The dialog to choose a part of the image that is searched with: by dragging, or by numbers.

import { byId } from "./dom.js";
import { fileAt } from "./images.js";
import { thumbnailOf } from "./records.js";
import { navigate, state, uploads } from "./state.js";

const dialog = byId("crop");
const form = dialog.querySelector("form");
const image = byId("crop-image");
const frame = byId("crop-frame");
const [shade, outline] = frame.children;
const inputs = ["left", "top", "right", "bottom"].map((edge) => byId(`crop-${edge}`));
const inside = byId("crop-inside");
/** Where a drag began, in pixels of the image; null while there is none. */
let anchor = null;

export function startCrop() {
  image.addEventListener("load", () => ready());
  image.addEventListener("error", () => {
    release();
    usable(false);
  });
  for (const input of inputs) input.addEventListener("input", draw);
  frame.addEventListener("pointerdown", begin);
  frame.addEventListener("pointermove", (event) => anchor && choose(anchor, placeOf(event)));
  for (const end of ["pointerup", "pointercancel"])
    frame.addEventListener(end, () => (anchor = null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    finish("");
  });
  inside.addEventListener("click", () => form.reportValidity() && finish("1"));
  byId("crop-close").addEventListener("click", () => dialog.close());
  byId("crop-whole").addEventListener("click", () => leave("", ""));
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
}

/** Show the image of the query, to choose a part of it; `regions` is whether it can be found in others. */
export function openCrop(regions) {
  const { images, ids } = state();
  usable(false);
  byId("crop-unusable").hidden = true;
  inside.hidden = !regions;
  image.removeAttribute("src");
  if (images.length) image.src = URL.createObjectURL(uploads.get(images[0]));
  else fileAt(image, thumbnailOf(ids[0]).image);
  dialog.showModal();
}

function ready() {
  const { naturalWidth: width, naturalHeight: height } = image;
  release();
  frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
  inputs.forEach((input, edge) => (input.max = edge % 2 ? height : width));
  const box = state().box ? state().box.split(",") : [0, 0, width, height];
  inputs.forEach((input, edge) => (input.value = Math.min(box[edge], input.max)));
  usable(true);
  draw();
}

function release() {
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
}

function usable(whether) {
  form.classList.toggle("unusable", !whether);
  byId("crop-unusable").hidden = whether;
  for (const control of [...inputs, inside, form.querySelector("[type=submit]")])
    control.disabled = !whether;
}

function begin(event) {
  if (event.button || inputs[0].disabled) return;
  event.preventDefault();
  frame.setPointerCapture(event.pointerId);
  anchor = placeOf(event);
}

/** Return where a pointer is, in pixels of the image. */
function placeOf({ clientX, clientY }) {
  const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(frame.getScreenCTM().inverse());
  return [clamp(x, inputs[2].max), clamp(y, inputs[3].max)];
}

const clamp = (value, most) => Math.max(0, Math.min(Number(most), Math.round(value)));

function choose([x, y], [otherX, otherY]) {
  const box = [Math.min(x, otherX), Math.min(y, otherY), Math.max(x, otherX), Math.max(y, otherY)];
  inputs.forEach((input, edge) => (input.value = box[edge]));
  draw();
}

const boxOf = () => inputs.map(({ valueAsNumber }) => valueAsNumber || 0);

function draw() {
  const [left, top, right, bottom] = boxOf();
  const whole = `M0 0H${inputs[2].max}V${inputs[3].max}H0z`;
  const part = `M${left} ${top}V${bottom}H${right}V${top}z`;
  shade.setAttribute("d", whole + part);
  outline.setAttribute("d", part);
  inputs[2].setCustomValidity(left < right ? "" : "This edge is right of the left one.");
  inputs[3].setCustomValidity(top < bottom ? "" : "This edge is below the top one.");
}

/** Search with the part, for images like it, or `within` which it is. */
function finish(within) {
  const box = boxOf();
  const isWhole = !box[0] && !box[1] && box[2] === +inputs[2].max && box[3] === +inputs[3].max;
  leave(isWhole && !within ? "" : box.join(","), within);
}

function leave(box, within) {
  dialog.close();
  navigate({ box, inside: within });
}
