"""The rows of one collection in memory, searched while they change."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxsearch.filters import Filter
from onnxsearch.types import Metadata
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors
from onnxsearch.vectors.capabilities import Candidates
from onnxsearch.vectors.exact_search import (
    Floats,
    Positions,
    euclidean_lengths,
    nearest,
    roughly_nearest,
)

_FEWEST = 64


@dataclass(frozen=True, slots=True)
class RowView:
    """The rows at one moment. A view needs no lock, and never changes."""

    spec: CollectionSpec
    matrix: Vectors
    lengths: Floats
    keys: Sequence[str]
    metadata: Sequence[Metadata]
    """Metadata of the first rows; of all rows if the view was made for a filter."""
    live: Positions | None
    """Positions of the rows that were not removed; None if no row was removed."""

    def search(self, queries: Vectors, limit: int, filter: Filter | None) -> list[list[Match]]:
        """Return the nearest rows of each query; see `VectorStore.search`."""
        rows = self.matching(filter)
        return nearest(self.spec.metric, self.matrix, self.lengths, self.keys, queries, limit, rows)

    def candidates(self, queries: Vectors, limit: int) -> list[Candidates]:
        """Return the nearest rows of each query, up to rounding; see `CandidateSearch`."""
        metric = self.spec.metric
        found: list[Candidates] = []
        for rows in roughly_nearest(metric, self.matrix, self.lengths, queries, limit, self.live):
            places: list[int] = rows.tolist()
            found.append(Candidates([self.keys[place] for place in places], self.matrix[rows]))
        return found

    def matching(self, filter: Filter | None) -> Positions | None:
        """Return the positions of the rows that may be found; None for all."""
        if filter is None:
            return self.live
        places = range(len(self.matrix)) if self.live is None else self.live.tolist()
        matching = [place for place in places if filter.matches(self.metadata[place])]
        return np.array(matching, np.intp)


class RowTable:
    """Rows by key.

    Rows are only appended. A replaced or removed row is marked; when a quarter of the
    rows are marked, the others are copied into new arrays. So a view stays valid while
    others write, and is made without copying. Every method holds the lock of the table.
    """

    def __init__(self, spec: CollectionSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._matrix: Vectors = np.empty((0, spec.columns), spec.dtype)
        self._lengths: Floats = np.empty(0)
        self._keys: list[str] = []
        self._texts: list[str] = []
        self._metadata: list[Metadata] = []
        self._places: dict[str, int] = {}
        self._live: Positions | None = None

    def reserve(self, rows: int) -> None:
        """Reserve space for that many further rows."""
        with self._lock:
            self._grow(len(self._keys) + rows)

    def put(self, keys: Sequence[str], vectors: Vectors, metadata: Sequence[str]) -> None:
        """Add rows, or replace rows of the same key; metadata are JSON text."""
        with self._lock:
            self._mark(keys)
            self._append(keys, vectors, metadata)
            self._compact()

    def discard(self, keys: Sequence[str]) -> None:
        """Remove the rows of the keys that exist."""
        with self._lock:
            self._mark(keys)
            self._compact()

    def fetch(self, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return copies of the vectors of the keys that exist."""
        with self._lock:
            return {
                key: self._matrix[self._places[key]].copy() for key in keys if key in self._places
            }

    def keys(self) -> list[str]:
        """Return every key."""
        with self._lock:
            return list(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def snapshot(self, *, with_metadata: bool) -> RowView:
        """Return the rows as they are now."""
        with self._lock:
            size = len(self._keys)
            if with_metadata:
                unread = self._texts[len(self._metadata) : size]
                self._metadata.extend(json.loads(text) for text in unread)
            if self._live is None and len(self._places) < size:
                self._live = self._live_places()
            return RowView(
                spec=self._spec,
                matrix=self._matrix[:size],
                lengths=self._lengths[:size],
                keys=self._keys,
                metadata=self._metadata,
                live=self._live,
            )

    def _mark(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self._places.pop(key, None) is not None:
                self._live = None

    def _append(self, keys: Sequence[str], vectors: Vectors, texts: Sequence[str]) -> None:
        size = len(self._keys)
        end = size + len(keys)
        self._grow(end)
        self._matrix[size:end] = vectors
        if self._spec.dtype == np.float32:
            self._lengths[size:end] = euclidean_lengths(vectors)
        # This order allows Ctrl-C between any two steps: a row counts once it has a place.
        self._texts[size:] = texts
        self._keys.extend(keys)
        self._live = None
        self._places.update(zip(keys, range(size, end), strict=True))

    def _grow(self, needed: int) -> None:
        if needed <= len(self._matrix):
            return
        size = len(self._keys)
        capacity = max(needed, 2 * size, _FEWEST)
        old_matrix, old_lengths = self._matrix, self._lengths
        self._matrix = np.empty((capacity, self._spec.columns), self._spec.dtype)
        self._lengths = np.empty(capacity)
        self._matrix[:size] = old_matrix[:size]
        self._lengths[:size] = old_lengths[:size]

    def _compact(self) -> None:
        size = len(self._keys)
        if size - len(self._places) <= max(_FEWEST, size // 4):
            return
        # New lists and arrays, since views still use the old ones.
        live = self._live_places()
        keys, texts = self._keys, self._texts
        self._matrix, self._lengths = self._matrix[live], self._lengths[live]
        self._keys = [keys[place] for place in live]
        self._texts = [texts[place] for place in live]
        self._metadata = []
        self._places = {key: place for place, key in enumerate(self._keys)}
        self._live = None

    def _live_places(self) -> Positions:
        return np.sort(np.fromiter(self._places.values(), np.intp))
