"""Hits that are near the query and unlike each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxsearch.search.similarity import directions

if TYPE_CHECKING:
    from onnxsearch.types import Metric
    from onnxsearch.vectors.base import Vectors

POOL = 100
"""Number of nearest hits that diverse hits are chosen from; when all of them are chosen, the
next pool follows. The number does not depend on the limit of a search, so that the results
for a small limit are the beginning of the results for a large limit."""


def most_diverse(
    metric: Metric, query: Vectors, candidates: Vectors, count: int, diversity: float
) -> list[int]:
    """Choose rows by maximal marginal relevance; return their positions, best first.

    Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking" (SIGIR 1998):
    each step takes the row with the greatest (1 - diversity) * similarity to the query
    - diversity * greatest similarity to a row that was taken before. Similarity is the
    cosine; for `Metric.HAMMING`, where a bit counts as +1 or -1, too. Rows are taken out
    of the first `POOL` candidates until none is left there, then out of the next ones.

    Args:
        metric: The metric of the model; it decides whether the vectors are packed bits.
        query: Of shape (columns,).
        candidates: Of shape (n, columns), nearest first.
        count: How many to choose, at most.
        diversity: 0 ranks by nearness alone, 1 by unlikeness alone.
    """
    rows = directions(metric, candidates)
    relevance = (1 - diversity) * (rows @ directions(metric, query[np.newaxis])[0])
    # Before the first is taken there is nothing to be unlike.
    repetition = np.zeros(len(rows))
    chosen: list[int] = []
    available = np.ones(len(rows), bool)
    for taken in range(min(count, len(rows))):
        start = taken - taken % POOL
        pool = slice(start, start + POOL)
        merit = relevance[pool] - diversity * repetition[pool]
        best = start + int(np.where(available[pool], merit, -np.inf).argmax())
        similarity = rows @ rows[best]
        repetition = np.maximum(repetition, similarity) if chosen else similarity
        chosen.append(best)
        available[best] = False
    return chosen
