"""The nearest other points of each point, found exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch.vectors.nearest_others import highest, scores_of_others

if TYPE_CHECKING:
    from onnxsearch.album_map.geometry import Points

Places: TypeAlias = "NDArray[np.intp]"


_AT_ONCE = 1 << 21
"""Distances in a plane that are computed at once: 8 MiB, and twice as much on the way."""

_IN_CELL = 2
"""Points of a cell, on average, for each neighbour that is looked for."""


@dataclass(frozen=True, slots=True)
class NearestPoints:
    """The nearest other points of each point, nearest first."""

    places: Places
    """Which points they are, (n, k)."""
    distances: NDArray[np.float32]
    """Euclidean distances, (n, k)."""


def neighbours(
    points: Points, count: int, done: Callable[[float], None] = lambda _: None
) -> NearestPoints:
    """Find the `count` nearest other points of each point.

    Distances are float32 products; points whose distances differ by less than their rounding may
    change places.

    Args:
        points: Shape (n, columns).
        count: At least 1 and below n.
        done: A function that is called now and then with the share of the points that are done.
    """
    size = len(points)
    squares = np.einsum("ij,ij->i", points, points)
    places = np.empty((size, count), np.intp)
    distances = np.empty((size, count), np.float32)
    for block, scores in scores_of_others(points, np.arange(size), squares / 2):
        places[block], near = highest(scores, count)
        distances[block] = np.sqrt(np.maximum(squares[block, np.newaxis] - 2 * near, 0))
        done((int(block[-1]) + 1) / size)
    return NearestPoints(places, distances)


def planar_neighbours(points: Points, count: int) -> NearestPoints:
    """Find the `count` nearest other points of each point of a plane.

    A grid divides the plane. Points in the nine cells around a point are nearer than all others, up
    to the side of a cell; the few points that have not enough of them are compared with all.

    Args:
        points: Shape (n, 2).
        count: At least 1 and below n.
    """
    grid = _Grid(points, count)
    places = np.empty((len(points), count), np.intp)
    distances = np.full((len(points), count), np.inf, np.float32)

    def compare(own: Places, others: Places) -> None:
        step = max(1, _AT_ONCE // len(others))
        for some in (own[start : start + step] for start in range(0, len(own), step)):
            places[some], distances[some] = _nearest(points, some, others, count)

    for own, others in grid.cells():
        if len(others) > count:
            compare(own, others)
    compare(np.flatnonzero(distances[:, -1] > grid.side), np.arange(len(points)))
    return NearestPoints(places, distances)


class _Grid:
    """The points of a plane by the cell of a grid that they lie in.

    Args:
        points: Shape (n, 2).
        count: Neighbours that are looked for.
    """

    def __init__(self, points: Points, count: int) -> None:
        low = points.min(axis=0)
        extent = np.maximum(points.max(axis=0) - low, 1e-9).astype(np.float64)
        wanted = float(np.sqrt(extent.prod() * _IN_CELL * count / len(points)))
        # No more cells in a row than points, however long and thin the plane is.
        self.side = max(wanted, float(extent.max()) / len(points))
        cells = ((points - low) / self.side).astype(np.intp)
        # A free cell at both ends of each row, so that neighbours in a row never are of another.
        self._width = int(cells[:, 0].max()) + 3
        numbers = (cells[:, 1] + 1) * self._width + cells[:, 0] + 1
        self._order = np.argsort(numbers, kind="stable")
        self._numbers = numbers[self._order]

    def cells(self) -> Iterator[tuple[Places, Places]]:
        """Yield the points of each cell, and those of the nine cells around it, itself included."""
        numbers, starts = np.unique(self._numbers, return_index=True)
        rows = numbers[:, np.newaxis] + self._width * np.arange(-1, 2)
        begins = np.searchsorted(self._numbers, rows - 1)
        ends = np.searchsorted(self._numbers, rows + 1, side="right")
        stops = [*starts[1:].tolist(), len(self._order)]
        for start, stop, begin, end in zip(
            starts.tolist(), stops, begins.tolist(), ends.tolist(), strict=True
        ):
            around = [self._order[one:other] for one, other in zip(begin, end, strict=True)]
            yield self._order[start:stop], np.concatenate(around)


def _nearest(
    points: Points, own: Places, others: Places, count: int
) -> tuple[Places, NDArray[np.float32]]:
    """Return the nearest of some points, by distance, for each of `own`; itself not included."""
    scores = -((points[own, np.newaxis] - points[others]) ** 2).sum(axis=2)
    scores[own[:, np.newaxis] == others] = -np.inf
    near, scores = highest(scores, count)
    return others[near], np.sqrt(-scores)
