"""The abstraction of the stores that hold vectors."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.metadata_json import metadata_text
from onnxsearch._internal.telemetry.observation import ObservedStep
from onnxsearch._internal.validation import boolean, instance, integer, items
from onnxsearch.errors import (
    CollectionNotFoundError,
    InvalidArgumentError,
)
from onnxsearch.filters import Filter, check_filter
from onnxsearch.types import Metadata, Metric, Vectors as Vectors
from onnxsearch.vectors.collection import NAME, CollectionSpec as CollectionSpec, check_same

_SEARCH, _UPSERT, _FETCH, _DELETE = (
    ObservedStep(f"vectors.{name}", "onnxsearch.vectors")
    for name in ("search", "upsert", "fetch", "delete")
)

_KEY = re.compile(r"[0-9a-f]{32}")


def is_key(key: object) -> bool:
    """Return whether `key` can name a row: 32 lower-case hex characters."""
    return isinstance(key, str) and _KEY.fullmatch(key) is not None


class Match(NamedTuple):
    """One row found by `VectorStore.search`."""

    key: str
    distance: float


class VectorStore(Closeable):
    """Named collections of vectors, each row with a key, searched for nearest neighbours.

    Keys are 32 lower-case hex characters, so that no back end can mistake a key for part of
    a query. The public methods check their arguments and call the hook of the same name
    with a leading underscore; a subclass implements the hooks. Every method may be called
    from several threads at once.

    After `upsert` has returned, the next `search` of this object finds the rows, and in a
    durable store they survive a killed process.

    To write a store, subclass this class, implement the hooks, and run
    `onnxsearch.testing.VectorStoreContract` on it.
    """

    metrics: frozenset[Metric] = frozenset(Metric)
    """The metrics that this store supports."""

    max_rows: int | None = None
    """Most rows that one search returns; None for any number."""

    def ensure_collection(self, spec: CollectionSpec) -> None:
        """Create the collection, or check that an existing one is the same.

        Args:
            spec: Name, dimension, metric, fingerprint and owner. A collection without
                an owner gets this owner.

        Raises:
            SpaceMismatchError: A collection of this name has another space.
            StoreMismatchError: A collection of this name has another owner.
            InvalidArgumentError: The store does not support the metric.
        """
        instance("spec", spec, CollectionSpec, "a CollectionSpec")
        if spec.metric not in self.metrics:
            known = ", ".join(sorted(metric.value for metric in self.metrics))
            raise InvalidArgumentError(
                f"{self!r} has no metric {spec.metric.value!r}; it has: {known}"
            )
        found = self._describe(spec.name)
        if found is None:
            self._create(spec)
            # Another process may have created it first, so the stored state decides.
            found = self._describe(spec.name)
        check_same(spec, found)
        if found is not None and found.owner is None and spec.owner is not None:
            self._set_owner(spec)
            check_same(spec, self._describe(spec.name))

    def describe(self, collection: str) -> CollectionSpec:
        """Return the specification of `collection`.

        Raises:
            CollectionNotFoundError: The collection does not exist.
        """
        spec = self._describe(collection) if _can_exist(collection) else None
        if spec is None:
            raise CollectionNotFoundError(
                f"{self!r} has no collection {collection!r}; create it with ensure_collection()"
            )
        return spec

    def collections(self) -> list[str]:
        """Return the names of all collections that onnxsearch created here, sorted."""
        return sorted(self._collections())

    def drop(self, collection: str) -> None:
        """Delete the collection with all its rows, if it exists."""
        if _can_exist(collection) and self._describe(collection) is not None:
            self._drop(collection)

    def upsert(
        self,
        collection: str,
        keys: Iterable[str],
        vectors: Vectors,
        metadata: Sequence[Metadata] | None = None,
        *,
        partial: bool = False,
    ) -> None:
        """Store rows; a stored row with the same key is replaced as a whole.

        Args:
            collection: Name of an existing collection.
            keys: One key per row, each once.
            vectors: Matrix of finite numbers, with the `columns` and `dtype` of the
                `CollectionSpec`. It is copied.
            metadata: One mapping per row, for filters; None for no metadata.
            partial: Whether the store may keep only a part of metadata that are too
                large for it. A filter for which the other part matters then raises.

        Raises:
            CollectionNotFoundError: The collection does not exist.
            InvalidArgumentError: A key, the matrix or the metadata is not as described.
        """
        spec = self.describe(collection)
        keys = _checked_keys(keys)
        if len(set(keys)) != len(keys):
            raise InvalidArgumentError("upsert was given one key twice in a batch")
        matrix = checked_matrix("vectors", vectors, spec)
        rows = (
            ["{}"] * len(keys)
            if metadata is None
            else [metadata_text(row) for row in items("metadata", metadata, "a list of mappings")]
        )
        if not len(keys) == len(matrix) == len(rows):
            raise InvalidArgumentError(
                f"upsert was given {len(keys)} keys, {len(matrix)} vectors and "
                f"{len(rows)} metadata: expected as many of each"
            )
        whole = not boolean("partial", partial)
        if keys:
            if whole:
                self._check_whole(rows)
            with _UPSERT(len(keys), _attributes(spec)):
                self._upsert(spec, keys, matrix, rows)

    def search(
        self,
        collection: str,
        queries: Vectors,
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[list[Match]]:
        """Return the `limit` nearest rows of each query, nearest first.

        Rows at equal distances are in the order of their keys. If the collection has fewer
        rows, all are returned.

        Args:
            collection: Name of an existing collection.
            queries: Matrix with the `columns` and `dtype` of the `CollectionSpec`.
            limit: Rows per query, at least 1.
            filter: Keeps only rows whose metadata match.

        Raises:
            CollectionNotFoundError: The collection does not exist.
            InvalidArgumentError: `limit`, `queries` or `filter` is not valid.
        """
        limit = integer("limit", limit, least=1)
        if filter is not None:
            check_filter(filter)
        spec = self.describe(collection)
        matrix = checked_matrix("queries", queries, spec)
        if not len(matrix):
            return []
        with _SEARCH(len(matrix), _attributes(spec)):
            return self._search(spec, matrix, limit, filter)

    def fetch(self, collection: str, keys: Iterable[str]) -> Mapping[str, Vectors]:
        """Return the vectors stored under `keys`, each of shape (columns,).

        Absent keys are left out.

        Raises:
            CollectionNotFoundError: The collection does not exist.
        """
        spec = self.describe(collection)
        keys = _checked_keys(keys)
        if not keys:
            return {}
        with _FETCH(len(keys), _attributes(spec)):
            return self._fetch(spec, keys)

    def delete(self, collection: str, keys: Iterable[str]) -> None:
        """Remove rows; absent keys are skipped.

        Raises:
            CollectionNotFoundError: The collection does not exist.
        """
        spec = self.describe(collection)
        keys = _checked_keys(keys)
        if keys:
            with _DELETE(len(keys), _attributes(spec)):
                self._delete(spec, keys)

    def ids(self, collection: str) -> Iterator[str]:
        """Yield the key of every row, in undefined order, in bounded memory.

        A row that exists before the call and stays is yielded once.

        Raises:
            CollectionNotFoundError: The collection does not exist.
        """
        return self._ids(self.describe(collection))

    def count(self, collection: str) -> int:
        """Return the number of rows.

        Raises:
            CollectionNotFoundError: The collection does not exist.
        """
        return self._count(self.describe(collection))

    def bytes_on_disk(self) -> int | None:
        """Return the size of the store's files; None, the default, for one without files."""
        return None

    @abstractmethod
    def _describe(self, name: str) -> CollectionSpec | None:
        """Return the specification of the collection, or None if it does not exist."""

    @abstractmethod
    def _create(self, spec: CollectionSpec) -> None:
        """Create the collection; if another process has just created it, change nothing."""

    def _set_owner(self, spec: CollectionSpec) -> None:
        """Write the owner of a collection without an owner; keep an owner that it has by now.

        A store that keeps the owner with `_create` and returns it with `_describe` implements
        this hook too. A store that does not keep the owner leaves the hook out.
        """

    @abstractmethod
    def _collections(self) -> list[str]:
        """Return the names of all collections that onnxsearch made."""

    @abstractmethod
    def _drop(self, name: str) -> None:
        """Delete the collection."""

    def _check_whole(self, metadata: Sequence[str]) -> None:
        """Raise `InvalidArgumentError` if `_upsert` would keep only a part of the metadata."""

    @abstractmethod
    def _upsert(
        self,
        spec: CollectionSpec,
        keys: Sequence[str],
        vectors: Vectors,
        metadata: Sequence[str],
    ) -> None:
        """Store at least one row; the metadata of each are the JSON text of an object."""

    @abstractmethod
    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        """Search for at least one query."""

    @abstractmethod
    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of the keys that exist."""

    @abstractmethod
    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        """Remove the rows of at least one key."""

    @abstractmethod
    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        """Yield every key."""

    @abstractmethod
    def _count(self, spec: CollectionSpec) -> int:
        """Count the rows."""


def _attributes(spec: CollectionSpec) -> dict[str, str]:
    return {"db.collection.name": spec.name}


def _can_exist(collection: str) -> bool:
    """Return whether a collection can have that name."""
    return NAME.fullmatch(instance("collection", collection, str, "a name")) is not None


def _checked_keys(keys: Iterable[str]) -> list[str]:
    checked = items("keys", keys, "an iterable of keys")
    for key in checked:
        if not is_key(key):
            raise InvalidArgumentError(
                f"key {key!r:.80}: expected 32 characters, each one of 0123456789abcdef"
            )
    return checked


def checked_matrix(name: str, vectors: Vectors, spec: CollectionSpec) -> Vectors:
    """Return vectors that fit a collection.

    Raises:
        InvalidArgumentError: They do not.
    """
    matrix = np.asarray(vectors)
    if matrix.ndim != 2 or matrix.shape[1] != spec.columns or matrix.dtype != spec.dtype:
        raise InvalidArgumentError(
            f"{name} of shape {matrix.shape} and type {matrix.dtype}: collection "
            f"{spec.name!r} takes (n, {spec.columns}) {spec.dtype}"
        )
    if matrix.dtype == np.float32 and not np.isfinite(matrix).all():
        raise InvalidArgumentError(f"{name} hold NaN or infinity: expected finite numbers")
    return np.ascontiguousarray(matrix)
