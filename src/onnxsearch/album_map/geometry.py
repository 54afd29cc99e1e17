"""Vectors of any metric as points whose Euclidean distances order neighbours alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from onnxsearch.types import Metric

if TYPE_CHECKING:
    from onnxsearch.types import Vectors

Points: TypeAlias = "NDArray[np.float32]"
"""Points, one a row, of shape (n, columns)."""


def euclidean(metric: Metric, vectors: Vectors) -> Points:
    """Return a point for each vector: (n, dimension) float32.

    Bits become -1 and 1, so that the square of a distance is four times the number of bits that
    differ. Vectors compared by their angle or inner product get unit length, as those of nearly
    every model have.
    """
    if metric is Metric.HAMMING:
        bits = np.unpackbits(cast("NDArray[np.uint8]", vectors), axis=1)
        return bits.astype(np.float32) * 2 - 1
    points = vectors.astype(np.float32)
    if metric is Metric.L2:
        return points
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    unit: Points = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
    return unit


_ROUNDS, _MORE = 8, 8
"""Rounds of subspace iteration, and dimensions beyond those wanted, which make it converge."""


class Projection:
    """The projection to the principal components of some points.

    By subspace iteration from a fixed start (Halko, Martinsson and Tropp, "Finding structure with
    randomness", SIAM Review 53(2), 2011).

    Args:
        points: The points, (n, columns), with n at least 1.
        components: Columns of what is projected, at most; fewer if the points have fewer.
    """

    def __init__(self, points: Points, components: int) -> None:
        self._centre = points.mean(axis=0)
        centred = points - self._centre
        size = min(components + _MORE, *points.shape)
        basis = np.random.default_rng(0).standard_normal((points.shape[1], size), np.float32)
        for _ in range(_ROUNDS):
            basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
        axes = basis @ np.linalg.svd(centred @ basis, full_matrices=False)[2].T[:, :components]
        # The sign of an axis is arbitrary: its largest number is positive.
        largest = np.abs(axes).argmax(axis=0)
        axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
        self._axes = axes.astype(np.float32)

    def __call__(self, points: Points) -> Points:
        """Return the points in the coordinates of the components, (n, components)."""
        projected: Points = (points - self._centre) @ self._axes
        return projected
