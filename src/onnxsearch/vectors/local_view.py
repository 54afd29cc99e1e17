"""The rows of one collection of a local store at one moment, in a mapped file and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onnxsearch.filters import Filter
from onnxsearch.types import Metadata
from onnxsearch.vectors.base import Match, Vectors
from onnxsearch.vectors.bounded_search import BoundedSearch
from onnxsearch.vectors.capabilities import Candidates
from onnxsearch.vectors.exact_search import Floats, Positions, by_distance_then_key
from onnxsearch.vectors.part_search import SearchedRows
from onnxsearch.vectors.range_join import pairs_within
from onnxsearch.vectors.row_map import RowMap
from onnxsearch.vectors.row_table import RowView


@dataclass(frozen=True, slots=True)
class LocalView:
    """The rows of a collection at one moment. A view needs no lock, and never changes."""

    file: RowMap | None
    bounded: BoundedSearch | None
    """Searches the file; None if there is none."""
    live: Positions | None
    """Places in the file of the rows that are not marked; None if none is marked."""
    metadata: Sequence[Metadata]
    """Metadata of the rows in the file, if the view was made for a filter."""
    recent: RowView
    """The rows in memory."""

    def search(self, queries: Vectors, limit: int, filter: Filter | None) -> list[list[Match]]:
        """Return the nearest rows of each query; see `VectorStore.search`.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        recent = self.recent.search(queries, limit, filter)
        if self.bounded is None:
            return recent
        live = self._matching(filter)
        if live is not None and not len(live):
            return recent
        return [
            sorted([*one, *other], key=by_distance_then_key)[:limit]
            for one, other in zip(self.bounded.search(queries, limit, live), recent, strict=True)
        ]

    def searched_by_parts(self, filter: Filter | None) -> list[SearchedRows]:
        """Return the rows in the file and those in memory that may be found.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        recent = self.recent
        found = [SearchedRows(recent.keys, recent.matrix, recent.matching(filter))]
        if self.file is not None:
            matrix, chosen = self.file.all_vectors(), self._matching(filter)
            found.append(SearchedRows(self.file.keys, matrix, chosen))
        return found

    def _matching(self, filter: Filter | None) -> Positions | None:
        """Return the places in the file of the rows that may be found; None for all."""
        if filter is None:
            return self.live
        places = range(len(self.metadata)) if self.live is None else self.live.tolist()
        matching = [place for place in places if filter.matches(self.metadata[place])]
        return np.array(matching, np.intp)

    def candidates(self, queries: Vectors, limit: int) -> list[Candidates]:
        """Return rows that are roughly the nearest of each query; see `CandidateSearch`.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        recent = self.recent.candidates(queries, limit)
        if self.file is None or self.bounded is None:
            return recent
        return [
            Candidates(
                [*self.file.keys.take(places), *other.keys],
                np.concatenate([self.file.take(places), other.vectors]),
            )
            for places, other in zip(
                self.bounded.candidates(queries, limit, self.live), recent, strict=True
            )
        ]

    def pairs_within(
        self, max_distance: float, compared: Callable[[int, int], None] | None
    ) -> Iterator[tuple[str, str]] | None:
        """Return all pairs of rows that are so near; see `RangeJoin.pairs_within`.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        return pairs_within(self.recent.spec.metric, _ViewedRows(self), max_distance, compared)


class _ViewedRows:
    """The rows of a view as one sequence: those in the file, then those in memory."""

    def __init__(self, view: LocalView) -> None:
        self._file, self._recent = view.file, view.recent
        everything = np.arange(0 if view.file is None else view.file.rows)
        self._in_file: Positions = everything if view.live is None else view.live
        everything = np.arange(len(view.recent.matrix))
        self._in_memory = everything if view.recent.live is None else view.recent.live
        recent = view.recent.lengths[self._in_memory]
        self.lengths: Floats = (
            recent
            if view.file is None
            else np.concatenate([view.file.lengths[self._in_file], recent])
        )
        self.keys = [] if view.file is None else [view.file.keys[p] for p in self._in_file.tolist()]
        self.keys += [view.recent.keys[place] for place in self._in_memory.tolist()]

    def take(self, places: Positions) -> Vectors:
        in_file = places < len(self._in_file)
        recent = self._recent.matrix[self._in_memory[places[~in_file] - len(self._in_file)]]
        if self._file is None:
            return recent
        vectors: Vectors = np.empty((len(places), recent.shape[1]), recent.dtype)
        vectors[in_file] = self._file.take(self._in_file[places[in_file]])
        vectors[~in_file] = recent
        return vectors
