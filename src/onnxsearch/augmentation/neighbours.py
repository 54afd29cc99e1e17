"""The nearest neighbours of every row of a matrix, exact up to the rounding of float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from onnxsearch.vectors.nearest_others import highest, scores_of_others

Floats = NDArray[np.float32]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each row its nearest other rows, the nearest first."""

    places: NDArray[np.int32]
    """Of shape (n, neighbours); -1 where there are fewer rows."""
    similarities: Floats
    """Products of the row and its neighbours, of shape (n, neighbours); -inf for none."""

    @classmethod
    def none(cls, rows: int, count: int) -> Self:
        """Return lists that hold nothing yet."""
        return cls(
            np.full((rows, count), -1, np.int32), np.full((rows, count), -np.inf, np.float32)
        )

    @property
    def count(self) -> int:
        """Neighbours of a row, at most."""
        return int(self.places.shape[1])

    def least(self) -> Floats:
        """Return for each row the similarity that a further neighbour has to exceed."""
        return self.similarities[:, -1]

    def set(self, rows: Places, places: Places, similarities: Floats) -> None:
        """Make the lists of some rows anew, of at most as many neighbours, the nearest first."""
        self.places[rows], self.similarities[rows] = -1, -np.inf
        number = places.shape[1]
        self.places[rows, :number], self.similarities[rows, :number] = places, similarities

    def add(self, rows: Places, places: Places, similarities: Floats) -> Places:
        """Enter pairs of a row and a neighbour; those that its list holds are skipped.

        Args:
            rows: The row of each pair, in any order. No pair comes twice.
            places: The neighbour of each.
            similarities: Their products.

        Returns:
            The rows whose lists have changed, ascending.
        """
        kept = np.flatnonzero(similarities > self.similarities[rows, -1])
        known = (self.places[rows[kept]] == places[kept, np.newaxis]).any(axis=1)
        kept = kept[~known]
        rows, places, similarities = rows[kept], places[kept], similarities[kept]
        order = np.lexsort((places, -similarities, rows))
        rows, places, similarities = rows[order], places[order], similarities[order]
        changed, starts = np.unique(rows, return_index=True)
        ranks = np.arange(len(rows)) - np.repeat(starts, np.diff([*starts, len(rows)]))
        best = ranks < self.count
        lines = np.searchsorted(changed, rows[best])
        news = Neighbours.none(len(changed), self.count)
        news.places[lines, ranks[best]] = places[best]
        news.similarities[lines, ranks[best]] = similarities[best]
        self._merge(changed, news)
        return changed

    def _merge(self, rows: Places, news: Neighbours) -> None:
        """Keep the best of what the lists of some rows hold and of other lists for them."""
        places = np.concatenate([self.places[rows], news.places], axis=1)
        similarities = np.concatenate([self.similarities[rows], news.similarities], axis=1)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, : self.count]
        self.places[rows] = np.take_along_axis(places, order, axis=1)
        self.similarities[rows] = np.take_along_axis(similarities, order, axis=1)


def complete(
    found: Neighbours,
    vectors: Floats,
    rows: Places,
    fresh: NDArray[np.bool_],
    compared: Callable[[int], None],
) -> Places:
    """Find the neighbours of some rows among all, and enter the fresh ones for all others.

    Args:
        found: The lists. Those of `rows` are made anew. The others are right but for the
            fresh rows, which they lack.
        vectors: All rows, of length 1.
        rows: Rows to find the neighbours of, ascending; the fresh ones are among them.
        fresh: For each row whether it is new to the others.
        compared: Called with the number of rows that were just compared with all.

    Returns:
        The rows whose lists have changed, ascending.
    """
    count = min(found.count, len(vectors) - 1)
    others = np.ones(len(vectors), bool)
    others[rows] = False
    changed = [rows]
    for block, products in scores_of_others(vectors, rows):
        found.set(block, *highest(products, count))
        new = fresh[block]
        if new.any() and others.any():
            reached = (products[new] > found.least()) & others
            near, places = np.nonzero(reached)
            changed.append(found.add(places, block[new][near], products[new][near, places]))
        compared(len(block))
    return np.unique(np.concatenate(changed))
