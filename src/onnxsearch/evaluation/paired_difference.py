"""Which of two rankings is better: a paired bootstrap over the same queries."""

from __future__ import annotations

from dataclasses import dataclass

from onnxsearch.evaluation.bootstrap import Estimate


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Result of `Evaluation.compare`: the difference of two means over the same queries."""

    first: str
    second: str
    metric: str
    difference: Estimate
    """The mean of `first` minus that of `second`, with its interval."""
    confidence: float
    """Confidence level of the interval."""
    queries: int

    @property
    def better(self) -> str | None:
        """Name of the better one; None while the interval holds 0, which decides nothing."""
        if self.difference.low > 0:
            return self.first
        return self.second if self.difference.high < 0 else None

    def __str__(self) -> str:
        verdicts = {
            None: f"no difference of {self.first} and {self.second} is shown",
            self.first: f"{self.first} is better than {self.second}",
            self.second: f"{self.second} is better than {self.first}",
        }
        it = self.difference
        return (
            f"{verdicts[self.better]}: {self.metric} {it.value:+.3f} ({it.low:+.3f} to "
            f"{it.high:+.3f}), {100 * self.confidence:g} % confidence, {self.queries} queries"
        )
