// Images of the service. An <img> sends no token, so with one they are fetched and shown as blobs.

import { hasToken, request } from "./api.js";
import { h } from "./dom.js";

const SIZE = 360;
const LARGE = 1280;

const waiting = new Map();
const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      load(target, waiting.get(target));
      waiting.delete(target);
    }
  },
  { rootMargin: "400px" },
);

/** Return the thumbnail of a hit or record; without one, a tile that says so. */
export function thumbnail(hit, size = SIZE) {
  const image = h("img", { alt: "", class: "thumbnail", decoding: "async", draggable: "false" });
  image.addEventListener("load", () => image.classList.add("loaded"));
  image.addEventListener("error", () => image.replaceWith(missing()));
  if (!hit.thumbnail) return missing();
  show(image, sized(hit.thumbnail, size));
  return image;
}

/** Show the image of a hit; where the browser cannot, its thumbnail. */
export function showLarge(image, hit) {
  const sources = [hit.image, hit.thumbnail && sized(hit.thumbnail, LARGE)].filter(Boolean);
  image.onerror = () => {
    const next = sources.shift();
    if (next) load(image, next);
    else image.classList.add("missing");
  };
  image.classList.remove("missing");
  image.removeAttribute("src");
  image.onerror();
}

/** Show the file at an address, without a thumbnail in its place. */
export function fileAt(image, url) {
  if (url) load(image, url);
  else image.dispatchEvent(new Event("error"));
}

function show(image, url) {
  if (hasToken()) {
    waiting.set(image, url);
    seen.observe(image);
  } else {
    image.loading = "lazy";
    image.src = url;
  }
}

async function load(image, url) {
  if (!hasToken()) {
    image.src = url;
    return;
  }
  try {
    const blob = await (await request(url)).blob();
    const address = URL.createObjectURL(blob);
    image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
    image.src = address;
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}

const sized = (url, size) => `${url}${url.includes("?") ? "&" : "?"}size=${size}`;

const missing = () => h("span", { class: "thumbnail none loaded" }, "no preview");
