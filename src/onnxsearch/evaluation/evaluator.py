"""Evaluation of rankings against a ground truth."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxsearch._internal.validation import integer, items
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.bootstrap import Bootstrap, Estimate
from onnxsearch.evaluation.confusion import Confusion
from onnxsearch.evaluation.evaluation import Evaluation, QueryTable, Scores
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.metrics import RECALL_LEVELS, RankingMeasures, measure
from onnxsearch.evaluation.pool_rankings import PoolRankings


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Measures rankings of a pool."""

    rankings: PoolRankings
    ks: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ks", _checked_ranks(self.ks))

    def evaluate(self, truth: GroundTruth, bootstrap: Bootstrap) -> Evaluation:
        """Measure each model and, where there is more than one, their fusion.

        Raises:
            InvalidArgumentError: An image has no vector of a model.
        """
        rows: dict[str, list[list[float]]] = defaultdict(list)
        nearest: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        queries: list[str] = []
        for query, rankings in self.rankings.each(truth):
            right = truth.right[query] - {query}
            queries.append(query)
            for name, ids in rankings.items():
                relevant = np.array([id in right for id in ids], bool)
                rows[name].append(_as_row(measure(relevant, len(right), self.ks)))
                if truth.classes and ids:
                    nearest[name][truth.classes[query], truth.classes[ids[0]]] += 1
        means = {name: bootstrap.estimates(np.array(each)) for name, each in rows.items()}
        measured = slice(-len(RECALL_LEVELS))
        values = {name: np.array([row[measured] for row in each]) for name, each in rows.items()}
        measures = [f"{kind}@{k}" for kind in ("precision", "recall") for k in self.ks]
        table = QueryTable(tuple(queries), (*measures, "mean_average_precision", "ndcg"), values)
        scores = {name: self._scores(each) for name, each in means.items()}
        confusions = {name: Confusion(truth.labels, counts) for name, counts in nearest.items()}
        return Evaluation(scores, len(truth.right), len(truth.pool), table, confusions)

    def _scores(self, means: Sequence[Estimate]) -> Scores:
        """Return what the means of the columns are."""
        count = len(self.ks)
        mean_average_precision, ndcg, *curve = means[2 * count :]
        return Scores(
            precision=dict(zip(self.ks, means, strict=False)),
            recall=dict(zip(self.ks, means[count:], strict=False)),
            mean_average_precision=mean_average_precision,
            ndcg=ndcg,
            precision_at_recall=dict(zip(RECALL_LEVELS, curve, strict=True)),
        )


def _as_row(measures: RankingMeasures) -> list[float]:
    """Return the measures, and the points of the curve after them."""
    return [
        *measures.precision,
        *measures.recall,
        measures.average_precision,
        measures.ndcg,
        *measures.interpolated_precision,
    ]


def _checked_ranks(ks: Sequence[int]) -> tuple[int, ...]:
    expected = "ranks from 1 on, such as (1, 5, 10)"
    try:
        ranks = tuple(integer("k", k, least=1) for k in items("k", ks, expected))
    except InvalidArgumentError:
        ranks = ()
    if not ranks:
        raise InvalidArgumentError(f"k {ks!r:.80}: expected {expected}")
    return ranks
