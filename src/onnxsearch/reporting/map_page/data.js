"use strict";
// What the page shows: places, texts and thumbnails of the images. Nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const count = data.ids.length;

const byId = (id) => document.getElementById(id);

const colour = (cluster) =>
  cluster < 0 ? "hsl(220 6% 55%)" : `hsl(${(cluster * 137.508) % 360} 62% 52%)`;

const labelOf = (image) =>
  data.clusters[image] < 0 ? "in no cluster" : data.labels[data.clusters[image]];

// The name of the file, or the end of an id.
const nameOf = (image) => {
  const path = data.uris[image] ?? data.ids[image];
  return path.split(/[/\\]/).filter(Boolean).at(-1) ?? path;
};

// Texts that are searched, made when the first search needs them.
let haystacks = null;

const imagesWith = (words) => {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return null;
  haystacks ??= data.ids.map((id, image) =>
    `${id}\n${data.uris[image] ?? ""}\n${labelOf(image)}\n${data.texts[image]}`.toLowerCase());
  const found = [];
  haystacks.forEach((text, image) => {
    if (wanted.every((word) => text.includes(word))) found.push(image);
  });
  return found;
};

// A browser decodes a sheet when one of its thumbnails is shown for the first time.
const sheets = new Map();

const sheetOf = (number, whenReady) => {
  let sheet = sheets.get(number);
  if (!sheet) {
    sheet = new Image();
    sheet.onload = whenReady;
    sheet.src = `data:image/jpeg;base64,${data.sheets[number]}`;
    sheets.set(number, sheet);
  }
  return sheet.complete && sheet.naturalWidth ? sheet : null;
};

// Draws the thumbnail of an image into a square around a point; false where there is none (yet).
const drawThumbnail = (context, image, x, y, size, whenReady) => {
  const tile = data.tiles[image];
  if (!tile) return false;
  const [number, slot, width, height] = tile;
  const sheet = sheetOf(number, whenReady);
  if (!sheet) return false;
  const scale = size / Math.max(width, height);
  const [w, h] = [width * scale, height * scale];
  const left = (slot % data.columns) * data.size;
  const top = Math.floor(slot / data.columns) * data.size;
  context.drawImage(sheet, left, top, width, height, x - w / 2, y - h / 2, w, h);
  return [w, h];
};
