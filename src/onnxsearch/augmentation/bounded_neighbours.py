"""The nearest neighbours of all rows, most pairs of which are never compared.

Rows that are like the same one are compared first, so that each has some neighbours. Products
of sketches then bound the product of every pair, each of which is looked at once, for both of
its rows. Only pairs that may be nearer than what one of the two has are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from onnxsearch.augmentation.neighbours import Floats, Neighbours, Places, complete
from onnxsearch.types import Metric
from onnxsearch.vectors.exact_search import euclidean_lengths
from onnxsearch.vectors.products import in_threads
from onnxsearch.vectors.sketch import sketcher_of

_FEW = 12_000
"""Rows, at most, that are all compared: the directions of sketches take as long to find."""
_WIDTH = 448
"""Numbers of a sketch. Of 20,000 vectors like those of photos, 320 leave 87 for each to be
compared, and 480 leave 21."""
_SAMPLE = 4096
"""Rows of which the directions are computed."""
_GROUP = 256
"""Rows that are compared at first, on average, and four times as many at most."""
_ROUNDS = 3
"""How often groups are made. The similarity that a neighbour has to exceed is then .384 in the
median for 20,000 vectors like those of photos, and .405 in the end."""
_TALL, _WIDE = 1024, 16_384
"""Pairs whose sketches are multiplied at once: 64 MiB of products."""
_LOW = 64
"""Rows of such products that a thread looks at, at once."""
_PAIRS = 2048
"""Pairs that are compared at once: 20 MiB of vectors of 1,280 numbers."""
_MANY = 24
"""Where one pair in so many may be near enough, comparing all pairs is faster."""


class _Pairs(NamedTuple):
    """Pairs of rows, and their products."""

    rows: Places
    others: Places
    products: Floats


def nearest_of_all(found: Neighbours, vectors: Floats, compared: Callable[[int], None]) -> None:
    """Find the neighbours of all rows among all.

    Args:
        found: Lists that are empty.
        vectors: All rows, of length 1.
        compared: Called with the number of rows that were just compared with all.
    """
    count = len(vectors)
    lengths = euclidean_lengths(vectors)
    sample = vectors[np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.intp)]
    width = min(_WIDTH, vectors.shape[1] // 2)
    sketcher = None if count <= _FEW else sketcher_of(Metric.IP, lengths, sample, width)
    if sketcher is None:
        everything = np.arange(count)
        complete(found, vectors, everything, np.zeros(count, bool), compared)
        return
    sketches = np.empty((count, sketcher.width), np.float32)

    def sketch(start: int) -> None:
        part = slice(start, start + _PAIRS)
        sketches[part] = sketcher.of_rows(vectors[part], lengths[part])

    in_threads(sketch, range(0, count, _PAIRS))
    queries, _ = sketcher.as_queries(sketches, lengths)
    for first in range(_ROUNDS):
        _compare_groups(found, vectors, sketches, first)
    for top in range(0, count, _TALL):
        for left in range(top, count, _WIDE):
            scores = queries[top : top + _TALL] @ sketches[left : left + _WIDE].T
            _enter(found, _near_pairs(found, vectors, scores, top, left))
        compared(min(_TALL, count - top))


def _compare_groups(found: Neighbours, vectors: Floats, sketches: Floats, first: int) -> None:
    """Compare rows that are likest to the same one of some rows, and enter the nearest.

    Args:
        found: The lists.
        vectors: All rows.
        sketches: Of these.
        first: The first of the rows that make the groups: others make other groups.
    """
    pivots = np.arange(first, len(vectors), _GROUP)
    count = len(vectors)
    nearest = np.concatenate(
        [
            (sketches[start : start + _WIDE, :-2] @ sketches[pivots, :-2].T).argmax(axis=1)
            for start in range(0, count, _WIDE)
        ]
    )
    order = np.argsort(nearest, kind="stable")
    ends = np.bincount(nearest, minlength=len(pivots)).cumsum()[:-1]
    groups = [
        group[start : start + 4 * _GROUP]
        for group in np.split(order, ends)
        for start in range(0, len(group), 4 * _GROUP)
    ]
    for group in groups:
        products = vectors[group] @ vectors[group].T
        np.fill_diagonal(products, -np.inf)
        nearest_here = min(found.count, len(group) - 1)
        if nearest_here:
            places = np.argpartition(products, -nearest_here, axis=1)[:, -nearest_here:]
            rows = np.repeat(group, nearest_here)
            near = np.take_along_axis(products, places, axis=1)
            found.add(rows, group[places.reshape(-1)], near.reshape(-1))


def _products(vectors: Floats, rows: Places, others: Places) -> Floats:
    """Return the product of each row with the other one."""
    products = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        pairs = slice(start, start + _PAIRS)
        np.vecdot(vectors[rows[pairs]], vectors[others[pairs]], out=products[pairs])
    return products


def _near_pairs(
    found: Neighbours, vectors: Floats, scores: Floats, top: int, left: int
) -> Sequence[_Pairs]:
    """Return the pairs that are nearer than what one of the two rows has.

    Args:
        found: What each row has.
        vectors: All rows.
        scores: Bounds of the products, from the rows at `top` on with those at `left` on.
        top: The first row of the scores.
        left: The row of their first column.
    """
    look = partial(_near_in, found.least().copy(), vectors, scores, top, left)
    return in_threads(look, range(0, len(scores), _LOW))


def _near_in(
    least: Floats, vectors: Floats, scores: Floats, top: int, left: int, start: int
) -> _Pairs:
    part = scores[start : start + _LOW]
    first, last = top + start, left + part.shape[1]
    reached = part >= least[first : first + len(part), np.newaxis]
    reached |= part >= least[left:last]
    lines, columns = np.divmod(np.flatnonzero(reached), part.shape[1])
    rows, others = lines + first, columns + left
    once = rows < others
    rows, others = rows[once], others[once]
    if len(rows) > part.size // _MANY:
        whole = vectors[first : first + len(part)] @ vectors[left:last].T
        products = whole[rows - first, others - left]
    else:
        products = _products(vectors, rows, others)
    near = products > np.minimum(least[rows], least[others])
    return _Pairs(rows[near], others[near], products[near])


def _enter(found: Neighbours, several: Iterable[_Pairs]) -> None:
    rows, others, products = (np.concatenate(each) for each in zip(*several, strict=True))
    found.add(rows, others, products)
    found.add(others, rows, products)
