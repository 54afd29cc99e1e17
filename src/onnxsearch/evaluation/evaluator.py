"""Evaluation of rankings against a ground truth."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer, items
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.bootstrap import Bootstrap, Estimate
from onnxsearch.evaluation.confusion import Confusion
from onnxsearch.evaluation.evaluation import Evaluation, QueryTable, Scores
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.metrics import RECALL_LEVELS, RankingMeasures, measure
from onnxsearch.search.fusion import FusionChoice, as_fusion, fused_as_searched, fused_ranks
from onnxsearch.search.retriever import Retriever

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.vectors.base import Match

_RANKS = 1 << 20
"""Ranks in memory at once, of all models: about 150 MB. A ranking may be as long as the album."""
_QUERIES = 1024
"""Queries ranked at once, at most."""


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

    def evaluate(self, truth: GroundTruth, bootstrap: Bootstrap) -> Evaluation:
        """Measure each model and, where there is more than one, their fusion.

        Raises:
            InvalidArgumentError: An image has no vector of a model.
        """
        rows: dict[str, list[list[float]]] = defaultdict(list)
        nearest: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        queries: list[str] = []
        for query, rankings in self._rankings(truth):
            right = truth.right[query] - {query}
            queries.append(query)
            for name, ids in rankings.items():
                relevant = np.array([id in right for id in ids], bool)
                rows[name].append(_as_row(measure(relevant, len(right), self.ks)))
                if truth.classes and ids:
                    nearest[name][truth.classes[query], truth.classes[ids[0]]] += 1
        means = {name: bootstrap.estimates(np.array(each)) for name, each in rows.items()}
        values = {name: np.array(each)[:, : -len(RECALL_LEVELS)] for name, each in rows.items()}
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
