"""The vectors of an album: all images that have one of a model, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.threads import batched
from onnxsearch.augmentation.neighbours import Neighbours
from onnxsearch.catalog.augmented_spaces import augmented_name, decode_graph, encode_graph

if TYPE_CHECKING:
    from onnxsearch.augmentation.transform import Rows
    from onnxsearch.catalog.catalog import Catalog

_BATCH = 1024
"""Vectors read at once."""


@dataclass(frozen=True, slots=True)
class Album:
    """Images by their keys, in the order of these, which is that of time."""

    keys: list[str]
    vectors: Rows
    """Of shape (n, columns)."""
    listed: NDArray[np.bool_]
    """Which images have an augmented vector."""

    @classmethod
    def read(cls, catalog: Catalog, model: str) -> Self:
        """Read the vectors of all images.

        Raises:
            CollectionNotFoundError: The model was dropped.
            StoreError: A store failed.
        """
        space, collection = augmented_name(model), catalog.collection(model)
        listed = {
            image.record.id: (image.key, space in image.record.models)
            for image in catalog.records.images()
            if model in image.record.models
        }
        images = sorted(listed.values())
        vectors = np.empty((len(images), catalog.vectors.describe(collection).columns), np.float32)
        found = np.zeros(len(images), bool)
        for start, batch in enumerate(batched([key for key, _ in images], _BATCH)):
            rows = catalog.vectors.fetch(collection, batch)
            for place, key in enumerate(batch, start * _BATCH):
                if key in rows:
                    vectors[place], found[place] = rows[key], True
        # An image that was replaced or removed meanwhile has no vector any more.
        kept = [image for image, there in zip(images, found, strict=True) if there]
        return cls(
            [key for key, _ in kept],
            vectors if found.all() else vectors[found],
            np.array([is_listed for _, is_listed in kept], bool),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def encoded(self, found: Neighbours) -> bytes:
        """Return the neighbours of all images as bytes."""
        return encode_graph(self.keys, found.places, found.similarities)


@dataclass(frozen=True, slots=True)
class Changes:
    """How an album differs from the one whose neighbours were sought before."""

    found: Neighbours
    """The neighbours of before, by their places now; those of `lacking` are not right."""
    lacking: NDArray[np.intp]
    """Images that are new, or lost a neighbour, ascending."""
    fresh: NDArray[np.bool_]
    """Which images are new."""
    removed: int
    """Images that are gone since."""
    is_all: bool
    """Whether nothing is known of before."""

    @property
    def added(self) -> int:
        """Images that are new."""
        return int(np.count_nonzero(self.fresh))

    @classmethod
    def since(cls, data: bytes | None, album: Album, count: int) -> Self:
        """Return what the neighbours of before say of an album; without them all is new.

        Args:
            data: What `Album.encoded` returned; None if there is nothing.
            album: The album now.
            count: Neighbours of an image.
        """
        before = None if data is None else decode_graph(data, count)
        if before is None:
            return cls(
                Neighbours.none(len(album), count),
                np.arange(len(album)),
                np.ones(len(album), bool),
                removed=0,
                is_all=True,
            )
        keys, places, similarities = before
        now = {key: place for place, key in enumerate(album.keys)}
        # One more, to which a place of -1 leads.
        moved = np.array([now.get(key, -1) for key in keys] + [-1], np.int32)
        kept = moved[:-1] >= 0
        found = Neighbours.none(len(album), count)
        at = moved[:-1][kept]
        found.places[at], found.similarities[at] = moved[places[kept]], similarities[kept]
        fresh = np.ones(len(album), bool)
        fresh[at] = False
        lost = np.zeros(len(album), bool)
        lost[at] = ((places[kept] >= 0) & (found.places[at] < 0)).any(axis=1)
        lacking = cast("NDArray[np.intp]", np.flatnonzero(fresh | lost))
        removed = int(np.count_nonzero(~kept))
        return cls(found, lacking, fresh, removed, is_all=False)
