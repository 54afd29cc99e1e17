"""The nearest other points of each point, found exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch.vectors.nearest_others import highest, scores_of_others

if TYPE_CHECKING:
    from onnxsearch.album_map.geometry import Points

Places: TypeAlias = "NDArray[np.intp]"


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
