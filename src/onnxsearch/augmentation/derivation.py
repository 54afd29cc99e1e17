"""Augmented vectors of images that the space does not hold: queries, and images to be stored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch.augmentation.transform import Rows, centre, guides, move
from onnxsearch.catalog.augmented_spaces import AugmentedSpace
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.errors import StoreCorruptError
from onnxsearch.vectors.capabilities import Candidates, CandidateSearch

if TYPE_CHECKING:
    from onnxsearch.types import Vectors
    from onnxsearch.vectors.base import VectorStore

logger = logging.getLogger("onnxsearch")

_CANDIDATES = 32
"""Images whose vectors are compared with a query's, at least. Of 1,237 photos with the default
model, the five nearest are among the first 16 in every case; of 100,000 vectors like those of
photos, 95 % of the five nearest are among 32."""
_FOR_EACH = 6
"""Candidates for each neighbour, at least."""
_SAME = 1e-5
"""How far the similarity of a vector to itself may be from 1: a batch gives an image other bits."""
_AT_ONCE = 64
"""Vectors that are moved at once: their candidates take at most 10 MiB for 1,280 numbers."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """Moves vectors towards their nearest neighbours among the stored images."""

    catalog: Catalog
    space: AugmentedSpace

    def derived(self, vectors: Vectors) -> Rows:
        """Return the augmented vectors of images with these vectors of the model, (n, columns).

        The neighbours are sought among 32 candidates, which the store finds in the model's own
        collection (see `guides`).

        Raises:
            CollectionNotFoundError: The model was dropped.
            StoreError: A store failed.
        """
        moved = centre(vectors.astype(np.float32, copy=True), self.space.mean)
        for start in range(0, len(moved), _AT_ONCE):
            self._move(moved[start : start + _AT_ONCE])
        return moved

    def _move(self, centred: Rows) -> None:
        """Move a few rows, in place."""
        store, collection = self.catalog.vectors, self.catalog.collection(self.space.model)
        most = max(_CANDIDATES, _FOR_EACH * self.space.neighbours)
        limit = most if store.max_rows is None else min(most, store.max_rows)
        found = _found(store, collection, guides(centred, self.space.mean), limit)
        candidates = [self._candidates(row, each) for row, each in zip(centred, found, strict=True)]
        shown = self._shown({key for each in candidates for key in each})
        for place, each in enumerate(candidates):
            near = [row for key, row in each.items() if key in shown][: self.space.neighbours]
            if near:
                centred[place] = move(centred[place], np.stack(near), self.space.alpha)

    def _candidates(self, row: Rows, found: Candidates) -> dict[str, Rows]:
        """Return the centred vectors of the nearest images, the nearest first, by key.

        There are some more than are neighbours, of which a few may have no record.
        """
        if not found.keys:
            return {}
        others = centre(found.vectors.astype(np.float32), self.space.mean)
        similarities = others @ row
        order = np.argsort(-similarities, kind="stable")
        # One with the same vector is the image itself, which is not its own neighbour.
        first = int(similarities[order[0]] > 1.0 - _SAME)
        nearest: list[int] = order[first : first + 2 * self.space.neighbours].tolist()
        return {found.keys[place]: others[place] for place in nearest}

    def _shown(self, keys: set[str]) -> set[str]:
        """Return the keys of images that a search may return."""
        records = self.catalog.records
        found = records.resolve(list(keys))
        return {key for key, stored in found.items() if records.is_live(stored.record)}


def _found(store: VectorStore, collection: str, queries: Rows, limit: int) -> list[Candidates]:
    """Return for each query rows that are roughly its nearest, with their vectors."""
    if isinstance(store, CandidateSearch):
        return store.candidates(collection, queries, limit)
    found = store.search(collection, queries, limit)
    rows = store.fetch(collection, {match.key for matches in found for match in matches})
    several = ([match.key for match in matches if match.key in rows] for matches in found)
    return [
        Candidates(keys, np.array([rows[key] for key in keys]).reshape(len(keys), -1))
        for keys in several
    ]


def completed(catalog: Catalog, items: Sequence[NewImage]) -> list[NewImage]:
    """Return images with their augmented vectors, of all spaces of which they have none.

    Their neighbours are the images that are stored already; `SearchEngine.augment` moves them,
    and their neighbours, with all images there.
    """
    complete = list(items)
    models = dict.fromkeys(model for item in items for model in item.vectors)
    try:
        spaces = catalog.spaces.of(models)
    except StoreCorruptError as error:  # it costs no image
        logger.warning("onnxsearch: images are stored without augmented vectors: %s", error)
        return complete
    for space in spaces:
        lacking = [n for n, item in enumerate(complete) if _lacks(item, space)]
        for places in batched(lacking, _AT_ONCE):
            rows = np.stack([complete[n].vectors[space.model] for n in places])
            for n, row in zip(places, Derivation(catalog, space).derived(rows), strict=True):
                complete[n] = _with_vector(complete[n], space.name, row)
    return complete


def _lacks(item: NewImage, space: AugmentedSpace) -> bool:
    return space.model in item.vectors and space.name not in item.vectors


def _with_vector(item: NewImage, name: str, row: Rows) -> NewImage:
    vectors = {**item.vectors, name: row}
    return replace(item, record=replace(item.record, models=tuple(vectors)), vectors=vectors)
