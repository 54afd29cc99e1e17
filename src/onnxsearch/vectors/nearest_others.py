"""The nearest other rows of the rows of a matrix, exact up to the rounding of float32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onnxsearch.vectors.exact_search import Positions, Ranks
from onnxsearch.vectors.products import products

_BLOCK = 1 << 23
"""Scores in memory at once: 32 MiB."""
_PARTS = 8
"""Parts of a row for each of its highest scores. Of 100,000 random scores, 48 reach the bound that
they give for 45, and to find them takes a fifteenth of the time of a partition."""


def scores_of_others(
    matrix: Ranks, rows: Positions, less: Ranks | None = None
) -> Iterator[tuple[Positions, Ranks]]:
    """Yield some of the rows, and the score of every row for each of them, (rows, n).

    A score is the product of the two rows; -inf for a row and itself.

    Args:
        matrix: All rows, (n, columns).
        rows: Places of the rows that others are sought for.
        less: What is taken off the products with each row, (n,): with half of its square, the
            rows at the least Euclidean distance have the highest scores.
    """
    step = max(1, _BLOCK // max(1, len(matrix)))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        scores = products(matrix[block], matrix)
        if less is not None:
            scores -= less
        scores[np.arange(len(block)), block] = -np.inf
        yield block, scores


def highest(scores: Ranks, count: int) -> tuple[Positions, Ranks]:
    """Return where the `count` highest scores of each row are, and these, the highest first.

    Equal ones are in the order of their places.
    """
    if not count:
        return np.empty((len(scores), 0), np.intp), np.empty((len(scores), 0), np.float32)
    found = _highest_of_many(scores, count) if scores.shape[1] >= 2 * _PARTS * count else None
    return _highest_of_few(scores, count) if found is None else found


def _highest_of_many(scores: Ranks, count: int) -> tuple[Positions, Ranks] | None:
    """Return what `highest` returns; None where it would take longer than without a bound.

    As many scores as wanted reach the bound at least: the highest ones of so many parts of the row.
    """
    rows, columns = scores.shape
    parts = _PARTS * count
    width = columns // parts
    tops = scores[:, : width * parts].reshape(rows, width, parts).max(axis=1)
    least = np.partition(tops, -count, axis=1)[:, -count]
    reached = np.flatnonzero(scores >= least[:, np.newaxis])
    if len(reached) > rows * parts:  # many are equal
        return None
    lines, places = np.divmod(reached, columns)
    numbers = np.bincount(lines, minlength=rows)
    if numbers.min() < count:  # not all scores are numbers
        return None
    near = scores[lines, places]
    order = np.lexsort((-near, lines))
    starts = np.cumsum(numbers) - numbers
    best = order[starts[:, np.newaxis] + np.arange(count)]
    return places[best], near[best]


def _highest_of_few(scores: Ranks, count: int) -> tuple[Positions, Ranks]:
    near = np.argpartition(scores, -count, axis=1)[:, -count:]
    near.sort(axis=1)
    found = np.take_along_axis(scores, near, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(found, order, axis=1)
