"""Evaluation of rankings against a ground truth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.tables import Tabular, columns_of, row
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer, items, number
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.bootstrap import Estimate, estimates
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.metrics import RankingMeasures, measure
from onnxsearch.search.fusion import FusionChoice, as_fusion, fused_as_searched, fused_ranks
from onnxsearch.search.retriever import Retriever
from onnxsearch.types import JSONValue

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.vectors.base import Match

_RANKS = 1 << 20
"""Ranks in memory at once, of all models: about 150 MB. A ranking may be as long as the album."""
_QUERIES = 1024
"""Queries ranked at once, at most."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The quality of one model's rankings, as means over all queries."""

    precision: Mapping[int, Estimate]
    """By k, the share of right answers among the first k."""
    recall: Mapping[int, Estimate]
    """By k, the share of all right answers that are among the first k."""
    mean_average_precision: Estimate
    """The mean, over all right answers, of the precision at their ranks."""
    ndcg: Estimate
    """Normalised discounted cumulative gain, over the whole ranking."""


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Tabular):
    """Result of `SearchEngine.evaluate`."""

    scores: Mapping[str, Scores]
    """By model; the fusion's name is that of all models, separated by "+"."""
    queries: int
    """Number of images that were searched for."""
    pictures: int
    """Number of images that were ranked for each of them."""

    _columns: ClassVar[Mapping[str, str]] = {
        "model": "str",
        "measure": "str",
        **columns_of(Estimate),
    }

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return a dictionary for each model and measure, with the fields of `Estimate`.

        The measures are `precision@k` and `recall@k` for each k, `mean_average_precision` and
        `ndcg`.
        """
        return [
            {"model": model, "measure": measure, **row(estimate)}
            for model, scores in self.scores.items()
            for measure, estimate in _by_measure(scores)
        ]

    def __repr__(self) -> str:
        head = f"<Evaluation of {self.queries} queries among {self.pictures} images>"
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


def _by_measure(scores: Scores) -> Iterator[tuple[str, Estimate]]:
    yield from ((f"precision@{k}", estimate) for k, estimate in scores.precision.items())
    yield from ((f"recall@{k}", estimate) for k, estimate in scores.recall.items())
    yield "mean_average_precision", scores.mean_average_precision
    yield "ndcg", scores.ndcg


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Ranks the pool for each query, and measures the rankings."""

    retriever: Retriever
    embedders: Sequence[Embedder]
    fusion: FusionChoice | None
    """None for the default one, and where there is one model only."""
    ks: Sequence[int]
    depth: int | None
    """Ranks of the pool that are looked at, the query not counted; None for all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ks", _checked_ranks(self.ks))
        if self.depth is not None:
            object.__setattr__(self, "depth", integer("depth", self.depth, least=1))
        as_fusion(self.fusion)
        if self.fusion is not None and len(self.embedders) == 1:
            raise InvalidArgumentError(
                f"fusion {self.fusion!r:.80} does nothing with a single model: leave it out"
            )

    def evaluate(
        self, truth: GroundTruth, *, confidence: float, resamples: int, seed: int
    ) -> Evaluation:
        """Measure each model and, where there is more than one, their fusion.

        Raises:
            InvalidArgumentError: `confidence` is not between 0 and 1, `resamples` is below
                1 or `seed` below 0, or an image has no vector of a model.
        """
        if not 0 < number("confidence", confidence) < 1:
            raise InvalidArgumentError(
                f"confidence {confidence}: expected a share above 0 and below 1"
            )
        means = partial(
            estimates,
            confidence=confidence,
            resamples=integer("resamples", resamples, least=1),
            seed=integer("seed", seed, least=0),
        )
        measures: dict[str, list[RankingMeasures]] = defaultdict(list)
        for query, rankings in self._rankings(truth):
            right = truth.right[query] - {query}
            for name, ids in rankings.items():
                relevant = np.array([id in right for id in ids], bool)
                measures[name].append(measure(relevant, len(right), self.ks))
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
        """Yield each query with the ids that every model finds, without the query's own."""
        fusion, records = as_fusion(self.fusion), self.retriever.catalog.records
        pool = {
            stored.key: id
            for batch in batched(sorted(truth.pool), 1024)
            for id, stored in records.find(batch).items()
        }
        for queries in batched(sorted(truth.right), self._queries_at_once(len(pool))):
            found = {e.name: self._pool_rankings(e, queries, pool) for e in self.embedders}
            for position, query in enumerate(queries):
                rankings = {name: rows[position] for name, rows in found.items()}
                if len(rankings) > 1:
                    rankings["+".join(rankings)] = fused_as_searched(fusion, rankings)
                yield (
                    query,
                    {
                        name: [pool[match.key] for match in matches[: self.depth]]
                        for name, matches in rankings.items()
                    },
                )

    def _pool_rankings(
        self, embedder: Embedder, queries: Sequence[str], pool: Mapping[str, str]
    ) -> list[list[Match]]:
        """Return a ranking of the pool for each query, as deep as it is looked at or fused."""
        rows = self.retriever.rows(embedder, queries)
        missing = [id for id in queries if id not in rows]
        if missing:
            raise InvalidArgumentError(
                f"image {missing[0]!r} has no vector of model {embedder.name!r}: "
                f"engine.backfill({embedder.name!r}) adds what is missing"
            )
        matrix = np.stack([rows[id] for id in queries])
        collection = self.retriever.catalog.collection(embedder.name)
        rankings: list[list[Match]] = []
        for depth in self._store_depths(collection, len(pool)):
            found = self.retriever.vectors.search(collection, matrix, depth)
            rankings = [
                [match for match in matches if pool.get(match.key, query) != query]
                for query, matches in zip(queries, found, strict=True)
            ]
            if all(
                len(matches) < depth or len(ranking) >= self._ranks
                for ranking, matches in zip(rankings, found, strict=True)
            ):
                break
        return rankings

    @property
    def _ranks(self) -> float:
        """How many ranks of the pool are needed."""
        if self.depth is None:
            return math.inf
        return fused_ranks(self.depth) if len(self.embedders) > 1 else self.depth

    def _store_depths(self, collection: str, pool: int) -> Iterable[int]:
        """Return how many rows to ask the store for, until the pool is ranked deep enough."""
        first = self._first_depth(collection, pool)
        return [first] if self.depth is None else self.retriever.depths(first)

    def _first_depth(self, collection: str, pool: int) -> int:
        stored = max(1, self.retriever.vectors.count(collection))
        if self.depth is None:
            return stored
        # Rows outside the pool, and the query, take up ranks of the store.
        return math.ceil((self._ranks + 1) * max(1.0, stored / pool))

    def _queries_at_once(self, pool: int) -> int:
        """Return how many queries are ranked at once, so that memory is bounded."""
        names = [self.retriever.catalog.collection(each.name) for each in self.embedders]
        ranks = sum(self._first_depth(name, pool) for name in names)
        return min(_QUERIES, max(1, _RANKS // ranks))


def _checked_ranks(ks: Sequence[int]) -> tuple[int, ...]:
    expected = "ranks from 1 on, such as (1, 5, 10)"
    try:
        ranks = tuple(integer("k", k, least=1) for k in items("k", ks, expected))
    except InvalidArgumentError:
        ranks = ()
    if not ranks:
        raise InvalidArgumentError(f"k {ks!r:.80}: expected {expected}")
    return ranks
