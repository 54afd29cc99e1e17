"""Bootstrap confidence intervals of means over queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.validation import integer, number
from onnxsearch.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries, with its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"

    def _repr_html_(self) -> str:
        return f"<b>{self.value:.3f}</b> ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The percentile bootstrap.

    Efron, "Bootstrap Methods: Another Look at the Jackknife" (Annals of Statistics 7,
    1979): queries are drawn with replacement, as many as there are, `resamples` times.
    The same seed draws the same queries, so that models are compared on equal draws.

    Raises:
        InvalidArgumentError: `confidence` is not between 0 and 1, `resamples` is below 1 or
            `seed` below 0.
    """

    confidence: float = 0.95
    """Share of the resampled means that is in the interval."""
    resamples: int = 1000
    """How many means to draw."""
    seed: int = 0
    """Of the random draws."""

    def __post_init__(self) -> None:
        if not 0 < number("confidence", self.confidence) < 1:
            raise InvalidArgumentError(
                f"confidence {self.confidence}: expected a share above 0 and below 1"
            )
        integer("resamples", self.resamples, least=1)
        integer("seed", self.seed, least=0)

    def estimates(self, rows: NDArray[np.float64]) -> list[Estimate]:
        """Return the mean of each column, with its interval.

        Args:
            rows: A row per query, at least one, and a column per measure.
        """
        random = np.random.default_rng(self.seed)
        count = len(rows)
        means = np.stack(
            [rows[random.integers(0, count, count)].mean(axis=0) for _ in range(self.resamples)]
        )
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail], axis=0)
        return [
            Estimate(float(value), float(bottom), float(top))
            for value, bottom, top in zip(rows.mean(axis=0), low, high, strict=True)
        ]
