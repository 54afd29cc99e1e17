"""Measures of one ranking: precision, recall, average precision, nDCG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RankingMeasures(NamedTuple):
    """The measures of one ranking, each from 0 to 1."""

    precision: tuple[float, ...]
    """Precision at each k."""
    recall: tuple[float, ...]
    """Recall at each k."""
    average_precision: float
    ndcg: float


def measure(relevant: NDArray[np.bool_], total: int, ks: Sequence[int]) -> RankingMeasures:
    """Measure one ranking.

    Precision@k is the share of right answers among the first k, recall@k the share of
    all right answers that is there. Average precision is the mean, over all right
    answers, of the precision at their ranks. nDCG, with gains of 0 and 1, is that of
    Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques" (ACM
    TOIS 20(4), 2002), with the discount log2(rank + 1), over the whole ranking. Right
    answers that the ranking lacks count as not found.

    Args:
        relevant: Whether the answer at each rank is right, best rank first.
        total: How many right answers there are, at least 1.
        ks: Ranks to cut at, each at least 1.
    """
    ranks = np.flatnonzero(relevant) + 1
    found = [int(np.searchsorted(ranks, k, side="right")) for k in ks]
    gained = float((1 / np.log2(ranks + 1)).sum())
    best = float((1 / np.log2(np.arange(1, total + 1) + 1)).sum())
    return RankingMeasures(
        precision=tuple(count / k for count, k in zip(found, ks, strict=True)),
        recall=tuple(count / total for count in found),
        average_precision=float((np.arange(1, len(ranks) + 1) / ranks).sum()) / total,
        ndcg=gained / best,
    )
