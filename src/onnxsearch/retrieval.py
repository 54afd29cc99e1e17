"""From query vectors to hits: nearest rows of the one store, records of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxsearch.consistency import Catalog
from onnxsearch.types import Hit, SearchResults

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.filters import Filter
    from onnxsearch.ledger import Stored
    from onnxsearch.vectors.base import Match, Vectors, VectorStore

_ROUNDS = 10
"""Searches at most for one call, however busy the writers are."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Searches a catalog."""

    catalog: Catalog
    vectors: VectorStore

    def search(
        self, embedder: Embedder, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[SearchResults]:
        """Return the results for each row of `queries`."""
        collection = self.catalog.collection(embedder.name)
        known: dict[str, Stored] = {}
        width = limit
        dropped: set[str] = set()
        found: list[list[Match]] = []
        for _ in range(_ROUNDS):
            found = self.vectors.search(collection, queries, width, filter=filter)
            keys = {match.key for matches in found for match in matches}
            known |= self.catalog.ledger.resolve([key for key in keys if key not in known])
            # A row without record belongs to a write that is under way, or to one that
            # was replaced a moment ago. Ask again, and for as many more, until nothing
            # new of that kind turns up: then all that is acknowledged has been seen.
            without = keys - known.keys()
            if without <= dropped:
                break
            dropped |= without
            width = limit + len(dropped)
        return [self._results(embedder, matches, known, limit) for matches in found]

    def _results(
        self, embedder: Embedder, matches: Sequence[Match], known: dict[str, Stored], limit: int
    ) -> SearchResults:
        hits = [_hit(embedder, match, known[match.key]) for match in matches if match.key in known]
        return SearchResults(tuple(hits[:limit]), embedder.name, embedder.metric)


def _hit(embedder: Embedder, match: Match, stored: Stored) -> Hit:
    return Hit(
        id=stored.record.id,
        uri=stored.record.uri,
        distance=match.distance,
        score=embedder.metric.score(match.distance),
        metadata=stored.record.metadata,
        model=embedder.name,
    )
