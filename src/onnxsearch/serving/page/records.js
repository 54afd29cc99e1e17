// What is known of stored images: the hits and records that were received so far.

const known = new Map();

/** Remember hits or records, and return them. */
export function remember(list) {
  for (const each of list) known.set(each.id, { ...known.get(each.id), ...each });
  return list;
}

/** Return something to show the thumbnail of a stored image with. */
export function thumbnailOf(id) {
  return known.get(id) ?? { id, thumbnail: `api/thumbnails/${encodeURIComponent(id)}` };
}
