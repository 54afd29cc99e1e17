"""Rankings of a pool of stored images, for queries among them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.fusion import FusionChoice, as_fusion, fused_as_searched, ranks_for
from onnxsearch.search.hits import found_hit, fused_hits
from onnxsearch.search.omission import Omission
from onnxsearch.search.query import Query
from onnxsearch.search.regions import check_whole
from onnxsearch.search.search_context import SearchContext
from onnxsearch.search.similarity import length_of

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.embedders.registry import EmbedderRegistry
    from onnxsearch.evaluation.ground_truth import GroundTruth
    from onnxsearch.search.found_records import FoundRecords
    from onnxsearch.search.fusion import Fusion
    from onnxsearch.search.refinement import Refinement
    from onnxsearch.search.retriever import Retriever
    from onnxsearch.types import Hit
    from onnxsearch.vectors.base import Match, Vectors

_RANKS = 1 << 20
"""Ranks in memory at once, of all models: about 150 MB. A ranking may be as long as the album."""
_QUERIES = 1024
"""Queries ranked at once, at most."""


@dataclass(frozen=True, slots=True)
class PoolRankings:
    """Ranks the pool for each query as a search does, with the vectors that are stored."""

    retriever: Retriever
    registry: EmbedderRegistry
    embedders: Sequence[Embedder]
    """The models that rank."""
    fusion: FusionChoice | None
    """None for the default one, and where there is one model only."""
    depth: int | None
    """Ranks of the pool that are looked at, the query not counted; None for all."""
    refinement: Refinement

    def __post_init__(self) -> None:
        if self.depth is not None:
            object.__setattr__(self, "depth", integer("depth", self.depth, least=1))
        check_whole(self.embedders, "evaluate does")
        as_fusion(self.fusion)
        if self.fusion is not None and len(self.embedders) == 1:
            raise InvalidArgumentError(
                f"fusion {self.fusion!r:.80} does nothing with a single model: leave it out"
            )

    def each(self, truth: GroundTruth) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Yield each query with the ids that every model finds, without the query's own.

        Raises:
            InvalidArgumentError: An image has no vector of a model.
        """
        fusion, records = as_fusion(self.fusion), self.retriever.catalog.records
        pool = {
            stored.key: id
            for batch in batched(sorted(truth.pool), 1024)
            for id, stored in records.find(batch).items()
        }
        for queries in batched(sorted(truth.right), self._queries_at_once(len(pool))):
            contexts = self._contexts(queries, fusion)
            moved = [self._moved_alone(each) for each in contexts]
            found = self._found(moved, queries, pool)
            together = found
            if len(self.embedders) > 1 and self.refinement.expand is not None:
                # The images that move a query are those which all models find, not each alone.
                jointly = [self.refinement.transformed(each, self.embedders) for each in contexts]
                together = self._found(jointly, queries, pool)
            for position, context in enumerate(contexts):
                rankings = {name: rows[position] for name, rows in found.items()}
                if len(rankings) > 1:
                    fused = {name: rows[position] for name, rows in together.items()}
                    rankings["+".join(rankings)] = fused_as_searched(fusion, fused)
                yield (
                    queries[position],
                    {
                        name: self._ids(context, moved[position], name, matches, pool)
                        for name, matches in rankings.items()
                    },
                )

    def _moved_alone(self, context: SearchContext) -> dict[str, Vectors]:
        """Return by model the vector that a search with this model alone looks for."""
        return {
            each.name: self.refinement.transformed(context, [each])[each.name]
            for each in self.embedders
        }

    def _found(
        self,
        moved: Sequence[Mapping[str, Vectors]],
        queries: Sequence[str],
        pool: Mapping[str, str],
    ) -> dict[str, list[list[Match]]]:
        """Return by model a ranking of the pool for each query."""
        return {
            e.name: self._ranked(e, np.stack([rows[e.name] for rows in moved]), queries, pool)
            for e in self.embedders
        }

    def _contexts(self, queries: Sequence[str], fusion: Fusion) -> list[SearchContext]:
        """Return for each query what its refinements see: the album without the query."""
        further = map(self.registry.named, self.refinement.models)
        embedders = {embedder.name: embedder for embedder in (*self.embedders, *further)}
        rows = {name: self._rows(each, queries) for name, each in embedders.items()}
        records = self.retriever.found_records()
        return [
            SearchContext(
                Query.id(query),
                {name: found[query] for name, found in rows.items()},
                None,
                Omission(frozenset([query])),
                self.registry,
                self.retriever,
                records,
                fusion,
            )
            for query in queries
        ]

    def _rows(self, embedder: Embedder, ids: Sequence[str]) -> Mapping[str, Vectors]:
        rows = self.retriever.rows(embedder, ids)
        missing = [id for id in ids if id not in rows]
        if missing:
            raise InvalidArgumentError(
                f"image {missing[0]!r} has no vector of model {embedder.name!r}: "
                f"engine.backfill({embedder.name!r}) adds what is missing"
            )
        return rows

    def _ranked(
        self, embedder: Embedder, matrix: Vectors, queries: Sequence[str], pool: Mapping[str, str]
    ) -> list[list[Match]]:
        """Return a ranking of the pool for each query, as deep as it is looked at or fused."""
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

    def _ids(
        self,
        context: SearchContext,
        moved: Mapping[str, Vectors],
        name: str,
        ranking: Sequence[Match],
        pool: Mapping[str, str],
    ) -> list[str]:
        """Return the ids of one ranking, with the first of them reordered."""
        reordering = self.refinement.reordering(context)
        first, others = ranking[: reordering.first], ranking[reordering.first :]
        hits = reordering.reordered(self._hits(context.records, moved, name, first))
        return [*(hit.id for hit in hits), *(pool[match.key] for match in others)][: self.depth]

    def _hits(
        self,
        records: FoundRecords,
        moved: Mapping[str, Vectors],
        name: str,
        ranking: Sequence[Match],
    ) -> list[Hit]:
        known = records.read([match.key for match in ranking])
        # What is removed meanwhile is not found any more.
        present = [match for match in ranking if match.key in known]
        if name not in moved:
            return [*fused_hits(name, present, records).values()]
        embedder = self.registry.named(name)
        length = length_of(embedder.metric, moved[name])
        return [found_hit(embedder, each, records[each.key], length) for each in present]

    @property
    def _ranks(self) -> float:
        """How many ranks of the pool are needed."""
        if self.depth is None:
            return math.inf
        return ranks_for(max(self.depth, self.refinement.reordered), len(self.embedders))

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
