"""The nearest other points of each point, found exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch.vectors.products import products

if TYPE_CHECKING:
    from onnxsearch.album_map.geometry import Points

Places: TypeAlias = "NDArray[np.intp]"

_BLOCK = 1 << 23
"""Distances computed at once: 32 MiB of float32."""


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
    step = max(1, _BLOCK // size)
    for start in range(0, size, step):
        block = slice(start, min(start + step, size))
        ranks = squares - 2 * products(points[block], points)
        # No point is its own neighbour.
        ranks[np.arange(len(ranks)), np.arange(block.start, block.stop)] = np.inf
        near = np.argpartition(ranks, count - 1, axis=1)[:, :count]
        ranks = np.take_along_axis(ranks, near, axis=1)
        order = np.argsort(ranks, axis=1, kind="stable")
        places[block] = np.take_along_axis(near, order, axis=1)
        squared = np.take_along_axis(ranks, order, axis=1) + squares[block, np.newaxis]
        distances[block] = np.sqrt(np.maximum(squared, 0))
        done(block.stop / size)
    return NearestPoints(places, distances)
