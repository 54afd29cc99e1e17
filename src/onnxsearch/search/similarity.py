"""Directions of vectors, and the cosine of the angle between a query and an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onnxsearch.types import Metric

if TYPE_CHECKING:
    from onnxsearch.vectors.base import Vectors


def length_of(metric: Metric, query: Vectors) -> float:
    """Return the length of a query of shape (columns,); of bits, which count as +1 and -1, 1."""
    if metric is Metric.HAMMING:
        return 1.0
    return float(np.linalg.norm(query.astype(np.float64)))


def cosine(metric: Metric, distance: float, dimension: int, length: float) -> float | None:
    """Return the cosine of the angle between a query and a vector of length 1.

    Args:
        metric: How the distance was measured.
        distance: The distance.
        dimension: Numbers in a vector; for `Metric.HAMMING` bits.
        length: Length of the query.

    Returns:
        A number from -1 to 1; None if the query has no direction.
    """
    if length == 0:
        return None
    match metric:
        case Metric.COSINE:
            found = 1.0 - distance
        case Metric.IP:
            found = (1.0 - distance) / length
        case Metric.HAMMING:
            found = 1.0 - 2.0 * distance / dimension
        case Metric.L2:
            # The law of cosines, with a side of length 1.
            found = (1.0 + length**2 - distance**2) / (2.0 * length)
    return min(1.0, max(-1.0, found))


def directions(metric: Metric, matrix: Vectors) -> NDArray[np.float64]:
    """Return the rows of (n, columns) at length 1; bits as +1 and -1; a row of zeros stays."""
    wide: NDArray[np.float64] = (
        signed_bits(matrix) if metric is Metric.HAMMING else matrix.astype(np.float64)
    )
    lengths: NDArray[np.float64] = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.maximum(lengths, np.finfo(np.float64).tiny)


def signed_bits(matrix: Vectors) -> NDArray[np.float64]:
    """Return packed bits, (n, columns) uint8, as numbers: +1 for a set bit, -1 for another."""
    bits = np.unpackbits(matrix.astype(np.uint8), axis=1).astype(np.float64)
    return bits * 2.0 - 1.0
