// What is known of stored images: the hits and records that were received so far.

const known = new Map();

/** Remember hits or records, and return them. */
export function remember(list) {
  for (const each of list) known.set(each.id, { ...known.get(each.id), ...each });
  return list;
}

/** Return something to show a stored image with. */
export function thumbnailOf(id) {
  const quoted = encodeURIComponent(id);
  const links = { thumbnail: `api/thumbnails/${quoted}`, image: `api/images/${quoted}` };
  return known.get(id) ?? { id, ...links };
}
