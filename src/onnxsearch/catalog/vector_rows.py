"""The vector side of a catalog: the collections of one namespace and their rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch.catalog.keys import collection_of
from onnxsearch.errors import CollectionNotFoundError

if TYPE_CHECKING:
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.vectors.base import Vectors, VectorStore

Rows: TypeAlias = "Mapping[str, tuple[str, ...]]"
"""Keys of vectors by model."""


class VectorRows:
    """The rows of one namespace, addressed by model and key.

    Args:
        store: Holds a collection per model.
        namespace: Prefix of the collections' names.
    """

    def __init__(self, store: VectorStore, namespace: str) -> None:
        self._store = store
        self._namespace = namespace

    def collection(self, model: str) -> str:
        """Return the name of the collection that holds the vectors of `model`."""
        return collection_of(model, self._namespace)

    def collections(self) -> list[str]:
        """Return the names of all existing collections of this namespace."""
        prefix = f"{self._namespace}__"
        return [name for name in self._store.collections() if name.startswith(prefix)]

    def of_images(self, images: Collection[StoredImage]) -> dict[str, dict[str, Vectors]]:
        """Return the vectors of images by key and model, each of shape (columns,).

        Vectors that are missing although the record lists them are left out.
        """
        found: dict[str, dict[str, Vectors]] = {stored.key: {} for stored in images}
        for model in dict.fromkeys(m for stored in images for m in stored.record.models):
            keys = [stored.key for stored in images if model in stored.record.models]
            with suppress(CollectionNotFoundError):
                for key, vector in self._store.fetch(self.collection(model), keys).items():
                    found[key][model] = vector
        return found

    def delete(self, rows: Rows) -> None:
        """Delete rows; rows that do not exist are ignored."""
        for model, keys in rows.items():
            # A collection that was dropped has nothing left to delete.
            with suppress(CollectionNotFoundError):
                self._store.delete(self.collection(model), keys)

    def drop(self, model: str) -> None:
        """Drop the collection of `model` with all of its rows."""
        self._store.drop(self.collection(model))
