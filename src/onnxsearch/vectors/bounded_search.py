"""Exact nearest neighbours in a mapped file, most rows of which are never read.

Products of sketches give the least distance that each row may have. The rows for which it is
least are compared first, and then all rows that may be as near as those that were found. The
distances are measured as `onnxsearch.vectors.exact_search` measures them, so the result is
the same, ties included. Many queries share the product, and all cores compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onnxsearch.types import Metric
from onnxsearch.vectors.base import Match, Vectors
from onnxsearch.vectors.exact_search import (
    Floats,
    Positions,
    Ranks,
    contenders,
    in_order,
    least_reach,
    nearest,
    roughly_nearest,
)
from onnxsearch.vectors.products import in_threads, products
from onnxsearch.vectors.row_map import RowMap
from onnxsearch.vectors.sketch import Sketcher

_BLOCK = 1 << 24
"""Scores in memory at once: 64 MiB."""
_MANY = 16
"""Where one row in so many may be near enough, reading all of them in a row is faster."""
_AT_ONCE = 2
"""By how much fewer rows that holds for several queries, whose product shares what it reads."""
_CACHED = 1 << 21
"""Numbers of copied rows that stay in the cache: of so few, twice as many are faster for one query.
Of 10,000 rows of 1,280 numbers, 1,000 took 1.7 ms, and all of them 3."""
_SMALL = 1 << 25
"""Numbers of all rows up to which several queries are compared with all: of 1,280 numbers each,
with 20,000 rows that takes three quarters of the time that sketches take, with 40,000 more."""
_FIRST = 32
"""Rows that are compared at first, at least; with 256 only a twentieth less is compared later. For
many hits twice as many as these: with four times as many, 100 of 10,000 take a tenth longer."""
_TOGETHER = 512
"""Rows of several queries that a thread compares at first: 2.5 MiB, which stay in the cache."""
_SKETCHED = 2
"""Rows that are taken by their sketches for each that is asked for. Of 10,000 vectors like those
of photos, 88 % of the queries of augmented searches find their five nearest neighbours among 64
such rows, and 75 % among the 32 nearest ones."""
_LONGEST_PAUSE = 64
"""Searches without sketches, at most, after one in which they did not help."""


class BoundedSearch:
    """Searches the rows of a file; several threads may search at once.

    Where sketches do not help, as with random vectors, all rows are compared. Then fewer
    and fewer searches for as many hits try sketches first.

    Args:
        rows: The file.
        metric: How distances are measured.
    """

    def __init__(self, rows: RowMap, metric: Metric) -> None:
        self._rows, self._metric = rows, metric
        self._longest = float(rows.lengths.max(initial=0.0))
        self._pause = self._left = 0
        self._hopeless: int | None = None
        """Hits from which on sketches did not help lately; None if they did."""

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
        is_small = len(queries) > 1 and self._rows.rows * queries.shape[1] <= _SMALL
        if sketcher is None or is_small or limit > count // _MANY or self._is_pausing(limit):
            return self._plain(queries, limit, live)
        found = list(self._bounded(sketcher, queries, limit, live))
        left = [place for place, matches in enumerate(found) if matches is None]
        self._learn(limit, helped=2 * len(left) < len(found))
        again = iter(self._plain(queries[left], limit, live) if left else ())
        return [next(again) if matches is None else matches for matches in found]

    def candidates(self, queries: Vectors, limit: int, live: Positions | None) -> list[Positions]:
        """Return for each query where rows are that are roughly the nearest, in any order.

        By their sketches alone: these are `_SKETCHED` times as many as asked for, of which no
        other row's sketch is nearer.

        Args:
            queries: The queries, (m, columns).
            limit: Rows per query, at least 1.
            live: Places of the rows that may be found, ascending; None for all.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        rows, count = self._rows, _SKETCHED * limit
        places = np.arange(rows.rows) if live is None else live
        if len(places) <= count:
            return [places] * len(queries)
        sketches = lengths = None
        if rows.sketcher is not None:
            sketches, lengths = rows.sketcher.of_queries(queries)
        if sketches is None or lengths is None or not lengths.all():
            vectors = rows.all_vectors()
            return roughly_nearest(self._metric, vectors, rows.lengths, queries, limit, live)
        found: list[Positions] = []
        step = max(1, _BLOCK // rows.rows)
        for start in range(0, len(sketches), step):
            scores = products(sketches[start : start + step], rows.sketches)
            scores = scores if live is None else scores[:, live]
            found.extend(places[np.argpartition(scores, -count, axis=1)[:, -count:]])
        return found

    def _among(self, live: Positions, queries: Vectors, limit: int) -> list[list[Match]]:
        part, keys = self._rows.take(live), self._rows.keys.take(live)
        return nearest(self._metric, part, self._rows.lengths[live], keys, queries, limit)

    def _plain(self, queries: Vectors, limit: int, live: Positions | None) -> list[list[Match]]:
        rows = self._rows
        vectors = rows.all_vectors()
        return nearest(self._metric, vectors, rows.lengths, rows.keys, queries, limit, live)

    def _bounded(
        self, sketcher: Sketcher, queries: Vectors, limit: int, live: Positions | None
    ) -> Iterator[list[Match] | None]:
        """Yield the matches of each query; None where sketches do not help.

        If they help with none of the first block of queries, the others are not tried.
        """
        sketches, lengths = sketcher.of_queries(queries)
        step = max(1, _BLOCK // self._rows.rows)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            scores = products(sketches[part], self._rows.sketches)
            block = _Block(sketcher, scores if live is None else scores[:, live], lengths[part])
            found = self._nearest(block, queries[part], limit, live)
            yield from found
            if not any(found):
                yield from [None] * len(queries[part.stop :])
                return

    def _nearest(
        self, block: _Block, queries: Vectors, limit: int, live: Positions | None
    ) -> Sequence[list[Match] | None]:
        """Return the matches of the queries of a block; None if too many rows may be near."""
        most = _most(block.scores.shape[1], queries)
        count = min(max(_FIRST, 2 * limit), block.scores.shape[1])
        together = max(1, _TOGETHER // count)

        def reaches(start: int) -> Floats:
            places = range(start, min(start + together, len(queries)))
            rows = np.stack([block.highest(place, count) for place in places])
            rows = rows if live is None else live[rows]
            parts = self._rows.take(rows.ravel()).reshape(*rows.shape, -1)
            lengths = self._rows.lengths[rows]
            return least_reach(self._metric, parts, lengths, queries[start : places.stop], limit)

        def matches(place: int) -> list[Match] | None:
            if (rows := block.reaching(place, least[place], most)) is None:
                return None
            places = rows if live is None else live[rows]
            part, lengths = self._rows.take(places), self._rows.lengths[places]
            near, distances = contenders(self._metric, part, lengths, queries[place], limit)
            return in_order(self._rows.keys, places[near], distances, limit)

        reached = np.concatenate(in_threads(reaches, range(0, len(queries), together)))
        least = block.scores_within(reached, self._longest)
        return in_threads(matches, range(len(queries)))

    def _is_pausing(self, limit: int) -> bool:
        if self._hopeless is None or limit < self._hopeless:
            return False
        self._left -= 1
        return self._left >= 0

    def _learn(self, limit: int, *, helped: bool) -> None:
        """Search without sketches for a while, for as many hits or more, if they did not help."""
        if not helped:
            self._hopeless = limit if self._hopeless is None else min(limit, self._hopeless)
            self._left = self._pause = min(_LONGEST_PAUSE, 2 * self._pause + 1)
        elif self._hopeless is not None and limit >= self._hopeless:
            self._hopeless, self._left, self._pause = None, 0, 0


class _Block:
    """Queries with the most that the product of each with each row can be.

    Args:
        sketcher: What the scores come from.
        scores: Of shape (queries, rows).
        lengths: Lengths of the queries as they were sketched; 0 where scores prove nothing.
    """

    def __init__(self, sketcher: Sketcher, scores: Ranks, lengths: Floats) -> None:
        self._sketcher, self.scores, self._lengths = sketcher, scores, lengths

    def highest(self, place: int, count: int) -> Positions:
        """Return `count` rows whose scores are the highest of a query, or not much lower."""
        scores = high = self.scores[place]
        if (width := len(scores) // (8 * count)) > 1:
            # The highest of each of as many parts stand for all.
            high = scores[: len(scores) // width * width].reshape(-1, width).max(axis=1)
        least = np.partition(high, -count)[-count]
        return np.flatnonzero(scores >= least)[:count]

    def scores_within(self, distances: Floats, longest: float) -> Ranks:
        """Return for each query the score that all rows reach that are at most so distant."""
        return self._sketcher.least_scores(self._lengths, distances, longest)

    def reaching(self, place: int, least: np.float32, most: int) -> Positions | None:
        """Return the rows that reach a score for a query; None if that proves too little."""
        reached = self.scores[place] >= least
        is_of_use = self._lengths[place] > 0 and 0 < np.count_nonzero(reached) <= most
        return np.flatnonzero(reached) if is_of_use else None


def _most(rows: int, queries: Vectors) -> int:
    """Return up to how many of the rows it is faster to copy for each query than to read all."""
    if len(queries) > 1:
        return rows // (_MANY * _AT_ONCE)
    columns: int = queries.shape[1]
    return max(rows // _MANY, min(2 * rows // _MANY, _CACHED // columns))
