"""Exact nearest neighbours in one matrix.

A float32 matrix product ranks all rows within a known bound on its rounding
error. Rows whose rank that bound leaves open are measured again in float64, by
direct differences. So the result equals the one in float64, ties included, at the
cost of the float32 product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from onnxsearch.types import Metric
from onnxsearch.vectors.base import Match, Vectors
from onnxsearch.vectors.products import products

Floats: TypeAlias = "NDArray[np.float64]"
Ranks: TypeAlias = "NDArray[np.float32]"
Positions: TypeAlias = "NDArray[np.intp]"

_BLOCK = 1 << 22
"""Numbers in an intermediate result: 16 MiB of float32."""
_MEASURED = 1 << 17
"""Numbers of rows that are measured at once: 1 MiB of float64, which stays in the cache."""
_MANY = 2
"""Rows for each hit that are measured without another look at how near they may be."""
_UNIT = float(np.finfo(np.float32).eps) / 2
_TINY = float(np.finfo(np.float32).tiny)
_OVERFLOW = 1e37
"""Products above this may exceed the range of float32 (3.4e38)."""


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
        lengths: Euclidean length of each row, (n,); unused for Hamming.
        keys: At least n keys, the key of each row in order.
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
        ranks = _rough(metric, matrix, lengths, block)
        ranks = ranks if rows is None else ranks[:, rows]
        places = _near(metric, lengths if rows is None else lengths[rows], block, ranks, limit)
        near = places if rows is None else [rows[each] for each in places]
        for query, each in zip(block, near, strict=True):
            found.append(in_order(keys, each, distances(metric, matrix, each, query), limit))
    return found


def roughly_nearest(
    metric: Metric,
    matrix: Vectors,
    lengths: Floats,
    queries: Vectors,
    limit: int,
    rows: Positions | None = None,
) -> list[Positions]:
    """Return for each query where its `limit` nearest rows are, up to rounding, in any order.

    The arguments are those of `nearest`.
    """
    places = np.arange(len(matrix)) if rows is None else rows
    if len(places) <= limit:
        return [places] * len(queries)
    found: list[Positions] = []
    step = max(1, _BLOCK // len(matrix))
    for start in range(0, len(queries), step):
        ranks = _rough(metric, matrix, lengths, queries[start : start + step])
        ranks = ranks if rows is None else ranks[:, rows]
        found.extend(places[np.argpartition(ranks, limit - 1, axis=1)[:, :limit]])
    return found


def contenders(
    metric: Metric, part: Vectors, lengths: Floats, query: Vectors, limit: int
) -> tuple[Positions, Floats]:
    """Return all rows of `part` that may be among its `limit` nearest, and their distances."""
    ranks = _rough(metric, part, lengths, query[np.newaxis])[0]
    length = euclidean_lengths(query[np.newaxis])
    near = _lowest(ranks, limit, _slack(metric, lengths, length, len(query)))
    return near, distances(metric, part, near, query)


def least_reach(
    metric: Metric, parts: Vectors, lengths: Floats, queries: Vectors, limit: int
) -> Floats:
    """Return for each query a distance within which at least `limit` rows of its part are.

    It is the least one that float32 products prove, by a bound on their rounding error.

    Args:
        metric: How distances are measured; not Hamming.
        parts: Rows for each query, (m, n, columns), with n of at least `limit`.
        lengths: Euclidean length of each row, (m, n).
        queries: The queries, (m, columns).
        limit: Number of rows.
    """
    norms = euclidean_lengths(queries)[:, np.newaxis]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        ranks = _ranks(metric, np.vecdot(parts, queries[:, np.newaxis]), lengths)
        highest = ranks + _slack(metric, lengths, norms, queries.shape[1])
        reach: Floats = np.partition(highest, limit - 1, axis=1)[:, limit - 1]
        return _distance_of_rank(metric, reach, norms[:, 0])


def in_order(keys: Sequence[str], rows: Positions, distances: Floats, limit: int) -> list[Match]:
    """Return the `limit` nearest of some rows, by distance and then by key."""
    if len(rows) > limit:
        near = distances <= np.partition(distances, limit - 1)[limit - 1]
        rows, distances = rows[near], distances[near]
    places: list[int] = rows.tolist()
    measured: list[float] = distances.tolist()
    matches = [Match(keys[row], distance) for row, distance in zip(places, measured, strict=True)]
    return sorted(matches, key=by_distance_then_key)[:limit]


def distances(metric: Metric, matrix: Vectors, rows: Positions, query: Vectors) -> Floats:
    """Measure the distance from `query` to some rows of `matrix` in float64."""
    result = np.empty(len(rows))
    step = max(1, _MEASURED // matrix.shape[1])
    for start in range(0, len(rows), step):
        part = matrix[rows[start : start + step]]
        result[start : start + step] = _measure(metric, part, query)
    return result


def pair_distances(metric: Metric, some: Vectors, others: Vectors) -> Floats:
    """Measure the distance of each row to the row in the same place, as `distances` does."""
    result = np.empty(len(some))
    step = max(1, _MEASURED // some.shape[1])
    for start in range(0, len(some), step):
        part = slice(start, start + step)
        result[part] = _measure(metric, some[part], others[part])
    return result


def euclidean_lengths(matrix: Vectors) -> Floats:
    """Return the Euclidean length of each row."""
    squares: Floats = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    return np.sqrt(squares)


def by_distance_then_key(match: Match) -> tuple[float, str]:
    """Return what sorts matches by distance, and those at equal distances by key."""
    return match.distance, match.key


def _measure(metric: Metric, part: Vectors, query: Vectors) -> Floats:
    if metric is Metric.HAMMING:
        bits: Floats = np.bitwise_count(np.bitwise_xor(part, query)).sum(axis=1, dtype=np.float64)
        return bits
    left, right = part.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        squares: Floats = np.square(left - right).sum(axis=-1)
        return np.sqrt(squares)
    products: Floats = (left * right).sum(axis=-1)
    if metric is Metric.IP:
        return 1.0 - products
    # A vector of zeros has no direction; it counts as at right angles to every other.
    norms: Floats = np.sqrt(np.square(left).sum(axis=-1) * np.square(right).sum(axis=-1))
    return 1.0 - np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def _rough(metric: Metric, matrix: Vectors, lengths: Floats, queries: Vectors) -> Ranks:
    """Return numbers that rise with the distance, roughly, one row per query."""
    if metric is Metric.HAMMING:
        everything = np.arange(len(matrix))
        bits = [distances(metric, matrix, everything, query) for query in queries]
        return np.stack(bits).astype(np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _ranks(metric, products(cast("Ranks", queries), cast("Ranks", matrix)), lengths)


def _ranks(metric: Metric, dots: Ranks, lengths: Floats) -> Ranks:
    """Turn products with rows of these lengths into numbers that rise with the distance."""
    if metric is Metric.L2:
        dots *= np.float32(-2.0)
        dots += np.square(lengths).astype(np.float32)
    else:
        np.negative(dots, out=dots)
        if metric is Metric.COSINE:
            dots /= np.where(lengths > 0, lengths, 1.0).astype(np.float32)
    return dots


def _distance_of_rank(metric: Metric, ranks: Floats, lengths: Floats) -> Floats:
    """Return the distances from queries of these lengths that `_ranks` gives as such numbers."""
    if metric is Metric.L2:
        return np.sqrt(np.maximum(ranks + np.square(lengths), 0.0))
    if metric is Metric.COSINE:
        ranks = ranks / np.where(lengths > 0, lengths, 1.0)
    return 1.0 + ranks


def _near(
    metric: Metric, lengths: Floats, queries: Vectors, ranks: Ranks, limit: int
) -> list[Positions]:
    """Return for each query where its `limit` nearest rows may be."""
    if ranks.shape[1] <= limit:
        return [np.arange(ranks.shape[1])] * len(queries)
    # One bound on the error of all rows first, since it costs the least; then each row's
    # own, which differs where some vectors are much longer than others.
    norms, columns = euclidean_lengths(queries), queries.shape[1]
    extremes = _extremes(metric, lengths)
    widest = _slack(metric, extremes, norms[:, np.newaxis], columns).max(axis=1)
    highest = np.partition(ranks, limit - 1, axis=1)[:, limit - 1]
    with np.errstate(over="ignore", invalid="ignore"):
        bounds = (highest + 2.0 * widest).astype(np.float32)
        # Rounded to float32, one may be too low by a step.
        bounds = np.nextafter(bounds, np.float32(np.inf))
    reached = ranks <= bounds[:, np.newaxis]
    reached[~np.isfinite(widest)] = True
    near = [np.flatnonzero(row) for row in reached]
    for place, rows in enumerate(near):
        if len(rows) > _MANY * limit:
            slack = _slack(metric, lengths[rows], norms[place], columns)
            near[place] = rows[_lowest(ranks[place, rows], limit, slack)]
    return near


def _lowest(ranks: Ranks, limit: int, slack: Floats) -> Positions:
    """Return where the `limit` lowest may be, given how much each may be off."""
    if len(ranks) <= limit or not np.isfinite(slack).all():
        return np.arange(len(ranks))
    roughly = ranks.astype(np.float64)
    return np.flatnonzero(roughly - slack <= np.partition(roughly + slack, limit - 1)[limit - 1])


def _extremes(metric: Metric, lengths: Floats) -> Floats:
    """Return the lengths at which `_slack` may be highest."""
    if metric is Metric.HAMMING:
        return np.zeros(1)
    longest = lengths.max()
    return np.array([lengths.min(where=lengths > 0, initial=longest), longest])


def _slack(metric: Metric, lengths: Floats, length: Floats, columns: int) -> Floats:
    """Bound the rounding error of `_rough`, for rows of these lengths and queries of those.

    A float32 product of n numbers is off by at most n * 2^-24 * |a| |b|, in
    whatever order it is summed (Higham, Accuracy and Stability of Numerical
    Algorithms, 2002, section 3.1), and by what underflows. Later operations
    add less than 8 roundings of |a| |b|, and for L2 3 of |a|^2.
    """
    if metric is Metric.HAMMING:
        return np.zeros(np.broadcast(lengths, length).shape)
    error: Floats = (columns + 8) * (_UNIT * length * lengths + _TINY)
    if metric is Metric.L2:
        error = 2.0 * error + 3.0 * _UNIT * np.square(lengths)
        return np.where(np.maximum(length, lengths) * lengths > _OVERFLOW, np.inf, error)
    error = np.where(length * lengths > _OVERFLOW, np.inf, error)
    if metric is Metric.IP:
        return error
    error = np.divide(error, lengths, out=np.zeros_like(error), where=lengths > 0) + _TINY
    # Lengths below the normal numbers of float32 lose digits when they are converted.
    return np.where((lengths > 0) & (lengths < _TINY), np.inf, error)
