"""Exact nearest neighbours in one matrix.

A float32 matrix product ranks all rows within a known bound on its rounding
error. Whatever that bound leaves in doubt is measured again in float64, by
direct differences. So the result is the one that float64 gives, ties included,
at the price of the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch.types import Metric
from onnxsearch.vectors.base import Match, Vectors

Floats: TypeAlias = "NDArray[np.float64]"
Positions: TypeAlias = "NDArray[np.intp]"

_BLOCK = 1 << 22
"""Numbers that an intermediate result may hold: 16 MiB of float32."""
_UNIT = float(np.finfo(np.float32).eps) / 2
_TINY = float(np.finfo(np.float32).tiny)
_OVERFLOW = 1e37
"""Products from here on may leave the range of float32 (3.4e38)."""


def nearest(
    metric: Metric,
    matrix: Vectors,
    lengths: Floats,
    keys: Sequence[str],
    queries: Vectors,
    limit: int,
    rows: Positions | None = None,
) -> list[list[Match]]:
    """Return for each query its `limit` nearest rows, by distance and then by key.

    Args:
        metric: How distances are measured.
        matrix: The rows, (n, columns).
        lengths: Euclidean length of each row, (n,); for Hamming it isn't read.
        keys: At least n keys, that of each row in order.
        queries: The queries, (m, columns).
        limit: Rows per query, at least 1.
        rows: Positions of the rows that may be found; None for all.
    """
    if not len(matrix) or (rows is not None and not len(rows)):
        return [[] for _ in queries]
    found: list[list[Match]] = []
    step = max(1, _BLOCK // len(matrix))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        for query, ranks in zip(block, _rough(metric, matrix, lengths, block), strict=True):
            slack = _slack(metric, lengths, query)
            if rows is not None:
                near = rows[_candidates(ranks[rows], slack[rows], limit)]
            else:
                near = _candidates(ranks, slack, limit)
            exact = distances(metric, matrix, near, query)
            matches = [
                Match(keys[int(row)], float(distance))
                for row, distance in zip(near, exact, strict=True)
            ]
            matches.sort(key=_by_distance_then_key)
            found.append(matches[:limit])
    return found


def distances(metric: Metric, matrix: Vectors, rows: Positions, query: Vectors) -> Floats:
    """Measure the distance from `query` to some rows of `matrix` in float64."""
    result = np.empty(len(rows))
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, len(rows), step):
        part = matrix[rows[start : start + step]]
        result[start : start + step] = _measure(metric, part, query)
    return result


def euclidean_lengths(matrix: Vectors) -> Floats:
    """Return the Euclidean length of each row."""
    result = np.empty(len(matrix))
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, len(matrix), step):
        part = matrix[start : start + step].astype(np.float64)
        result[start : start + step] = np.sqrt(np.square(part).sum(axis=1))
    return result


def _by_distance_then_key(match: Match) -> tuple[float, str]:
    return match.distance, match.key


def _measure(metric: Metric, part: Vectors, query: Vectors) -> Floats:
    if metric is Metric.HAMMING:
        bits: Floats = np.bitwise_count(np.bitwise_xor(part, query)).sum(axis=1, dtype=np.float64)
        return bits
    left, right = part.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        squares: Floats = np.square(left - right).sum(axis=1)
        return np.sqrt(squares)
    products: Floats = (left * right).sum(axis=1)
    if metric is Metric.IP:
        return 1.0 - products
    # A vector of zeros has no direction; it counts as at right angles to every other.
    norms: Floats = np.sqrt(np.square(left).sum(axis=1) * np.square(right).sum())
    return 1.0 - np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def _rough(metric: Metric, matrix: Vectors, lengths: Floats, queries: Vectors) -> Floats:
    """Return numbers that rise with the distance, roughly, one row per query."""
    if metric is Metric.HAMMING:
        everything = np.arange(len(matrix))
        return np.stack([distances(metric, matrix, everything, query) for query in queries])
    with np.errstate(over="ignore", invalid="ignore"):
        # A product with one vector reads the matrix once, at the speed of memory.
        dots = (matrix @ queries[0])[np.newaxis] if len(queries) == 1 else queries @ matrix.T
        products = dots.astype(np.float64)
        if metric is Metric.L2:
            return np.square(lengths) - 2.0 * products
        if metric is Metric.IP:
            return -products
        return np.divide(-products, lengths, out=np.zeros_like(products), where=lengths > 0)


def _slack(metric: Metric, lengths: Floats, query: Vectors) -> Floats:
    """Bound the rounding error of `_rough`, for each row.

    A float32 product of n numbers is off by at most n * 2^-24 * |a| |b|, in
    whatever order it is summed (Higham, Accuracy and Stability of Numerical
    Algorithms, 2002, section 3.1), and by what underflows.
    """
    if metric is Metric.HAMMING:
        return np.zeros(len(lengths))
    length = float(np.linalg.norm(query.astype(np.float64)))
    if length * lengths.max() > _OVERFLOW:
        return np.full(len(lengths), np.inf)
    error: Floats = (len(query) + 8) * (_UNIT * length * lengths + _TINY)
    if metric is Metric.L2:
        return 2.0 * error
    if metric is Metric.IP:
        return error
    return np.divide(error, lengths, out=np.zeros_like(error), where=lengths > 0)


def _candidates(ranks: Floats, slack: Floats, limit: int) -> Positions:
    """Return where the `limit` lowest may be, given that each is off by up to `slack`."""
    if len(ranks) <= limit or not np.isfinite(slack).all():
        return np.arange(len(ranks))
    highest = np.partition(ranks + slack, limit - 1)[limit - 1]
    return np.flatnonzero(ranks - slack <= highest)
