"""Tuning: the cheapest search of an approximate index that reaches a recall."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic

from onnxsearch._internal.validation import number
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.index_recall import Sample
from onnxsearch.reporting.rows import TextTable
from onnxsearch.vectors.capabilities import Index, Tunable, Variant

if TYPE_CHECKING:
    from onnxsearch.evaluation.bootstrap import Estimate
    from onnxsearch.vectors.base import VectorStore


@dataclass(frozen=True, slots=True)
class Trial(Generic[Index]):
    """One way to search, measured."""

    index: Index
    """The index to open the store with, for this way to search; None if it takes none."""
    recall: Estimate
    milliseconds: float
    """Per query, where many are asked at once."""

    def __str__(self) -> str:
        return f"{self.index}: recall {self.recall}, {self.milliseconds:.2f} ms a query"


@dataclass(frozen=True, slots=True)
class Tuning(Generic[Index]):
    """Result of `SearchEngine.tune`: measurements and a proposal."""

    target_recall: float
    trials: tuple[Trial[Index], ...]
    """In the order of their cost, up to the first one that reached the target."""

    @property
    def proposed(self) -> Trial[Index]:
        """The cheapest that reached the target; if none did, the one of best recall."""
        return max(self.trials, key=lambda trial: trial.recall.value)

    @property
    def index(self) -> Index:
        """The index to open the store with; None if it takes none."""
        return self.proposed.index

    @property
    def recall(self) -> Estimate:
        """The recall of the proposal, with its 95 % interval."""
        return self.proposed.recall

    @property
    def reached(self) -> bool:
        """Whether the recall of the proposal reaches the target."""
        return self.recall.value >= self.target_recall

    def _repr_html_(self) -> str:
        from onnxsearch.reporting.notebook_tables import table_html

        caption = f"Target {self.target_recall}: {'reached' if self.reached else 'not reached'}"
        columns = ("index", "recall", "ms a query", "")
        lines = tuple(
            (
                str(each.index),
                str(each.recall),
                f"{each.milliseconds:.2f}",
                "proposed" if each is self.proposed else "",
            )
            for each in self.trials
        )
        return table_html(TextTable(caption, columns, lines))

    def __str__(self) -> str:
        said = "reached" if self.reached else "not reached; the best there is"
        return "\n".join(
            [*map(str, self.trials), f"target {self.target_recall} {said}: {self.index}"]
        )


def tune(
    store: VectorStore,
    collection: str,
    target_recall: float,
    *,
    limit: int,
    sample: int,
    seed: int,
) -> Tuning:
    """Measure the ways to search a collection until one reaches the target.

    Raises:
        InvalidArgumentError: `target_recall` is not above 0 and at most 1, `limit` or
            `sample` is below 1, or there is no row.
    """
    if not 0 < number("target_recall", target_recall) <= 1:
        raise InvalidArgumentError(
            f"target_recall {target_recall}: expected a share above 0, at most 1"
        )
    drawn = Sample.draw(store, collection, limit=limit, sample=sample, seed=seed)
    rows = drawn.rows_to_ask_for
    if isinstance(store, Tunable):
        variants = store.variants(collection, rows)
    else:
        variants = [Variant(None, partial(store.search, collection))]
    # What a store does only once, such as flushing, is not the first variant's cost.
    variants[0].search(drawn.queries[:1], rows)
    trials: list[Trial] = []
    for variant in variants:
        started = time.perf_counter()
        found = variant.search(drawn.queries, rows)
        seconds = time.perf_counter() - started
        recall = drawn.recall(found)
        trials.append(Trial(variant.index, recall, seconds / len(drawn.queries) * 1000))
        if recall.value >= target_recall:
            break
    return Tuning(target_recall, tuple(trials))
