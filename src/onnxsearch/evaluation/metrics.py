"""Measures of one ranking: precision, recall, average precision, nDCG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RECALL_LEVELS = tuple(tenths / 10 for tenths in range(11))
"""Shares of the right answers at which curves have a point: those of TREC (Manning, Raghavan and
Schütze, "Introduction to Information Retrieval", 2008, chapter 8.4)."""


class RankingMeasures(NamedTuple):
    """The measures of one ranking, each from 0 to 1."""

    precision: tuple[float, ...]
    """Precision at each k."""
    recall: tuple[float, ...]
    """Recall at each k."""
    average_precision: float
    ndcg: float
    interpolated_precision: tuple[float, ...]
    """At each of `RECALL_LEVELS`, the best precision at this recall or a greater one."""


def measure(relevant: NDArray[np.bool_], total: int, ks: Sequence[int]) -> RankingMeasures:
    """Measure one ranking.

    Precision@k is the share of right answers among the first k, recall@k the share of
    all right answers that is there. Average precision is the mean, over all right
    answers, of the precision at their ranks. nDCG, with gains of 0 and 1, is that of
    Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques" (ACM
    TOIS 20(4), 2002), with the discount log2(rank + 1), over the whole ranking. Right
    answers that the ranking lacks count as not found: beyond them, precision is 0.

    Args:
        relevant: Whether the answer at each rank is right, best rank first.
        total: How many right answers there are, at least 1.
        ks: Ranks to cut at, each at least 1.
    """
    ranks = np.flatnonzero(relevant) + 1
    found = [int(np.searchsorted(ranks, k, side="right")) for k in ks]
    gained = float((1 / np.log2(ranks + 1)).sum())
    best = float((1 / np.log2(np.arange(1, total + 1) + 1)).sum())
    precisions = np.arange(1, len(ranks) + 1) / ranks
    best_from_here = np.maximum.accumulate(precisions[::-1])[::-1]
    # In whole numbers: in floats, 0.7 of 10 answers may be 8.
    needed = [max(1, -(-tenths * total // 10)) for tenths in range(len(RECALL_LEVELS))]
    return RankingMeasures(
        precision=tuple(count / k for count, k in zip(found, ks, strict=True)),
        recall=tuple(count / total for count in found),
        average_precision=float(precisions.sum()) / total,
        ndcg=gained / best,
        interpolated_precision=tuple(
            float(best_from_here[count - 1]) if count <= len(ranks) else 0.0 for count in needed
        ),
    )
