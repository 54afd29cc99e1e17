"""From query vectors to hits: nearest rows of the one store, records of the other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import integer, number
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import Filter, check_filter
from onnxsearch.search.diversity import most_diverse
from onnxsearch.search.results import SearchResults
from onnxsearch.types import Hit

if TYPE_CHECKING:
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.fusion import Fusion
    from onnxsearch.vectors.base import Match, Vectors, VectorStore

_ROUNDS = 10
"""Searches at most for one call, however busy the writers are."""

_POOL = 4
"""Hits to choose a diverse one from."""

_FUSED = 100
"""Ranks of each model that are fused at least: a picture that one model ranks low can
still come first on the others' account."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the ranked pictures a search returns."""

    limit: int = 10
    offset: int = 0
    filter: Filter | None = None
    max_distance: float | None = None
    group_by: str | None = None
    diversity: float = 0.0

    def __post_init__(self) -> None:
        if self.filter is not None:
            check_filter(self.filter)
        integer("limit", self.limit, least=1)
        integer("offset", self.offset, least=0)
        if self.max_distance is not None:
            number("max_distance", self.max_distance)
        if not isinstance(self.group_by, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"group_by {self.group_by!r:.80}: expected a field's name")
        number("diversity", self.diversity, least=0, most=1)

    @property
    def wanted(self) -> int:
        """How many hits it takes to serve this."""
        return (self.offset + self.limit) * (_POOL if self.diversity else 1)

    def candidates(self, ranking: SearchResults) -> list[Hit]:
        """Return the hits that may be returned, in order, as many as are wanted."""
        limit = math.inf if self.max_distance is None else self.max_distance
        hits = [hit for hit in ranking if hit.distance <= limit]
        if self.group_by is not None:
            hits = _first_of_each(hits, self.group_by)
        return hits[: self.wanted]

    def is_served_by(self, ranking: SearchResults, depth: int) -> bool:
        """Return whether a ranking of the first `depth` says all that there is to say."""
        if len(ranking) < depth or len(self.candidates(ranking)) == self.wanted:
            return True
        return self.max_distance is not None and ranking[-1].distance > self.max_distance


