"""Exact nearest neighbours in a mapped file, most rows of which are never read.

Products of sketches rank the rows by the least distance that they may have. Vectors are
compared in that order, until no row that is left can be as near as those that were
found. The distances are measured as `onnxsearch.vectors.exact_search` measures them, so
the result is the same, ties included.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onnxsearch.types import Metric
from onnxsearch.vectors.base import Match, Vectors
from onnxsearch.vectors.exact_search import (
    Floats,
    Positions,
    Ranks,
    contenders,
    in_order,
    nearest,
)
from onnxsearch.vectors.row_map import RowMap
from onnxsearch.vectors.sketch import Sketcher

_BLOCK = 1 << 22
"""Scores in memory at once: 16 MiB."""
_MANY = 16
"""Where one row in so many may be near enough, reading all of them in a row is faster."""
_AT_ONCE = 4
"""By how much fewer rows that holds for several queries, whose product shares what it reads."""
_FIRST = 64
"""Rows that are compared at first; twice as many each time after that."""
_LONGEST_PAUSE = 64
"""Searches without sketches, at most, after one in which they did not help."""


class BoundedSearch:
    """Searches the rows of a file; several threads may search at once.

    Where sketches do not help, as with random vectors, all rows are compared. Then fewer
    and fewer searches try sketches first.

    Args:
        rows: The file.
        metric: How distances are measured.
    """

    def __init__(self, rows: RowMap, metric: Metric) -> None:
        self._rows, self._metric = rows, metric
        self._longest = float(rows.lengths.max(initial=0.0))
        self._pause = self._left = 0

    def search(self, queries: Vectors, limit: int, live: Positions | None) -> list[list[Match]]:
        """Return for each query its `limit` nearest rows, by distance and then by key.

        Args:
            queries: The queries, (m, columns).
            limit: Rows per query, at least 1.
            live: Places of the rows that may be found, ascending; None for all.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        count = self._rows.rows if live is None else len(live)
        if live is not None and count <= self._rows.rows // _MANY:
            return self._among(live, queries, limit)
        sketcher = self._rows.sketcher
        if sketcher is None or limit > count // _MANY or self._is_pausing():
            return self._plain(queries, limit, live)
        found = dict(self._bounded(sketcher, queries, limit, live))
        self._learn(2 * len(found) > len(queries))
        left = [place for place in range(len(queries)) if place not in found]
        if left:
            found |= zip(left, self._plain(queries[left], limit, live), strict=True)
        return [found[place] for place in range(len(queries))]

    def _among(self, live: Positions, queries: Vectors, limit: int) -> list[list[Match]]:
        part, keys = self._rows.take(live), [self._rows.keys[int(place)] for place in live]
        return nearest(self._metric, part, self._rows.lengths[live], keys, queries, limit)

    def _plain(self, queries: Vectors, limit: int, live: Positions | None) -> list[list[Match]]:
        rows = self._rows
        vectors = rows.all_vectors()
        return nearest(self._metric, vectors, rows.lengths, rows.keys, queries, limit, live)

    def _bounded(
        self, sketcher: Sketcher, queries: Vectors, limit: int, live: Positions | None
    ) -> Iterator[tuple[int, list[Match]]]:
        """Yield the place of each query for which sketches help, and its matches.

        If they do not help with the first one, the others are not tried.
        """
        sketches, lengths = sketcher.of_queries(queries)
        count = self._rows.rows if live is None else len(live)
        most = count // (_MANY if len(queries) == 1 else _MANY * _AT_ONCE)
        start, stop = 0, 1
        while start < len(queries):
            helped = False
            for place, scores in enumerate(self._scores(sketches[start:stop]), start):
                if lengths[place]:
                    query = _Query(queries[place], lengths[place : place + 1], limit)
                    matches = self._nearest(sketcher, query, scores, live, most)
                    if matches is not None:
                        helped = True
                        yield place, matches
            if not helped:
                return
            start, stop = stop, stop + max(1, _BLOCK // self._rows.rows)

    def _scores(self, sketches: Ranks) -> Ranks:
        """Return for each query the most that its product with each row can be."""
        if len(sketches) == 1:
            # A product with one vector reads the matrix once, at the speed of memory.
            one: Ranks = (self._rows.sketches @ sketches[0])[np.newaxis]
            return one
        return sketches @ self._rows.sketches.T

    def _nearest(
        self,
        sketcher: Sketcher,
        query: _Query,
        scores: Ranks,
        live: Positions | None,
        most: int,
    ) -> list[Match] | None:
        """Compare rows by falling score; None if more than `most` may be near enough."""
        if live is not None:
            scores = scores[live]
        first = _high(scores, max(_FIRST, 4 * query.limit))
        self._compare(query, _places(first, live))
        (least,) = sketcher.least_scores(query.length, query.distance, self._longest)
        scores[first] = -np.inf
        near = np.flatnonzero(scores >= least)
        if len(near) > most:
            return None
        near = near[np.argsort(scores[near], kind="stable")[::-1]]
        start, size = 0, 4 * _FIRST
        while start < len(near) and scores[near[start]] >= least:
            part = near[start : start + size]
            self._compare(query, _places(part[scores[part] >= least], live))
            (least,) = sketcher.least_scores(query.length, query.distance, self._longest)
            start, size = start + size, 2 * size
        return in_order(self._rows.keys, query.rows, query.distances, query.limit)

    def _compare(self, query: _Query, places: Positions) -> None:
        part, lengths = self._rows.take(places), self._rows.lengths[places]
        near, distances = contenders(self._metric, part, lengths, query.vector, query.limit)
        query.add(places[near], distances)

    def _is_pausing(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def _learn(self, helped: bool) -> None:
        """Search without sketches for a while if they did not help."""
        self._pause = 0 if helped else min(_LONGEST_PAUSE, 2 * self._pause + 1)
        self._left = self._pause


class _Query:
    """A query with the nearest rows so far, and all rows at the distance of the last of them."""

    def __init__(self, vector: Vectors, length: Floats, limit: int) -> None:
        self.vector, self.length, self.limit = vector, length, limit
        self.rows: Positions = np.empty(0, np.intp)
        self.distances: Floats = np.empty(0)

    @property
    def distance(self) -> float:
        """Distance of the last of them."""
        return float(np.partition(self.distances, self.limit - 1)[self.limit - 1])

    def add(self, rows: Positions, distances: Floats) -> None:
        """Add rows that were compared."""
        self.rows = np.concatenate([self.rows, rows])
        self.distances = np.concatenate([self.distances, distances])
        kept = self.distances <= self.distance
        self.rows, self.distances = self.rows[kept], self.distances[kept]


def _high(scores: Ranks, count: int) -> Positions:
    """Return the places of about `count` high scores: the highest of each of as many parts."""
    width = len(scores) // (8 * count)
    if width < 2:
        return np.argpartition(scores, -min(count, len(scores)))[-count:]
    parts = scores[: len(scores) // width * width].reshape(-1, width)
    best = np.argpartition(parts.max(axis=1), -count)[-count:]
    high: Positions = best * width + parts[best].argmax(axis=1)
    return high


def _places(chosen: Positions, live: Positions | None) -> Positions:
    """Return where rows are in the file that were chosen among those that may be found."""
    return chosen if live is None else live[chosen]
