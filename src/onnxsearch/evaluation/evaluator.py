"""How well models find what belongs together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.bootstrap import Estimate, estimates
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.metrics import RankingMeasures, measure
from onnxsearch.search.fusion import Fusion
from onnxsearch.search.retriever import Retriever

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.vectors.base import Match

_BATCH = 32
"""Queries ranked at once: each ranking is as long as the album."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How good the rankings of one model are, as means over all queries."""

    precision: Mapping[int, Estimate]
    """By k, the share of right answers among the first k."""
    recall: Mapping[int, Estimate]
    """By k, the share of all right answers that is among the first k."""
    mean_average_precision: Estimate
    """The mean, over all right answers, of the precision at their ranks."""
    ndcg: Estimate
    """Normalised discounted cumulative gain, over the whole ranking."""


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """What `SearchEngine.evaluate` returns."""

    scores: Mapping[str, Scores]
    """By model; the fusion's name is that of all models, parted by "+"."""
    queries: int
    """How many pictures were searched for."""
    pictures: int
    """Among how many."""

    def __repr__(self) -> str:
        head = f"<Evaluation of {self.queries} queries among {self.pictures} pictures>"
        ks = list(next(iter(self.scores.values())).precision)
        width = max(len("model"), *map(len, self.scores))
        titles = [*(f"P@{k}" for k in ks), *(f"R@{k}" for k in ks), "mAP", "nDCG"]
        lines = [head, f"  {'model':{width}}" + "".join(f"  {title:>6}" for title in titles)]
        for name, scores in self.scores.items():
            values = [
                *scores.precision.values(),
                *scores.recall.values(),
                scores.mean_average_precision,
                scores.ndcg,
            ]
            numbers = "".join(f"  {estimate.value:6.3f}" for estimate in values)
            lines.append(f"  {name:{width}}{numbers}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Ranks the pool for each query, and measures the rankings."""

    retriever: Retriever
    embedders: Sequence[Embedder]
    fusion: Fusion
    ks: Sequence[int]
    depth: int | None

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise InvalidArgumentError(f"k={tuple(self.ks)}: expected ranks from 1 on")
        if self.depth is not None:
            integer("depth", self.depth, least=1)

    def evaluate(
        self, truth: GroundTruth, *, confidence: float, resamples: int, seed: int
    ) -> Evaluation:
        """Measure each model and, where there are several, their fusion."""
        if not 0 < confidence < 1 or resamples < 1:
            raise InvalidArgumentError(
                f"confidence {confidence}, resamples {resamples}: expected a share between 0 and "
                "1, and at least one resample"
            )
        measures: dict[str, list[RankingMeasures]] = defaultdict(list)
        for query, rankings in self._rankings(truth):
            right = truth.right[query] - {query}
            for name, ids in rankings.items():
                relevant = np.array([id in right for id in ids], bool)
                measures[name].append(measure(relevant, len(right), self.ks))
        means = partial(estimates, confidence=confidence, resamples=resamples, seed=seed)
        scores = {name: self._scores(each, means) for name, each in measures.items()}
        return Evaluation(scores, len(truth.right), len(truth.pool))

    def _scores(
        self,
        measures: Sequence[RankingMeasures],
        means: Callable[[NDArray[np.float64]], list[Estimate]],
    ) -> Scores:
        precision = means(np.array([each.precision for each in measures]))
        recall = means(np.array([each.recall for each in measures]))
        (mean_average_precision,) = means(np.array([[each.average_precision] for each in measures]))
        (ndcg,) = means(np.array([[each.ndcg] for each in measures]))
        return Scores(
            precision=dict(zip(self.ks, precision, strict=True)),
            recall=dict(zip(self.ks, recall, strict=True)),
            mean_average_precision=mean_average_precision,
            ndcg=ndcg,
        )

    def _rankings(self, truth: GroundTruth) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Yield each query with what every model finds, best first, without the query."""
        records = self.retriever.catalog.records
        ids = {
            stored.key: id
            for batch in batched(sorted(truth.pool), 1024)
            for id, stored in records.find(batch).items()
        }
        for queries in batched(sorted(truth.right), _BATCH):
            found = {e.name: self._matches(e, queries) for e in self.embedders}
            for position, query in enumerate(queries):
                rankings = {
                    name: [m for m in rows[position] if m.key in ids and ids[m.key] != query]
                    for name, rows in found.items()
                }
                if len(rankings) > 1:
                    rankings["+".join(rankings)] = self.fusion.merge(rankings)
                yield query, {name: [ids[m.key] for m in r] for name, r in rankings.items()}

    def _matches(self, embedder: Embedder, queries: Sequence[str]) -> list[list[Match]]:
        rows = self.retriever.rows(embedder, queries)
        missing = [id for id in queries if id not in rows]
        if missing:
            raise InvalidArgumentError(
                f"picture {missing[0]!r} has no vector of model {embedder.name!r}: "
                f"engine.backfill({embedder.name!r}) fills what is missing"
            )
        store = self.retriever.vectors
        collection = self.retriever.catalog.collection(embedder.name)
        depth = self.depth or store.count(collection)
        return store.search(collection, np.stack([rows[id] for id in queries]), depth)