@dataclass(frozen=True, slots=True)
class Retriever:
    """Searches a catalog."""

    catalog: Catalog
    vectors: VectorStore

    def search(
        self, embedder: Embedder, queries: Vectors, selection: Selection
    ) -> list[SearchResults]:
        """Return the results for each row of `queries`."""

        def ranked(depth: int) -> list[SearchResults]:
            return self._ranked(embedder, queries, depth, selection.filter)

        rankings = self._deep_enough(ranked, selection, selection.wanted)
        chosen = [selection.candidates(ranking) for ranking in rankings]
        if selection.diversity:
            chosen = [
                self._diverse(embedder, query, hits, selection)
                for query, hits in zip(queries, chosen, strict=True)
            ]
        return [
            SearchResults(tuple(hits[selection.offset :]), embedder.name, embedder.metric)
            for hits in chosen
        ]

    def fused(
        self,
        embedders: Sequence[Embedder],
        query: Mapping[str, Vectors],
        fusion: Fusion,
        selection: Selection,
    ) -> SearchResults:
        """Return one ranking by several models; `query` holds a vector for each."""

        def ranked(depth: int) -> list[SearchResults]:
            rankings = {
                e.name: self._ranked(e, query[e.name][np.newaxis], depth, selection.filter)[0]
                for e in embedders
            }
            return [fusion.fuse(rankings)]

        depth = max(_FUSED, _POOL * selection.wanted)
        (ranking,) = self._deep_enough(ranked, selection, depth)
        hits = selection.candidates(ranking)[selection.offset :]
        return SearchResults(tuple(hits), ranking.model, ranking.metric)

    def rows(self, embedder: Embedder, ids: Sequence[str]) -> dict[str, Vectors]:
        """Return the stored vectors by id, each of shape (columns,); absent ones are left out."""
        keys = {id: stored.key for id, stored in self.catalog.records.find(ids).items()}
        collection = self.catalog.collection(embedder.name)
        found = self.vectors.fetch(collection, list(keys.values()))
        return {id: found[key] for id, key in keys.items() if key in found}

    def _diverse(
        self, embedder: Embedder, query: Vectors, hits: Sequence[Hit], selection: Selection
    ) -> list[Hit]:
        rows = self.rows(embedder, [hit.id for hit in hits])
        # One that was removed since it was found has no vector any more.
        there = [hit for hit in hits if hit.id in rows]
        if not there:
            return []
        matrix = np.stack([rows[hit.id] for hit in there])
        count = selection.offset + selection.limit
        order = most_diverse(embedder.metric, query, matrix, count, selection.diversity)
        return [there[position] for position in order]

    def _deep_enough(
        self, ranked: Callable[[int], list[SearchResults]], selection: Selection, depth: int
    ) -> list[SearchResults]:
        """Rank deeper and deeper until every ranking serves the selection.

        Raises:
            InvalidArgumentError: The store cannot look as deep.
        """
        while True:
            depth = self._at_most(depth)
            rankings = ranked(depth)
            if all(selection.is_served_by(ranking, depth) for ranking in rankings):
                return rankings
            if depth == self.vectors.max_rows:
                # Unless there are no more rows than that.
                if self.catalog.records.count() <= depth:
                    return rankings
                raise InvalidArgumentError(
                    f"limit {selection.limit}, offset {selection.offset}, max_distance "
                    f"{selection.max_distance}, group_by {selection.group_by!r}: {self.vectors!r} "
                    f"returns at most {depth} rows a search, and these hold too few such "
                    "pictures. Ask for fewer, or leave others out by a filter"
                )
            depth *= 4

    def _at_most(self, depth: int) -> int:
        return depth if self.vectors.max_rows is None else min(depth, self.vectors.max_rows)

    def _ranked(
        self, embedder: Embedder, queries: Vectors, depth: int, filter: Filter | None
    ) -> list[SearchResults]:
        """Return the nearest `depth` pictures for each query."""
        collection = self.catalog.collection(embedder.name)
        known: Mapping[str, StoredImage] = {}
        width = self._at_most(depth)
        dropped: set[str] = set()
        found: list[list[Match]] = []
        for _ in range(_ROUNDS):
            found = self.vectors.search(collection, queries, width, filter=filter)
            keys = {match.key for matches in found for match in matches}
            # All of them anew: what was there a round ago may have a successor in this one.
            known = self.catalog.records.resolve(list(keys))
            # A row without record belongs to a write that is under way, or to one that
            # was replaced a moment ago. Ask again, and for as many more, until nothing
            # new of that kind turns up: then all that is acknowledged has been seen.
            without = keys - known.keys()
            if without <= dropped:
                break
            dropped |= without
            width = self._at_most(depth + len(dropped))
        return [_results(embedder, matches, known, depth) for matches in found]


def _first_of_each(hits: Sequence[Hit], field: str) -> list[Hit]:
    """Keep the first hit of each value of a metadata field; without a value, all."""
    firsts: dict[str, Hit] = {}
    for place, hit in enumerate(hits):
        value = hit.metadata.get(field)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # 1 and 1.0 are one value, as they are to a filter
        # No value looks like this: JSON never begins with a hash sign.
        group = f"#{place}" if value is None else json.dumps(value, sort_keys=True)
        firsts.setdefault(group, hit)
    return list(firsts.values())


def _results(
    embedder: Embedder, matches: Sequence[Match], known: Mapping[str, StoredImage], limit: int
) -> SearchResults:
    hits = [_hit(embedder, match, known[match.key]) for match in matches if match.key in known]
    return SearchResults(tuple(hits[:limit]), embedder.name, embedder.metric)


def _hit(embedder: Embedder, match: Match, stored: StoredImage) -> Hit:
    return Hit(
        id=stored.record.id,
        uri=stored.record.uri,
        distance=match.distance,
        score=embedder.metric.score(match.distance),
        metadata=stored.record.metadata,
        model=embedder.name,
    )
