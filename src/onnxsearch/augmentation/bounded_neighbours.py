"""The nearest neighbours of all rows, most pairs of which are never compared.

Rows that are like the same one are compared first, so that each has some neighbours. Products
of sketches then bound the product of every pair, each of which is looked at once, for both of
its rows. Those that may be nearer than what one of the two has are bounded once more, by longer
sketches, and compared if that leaves it open.

Each thread multiplies, looks and compares in pieces that stay in its cache, and waits for no
other one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.threads import ordered_map
from onnxsearch.augmentation.neighbours import Floats, Neighbours, Places, complete
from onnxsearch.types import Metric
from onnxsearch.vectors.exact_search import euclidean_lengths
from onnxsearch.vectors.nearest_others import highest
from onnxsearch.vectors.products import cores, in_pieces, in_threads, products_here
from onnxsearch.vectors.sketch import Sketcher, sketcher_of

_FEW = 12_000
"""Rows, at most, that are all compared: the directions of sketches take as long to find."""
_WIDTHS = 256, 512
"""Numbers of a sketch, of those for all pairs and of those for the pairs that are left. Of 100,000
vectors like those of photos, 256 leave 1.3 % of the pairs with the first neighbours and .5 % with
the last, and 512 leave .12 % and .03 %."""
_SAMPLE = 8192
"""Rows of which the directions are computed."""
_GROUP = 256
"""Rows that are compared at first, on average, and four times as many at most."""
_ROUNDS = 3
"""How often groups are made. The similarity that a neighbour has to exceed is then .406 in the
median for 100,000 vectors like those of photos, and .433 in the end."""
_SKETCHED = 2048
"""Rows that a thread sketches, or sorts into groups, at once."""
_WIDE, _TALL = 64, 4096
"""Pairs whose sketches a thread multiplies at once: 1 MiB of products."""
_READ = 1 << 16
"""Numbers of one side of the pairs that a thread compares at once: 256 KiB. With ten times as many,
whose memory is taken anew each time, a pair takes five times as long."""
_MANY = 24
"""Where one pair in so many may be near enough, comparing all pairs is faster."""


class _Pairs(NamedTuple):
    """Pairs of rows, and their products."""

    rows: Places
    others: Places
    products: Floats


@dataclass(frozen=True, slots=True)
class _Sketches:
    """Sketches of all rows."""

    sketcher: Sketcher
    rows: Floats
    lengths: NDArray[np.float64]
    """Lengths of what was sketched."""

    @classmethod
    def of(cls, sketcher: Sketcher, vectors: Floats, lengths: NDArray[np.float64]) -> Self:
        """Sketch all rows."""
        rows = np.empty((len(vectors), sketcher.width), np.float32)

        def sketch(start: int) -> None:
            part = slice(start, start + _SKETCHED)
            rows[part] = sketcher.of_rows(vectors[part], lengths[part])

        in_threads(sketch, range(0, len(vectors), _SKETCHED))
        return cls(sketcher, rows, lengths)

    def queries(self, part: slice) -> Floats:
        """Return what the sketches of rows are multiplied with, for some rows."""
        return self.sketcher.as_queries(self.rows[part], self.lengths[part])[0]


def nearest_of_all(found: Neighbours, vectors: Floats, compared: Callable[[int], None]) -> None:
    """Find the neighbours of all rows among all.

    Args:
        found: Lists that are empty.
        vectors: All rows, of length 1.
        compared: Called with the number of rows that were just compared with all.
    """
    count = len(vectors)
    sketches = None if count <= _FEW else _sketched(vectors)
    if sketches is None:
        everything = np.arange(count)
        complete(found, vectors, everything, np.zeros(count, bool), compared)
        return
    short, long = sketches
    for first in range(_ROUNDS):
        _compare_groups(found, vectors, short.rows, first)
    tiles = ((top, left) for top in range(0, count, _WIDE) for left in range(top, count, _TALL))
    near = partial(_near_pairs, found.least(), vectors, short, long)
    waiting: list[_Pairs] = []
    for done, pairs in ordered_map(near, tiles, workers=cores()):
        waiting.append(pairs)
        if done:
            # At moments that no thread's speed decides, so that ties always end alike.
            _enter(found, waiting)
            compared(done)
            waiting = []


def _sketched(vectors: Floats) -> tuple[_Sketches, _Sketches] | None:
    """Return short and long sketches of all rows; None where sketches are of no use."""
    lengths = euclidean_lengths(vectors)
    sample = vectors[np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.intp)]
    longest = vectors.shape[1] // 2
    sketcher = sketcher_of(Metric.IP, lengths, sample, min(_WIDTHS[1], longest))
    if sketcher is None:
        return None
    narrow = sketcher.narrowed(min(_WIDTHS[0], longest))
    return _Sketches.of(narrow, vectors, lengths), _Sketches.of(sketcher, vectors, lengths)


def _compare_groups(found: Neighbours, vectors: Floats, sketches: Floats, first: int) -> None:
    """Compare rows that are likest to the same one of some rows, and enter the nearest.

    Args:
        found: The lists.
        vectors: All rows.
        sketches: Of these.
        first: The first of the rows that make the groups: others make other groups.
    """
    pivots = np.arange(first, len(vectors), _GROUP)

    def likest(start: int) -> Places:
        products = products_here(sketches[start : start + _SKETCHED], sketches[pivots])
        chosen: Places = products.argmax(axis=1)
        return chosen

    def compare(group: Places) -> None:
        rows = vectors[group]
        products = products_here(rows, rows)
        np.fill_diagonal(products, -np.inf)
        nearest = min(found.count, len(group) - 1)
        if nearest:
            places, near = highest(products, nearest)
            # No row is in two groups, so that no thread changes the lists of another.
            found.add(np.repeat(group, nearest), group[places.reshape(-1)], near.reshape(-1))

    nearest = np.concatenate(in_threads(likest, range(0, len(vectors), _SKETCHED)))
    order = np.argsort(nearest, kind="stable")
    ends = np.bincount(nearest, minlength=len(pivots)).cumsum()[:-1]
    groups = [
        group[start : start + 4 * _GROUP]
        for group in np.split(order, ends)
        for start in range(0, len(group), 4 * _GROUP)
    ]
    in_threads(compare, groups)


def _near_pairs(
    least: Floats, vectors: Floats, short: _Sketches, long: _Sketches, tile: tuple[int, int]
) -> tuple[int, _Pairs]:
    """Return the pairs of a tile that are nearer than what one of the two rows has.

    Args:
        least: The similarity that a further neighbour of each row has to exceed. It may rise
            meanwhile, as other pairs are entered.
        vectors: All rows.
        short: Sketches of all rows.
        long: Longer ones.
        tile: The first of `_WIDE` rows, and the first of `_TALL` others.

    Returns:
        The pairs, and the number of rows that are compared with all once this tile is done.
    """
    top, left = tile
    wide, tall = slice(top, top + _WIDE), slice(left, left + _TALL)
    scores = in_pieces(short.rows[tall], short.queries(wide).T)
    reached = scores >= least[wide]
    reached |= scores >= least[tall, np.newaxis]
    others, rows = np.divmod(np.flatnonzero(reached), scores.shape[1])
    once = rows + top < others + left
    rows, others = rows[once], others[once]
    if len(rows) > scores.size // _MANY:
        products = in_pieces(vectors[tall], vectors[wide].T)[others, rows]
    else:
        bounds = _products(long.queries(wide), long.rows[tall], rows, others)
        open_ = bounds >= np.minimum(least[wide][rows], least[tall][others])
        rows, others = rows[open_], others[open_]
        products = _products(vectors[wide], vectors[tall], rows, others)
    near = products > np.minimum(least[wide][rows], least[tall][others])
    done = scores.shape[1] if left + _TALL >= len(vectors) else 0
    return done, _Pairs(rows[near] + top, others[near] + left, products[near])


def _products(some: Floats, others: Floats, left: Places, right: Places) -> Floats:
    """Return the products of pairs, of one of some rows and one of others."""
    products = np.empty(len(left), np.float32)
    step = max(1, _READ // some.shape[1])
    ours, theirs = np.empty((2, min(step, len(left)), some.shape[1]), np.float32)
    for start in range(0, len(left), step):
        pairs = slice(start, start + step)
        count = len(left[pairs])
        # Into memory that is there: "clip" is what makes `take` write to it directly.
        some.take(left[pairs], axis=0, out=ours[:count], mode="clip")
        others.take(right[pairs], axis=0, out=theirs[:count], mode="clip")
        np.vecdot(ours[:count], theirs[:count], out=products[pairs])
    return products


def _enter(found: Neighbours, several: Sequence[_Pairs]) -> None:
    rows, others, products = (np.concatenate(each) for each in zip(*several, strict=True))
    found.add(rows, others, products)
    found.add(others, rows, products)
