"""Bootstrap confidence intervals of means over queries."""

from __future__ import annotations

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


def estimates(
    rows: NDArray[np.float64], *, confidence: float, resamples: int, seed: int
) -> list[Estimate]:
    """Return the mean of each column, with a percentile bootstrap interval.

    Efron, "Bootstrap Methods: Another Look at the Jackknife" (Annals of Statistics 7,
    1979): queries are drawn with replacement, as many as there are, `resamples` times.
    The same seed draws the same queries, so that models are compared on equal draws.

    Args:
        rows: A row per query, a column per measure.
        confidence: Share of the resampled means that is in the interval.
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
