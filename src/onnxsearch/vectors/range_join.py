"""All pairs of rows at most some distance apart.

Products of short sketches, or of whole vectors where there are few, leave out nearly all
pairs. The distances of the others are measured as a search measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from onnxsearch._internal.threads import ordered_map
from onnxsearch.types import Metric
from onnxsearch.vectors.base import Vectors
from onnxsearch.vectors.exact_search import Floats, Positions, pair_distances
from onnxsearch.vectors.products import cores, in_pieces, in_threads
from onnxsearch.vectors.sketch import Sketcher, WholeSketcher, is_proved, sketcher_of

_WIDTH = 64
"""Numbers of a sketch. With the default model, 64 leave .07 % of the pairs of 2,537 photos for a
distance of .3, and next to none for .01."""
_FEW = 6000
"""Rows, at most, whose whole vectors are compared: finding the directions of a sketch takes longer.
With 1,280 numbers, 1,000 rows take a sixth of the time, and 8,000 as long either way."""
_SAMPLE = 4096
"""Rows of which the directions are computed."""
_TALL, _WIDE = 8192, 64
"""Pairs that a thread scores at once: 2 MiB of scores."""
_READ = 2048
"""Rows, or pairs of rows, whose vectors are in memory at once."""


class JoinedRows(Protocol):
    """Rows that can be read at any place."""

    @property
    def keys(self) -> Sequence[str]:
        """The keys, in order."""
        ...

    @property
    def lengths(self) -> Floats:
        """Euclidean length of each row, (n,)."""
        ...

    def take(self, places: Positions) -> Vectors:
        """Return the vectors at some places, (len(places), columns)."""
        ...


def pairs_within(
    metric: Metric,
    rows: JoinedRows,
    max_distance: float,
    compared: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, str]] | None:
    """Return the keys of all pairs at most `max_distance` apart; None if sketches cannot help.

    `compared` is called with the rows that have been compared with all, and the number of rows.
    """
    count = len(rows.keys)
    if count < 2:
        return iter(())
    sketcher = _sketcher(metric, rows)
    return None if sketcher is None else _pairs(sketcher, rows, max_distance, compared)


def _sketcher(metric: Metric, rows: JoinedRows) -> Sketcher | None:
    count = len(rows.keys)
    if count > _FEW:
        places = np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.intp)
        return sketcher_of(metric, rows.lengths, rows.take(places), _WIDTH)
    if not is_proved(metric, rows.lengths):
        return None
    columns = rows.take(np.zeros(1, np.intp)).shape[1]
    return WholeSketcher(metric, columns)


def _pairs(
    sketcher: Sketcher,
    rows: JoinedRows,
    max_distance: float,
    compared: Callable[[int, int], None] | None,
) -> Iterator[tuple[str, str]]:
    count = len(rows.keys)
    sketches = np.empty((count, sketcher.width), np.float32)

    def sketch(start: int) -> None:
        part = slice(start, min(start + _READ, count))
        vectors = rows.take(np.arange(part.start, part.stop))
        sketches[part] = sketcher.of_rows(vectors, rows.lengths[part])

    def near(tile: tuple[int, int]) -> tuple[int, Positions]:
        top, left = tile
        scores = in_pieces(sketches[left : left + _TALL], queries[top : top + _WIDE].T)
        chosen = np.flatnonzero(scores >= least[top : top + _WIDE])
        others, some = np.divmod(chosen, scores.shape[1])
        pairs = np.stack([some + top, others + left], axis=1)
        once = pairs[pairs[:, 0] < pairs[:, 1]]
        done = min(top + _WIDE, count) if left + _TALL >= count else 0
        return done, _measured(sketcher.metric, rows, once, max_distance)

    in_threads(sketch, range(0, count, _READ))
    queries, lengths = sketcher.as_queries(sketches, rows.lengths)
    least = sketcher.least_scores(lengths, max_distance, float(rows.lengths.max()))
    tiles = ((top, left) for top in range(0, count, _WIDE) for left in range(top, count, _TALL))
    for done, pairs in ordered_map(near, tiles, workers=cores()):
        places: list[tuple[int, int]] = pairs.tolist()
        for one, other in places:
            yield rows.keys[one], rows.keys[other]
        if compared is not None and done:
            compared(done, count)


def _measured(metric: Metric, rows: JoinedRows, pairs: Positions, max_distance: float) -> Positions:
    """Return those pairs of places that are near enough, (n, 2)."""
    found = [np.empty((0, 2), np.intp)]
    for start in range(0, len(pairs), _READ):
        part = pairs[start : start + _READ]
        places, where = np.unique(part, return_inverse=True)
        vectors = rows.take(places)
        left, right = where.reshape(part.shape).T
        distances = pair_distances(metric, vectors[left], vectors[right])
        found.append(part[distances <= max_distance])
    return np.concatenate(found)
