"""All pairs of rows at most some distance apart.

Products of short sketches leave out nearly all pairs. The distances of the others are
measured as a search measures them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from onnxsearch.types import Metric
from onnxsearch.vectors.base import Vectors
from onnxsearch.vectors.exact_search import Floats, Positions, pair_distances
from onnxsearch.vectors.sketch import Sketcher, bounded, principal_directions, sketch_width

_DIRECTIONS = 61
"""With what is added to them, a sketch has 64 numbers. With the default model, 64 directions leave
.07 % of the pairs of 2,537 photos for a distance of .3, and next to none for .01."""
_SAMPLE = 4096
"""Rows of which the directions are computed."""
_TALL, _WIDE = 1024, 4096
"""Pairs that are scored at once: 16 MiB of scores."""
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
    metric: Metric, rows: JoinedRows, max_distance: float
) -> Iterator[tuple[str, str]] | None:
    """Return the keys of all pairs at most `max_distance` apart; None if sketches cannot help."""
    count = len(rows.keys)
    if count < 2:
        return iter(())
    sample = rows.take(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.intp))
    if not sketch_width(metric, sample.shape[1]) or not bounded(metric, rows.lengths).all():
        return None
    basis = principal_directions(metric, sample, min(_DIRECTIONS, sample.shape[1]))
    return None if basis is None else _pairs(Sketcher(metric, basis), rows, max_distance)


def _pairs(sketcher: Sketcher, rows: JoinedRows, max_distance: float) -> Iterator[tuple[str, str]]:
    count = len(rows.keys)
    sketches = np.empty((count, sketcher.width), np.float32)
    queries, lengths = np.empty_like(sketches), np.empty(count)
    for start in range(0, count, _READ):
        part = slice(start, min(start + _READ, count))
        vectors = rows.take(np.arange(part.start, part.stop))
        sketches[part] = sketcher.of_rows(vectors, rows.lengths[part])
        queries[part], lengths[part] = sketcher.of_queries(vectors)
    least = sketcher.least_scores(lengths, max_distance, float(rows.lengths.max()))

    for top in range(0, count, _TALL):
        for left in range(top, count, _WIDE):
            scores = queries[top : top + _TALL] @ sketches[left : left + _WIDE].T
            chosen = np.flatnonzero(scores >= least[top : top + _TALL, np.newaxis])
            some, others = np.divmod(chosen, scores.shape[1])
            pairs = np.stack([some + top, others + left], axis=1)
            once = pairs[pairs[:, 0] < pairs[:, 1]]
            for one, other in _measured(sketcher.metric, rows, once, max_distance):
                yield rows.keys[one], rows.keys[other]


def _measured(
    metric: Metric, rows: JoinedRows, pairs: Positions, max_distance: float
) -> Iterator[tuple[int, int]]:
    """Yield those pairs of places that are near enough."""
    for start in range(0, len(pairs), _READ):
        part = pairs[start : start + _READ]
        places, where = np.unique(part, return_inverse=True)
        vectors = rows.take(places)
        left, right = where.reshape(part.shape).T
        distances = pair_distances(metric, vectors[left], vectors[right])
        yield from map(tuple, part[distances <= max_distance].tolist())
