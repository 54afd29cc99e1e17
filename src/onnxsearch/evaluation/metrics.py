"""How good a ranking is, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries, with its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def measure(relevant: NDArray[np.bool_], total: int, ks: Sequence[int]) -> list[float]:
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

    Returns:
        Precision at each k, recall at each k, average precision, nDCG.
    """
    ranks = np.flatnonzero(relevant) + 1
    found = [int(np.searchsorted(ranks, k, side="right")) for k in ks]
    average_precision = float((np.arange(1, len(ranks) + 1) / ranks).sum()) / total
    gained = float((1 / np.log2(ranks + 1)).sum())
    best = float((1 / np.log2(np.arange(1, total + 1) + 1)).sum())
    return [
        *(count / k for count, k in zip(found, ks, strict=True)),
        *(count / total for count in found),
        average_precision,
        gained / best,
    ]


def estimates(
    rows: NDArray[np.float64], *, confidence: float, resamples: int, seed: int
) -> list[Estimate]:
    """Return the mean of each column, with a percentile bootstrap interval.

    Efron, "Bootstrap Methods: Another Look at the Jackknife" (Annals of Statistics 7,
    1979): queries are drawn with replacement, as many as there are, `resamples` times.
    The same seed draws the same queries, so that models are compared on equal draws.

    Args:
        rows: A row per query, a column per measure.
        confidence: Share of the resampled means that lies in the interval.
        resamples: How many means to draw.
        seed: Of the random draws.
    """
    random = np.random.default_rng(seed)
    count = len(rows)
    means = np.stack(
        [rows[random.integers(0, count, count)].mean(axis=0) for _ in range(resamples)]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return [
        Estimate(float(value), float(bottom), float(top))
        for value, bottom, top in zip(rows.mean(axis=0), low, high, strict=True)
    ]
