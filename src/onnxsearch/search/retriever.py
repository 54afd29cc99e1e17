"""Retrieval: from query vectors to hits, by way of the vector store and the records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import instance, integer, number
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import Filter, check_filter
from onnxsearch.filters.values import identity
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.search.diversity import POOL, most_diverse
from onnxsearch.search.fusion import DEEPENING, FUSED_RANKS, extended
from onnxsearch.search.results import SearchResults
from onnxsearch.types import Hit, Metric

if TYPE_CHECKING:
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.fusion import Fusion
    from onnxsearch.vectors.base import Match, Vectors, VectorStore

_ROUNDS = 10
"""Maximum number of searches for one call, however busy the writers are."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the ranked images a search returns."""

    limit: int = 10
    offset: int = 0
    filter: Filter | None = None
    max_distance: float | None = None
    group_by: str | None = None
    diversity: float = 0.0

    def __post_init__(self) -> None:
        if self.filter is not None:
            check_filter(self.filter)
        # As Python's own numbers: numpy's small integers overflow when they are added up.
        object.__setattr__(self, "limit", integer("limit", self.limit, least=1))
        object.__setattr__(self, "offset", integer("offset", self.offset, least=0))
        if self.max_distance is not None:
            object.__setattr__(self, "max_distance", number("max_distance", self.max_distance))
        if self.group_by is not None:
            instance("group_by", self.group_by, str, "the name of a metadata field")
        object.__setattr__(self, "diversity", number("diversity", self.diversity, least=0, most=1))

    @property
    def end(self) -> int:
        """The rank of the last hit that is returned."""
        return self.offset + self.limit

    @property
    def wanted(self) -> int:
        """How many candidates it takes to serve this: for diversity whole pools."""
        return math.ceil(self.end / POOL) * POOL if self.diversity else self.end

    def candidates(self, ranking: Sequence[Hit]) -> list[Hit]:
        """Return the hits that may be returned, in order, as many as are wanted."""
        limit = math.inf if self.max_distance is None else self.max_distance
        hits = [hit for hit in ranking if hit.distance <= limit]
        if self.group_by is not None:
            hits = _first_of_each(hits, self.group_by)
        return hits[: self.wanted]

    def is_served_by(self, ranking: Sequence[Hit]) -> bool:
        """Return whether a deeper ranking would give the same candidates."""
        if len(self.candidates(ranking)) == self.wanted:
            return True
        limit = math.inf if self.max_distance is None else self.max_distance
        return bool(ranking) and ranking[-1].distance > limit


@dataclass(frozen=True, slots=True)
class Retriever:
    """Searches a catalog."""

    catalog: Catalog
    vectors: VectorStore
    reading: ReadPolicy = READ_STRICTLY
    """How reports on the results open image files."""

    def search(
        self, embedder: Embedder, queries: Vectors, selection: Selection
    ) -> list[SearchResults]:
        """Return the results for each row of `queries`.

        Raises:
            InvalidArgumentError: The store cannot look as deep.
        """
        hits: list[list[Hit]] = []
        for depth in self.depths(selection.wanted):
            found, known = self._ranked({embedder.name: queries}, depth, selection.filter)
            rankings = found[embedder.name]
            hits = [[_hit(embedder, match, known[match.key]) for match in r] for r in rankings]
            if all(
                selection.is_served_by(each) or _is_whole(ranking, depth)
                for each, ranking in zip(hits, rankings, strict=True)
            ):
                break
        else:
            self._check_deep_enough(hits, selection)
        return [
            self._results(
                self._chosen(embedder, query, selection.candidates(each), selection),
                selection,
                embedder.name,
                embedder.metric,
            )
            for query, each in zip(queries, hits, strict=True)
        ]

    def fused(
        self,
        embedders: Sequence[Embedder],
        query: Mapping[str, Vectors],
        fusion: Fusion,
        selection: Selection,
    ) -> SearchResults:
        """Return one ranking by different models; `query` holds a vector for each.

        The first `FUSED_RANKS` of each model are fused. If that is not enough, what the
        fusion of deeper rankings adds comes after it; the order of the hits does not
        depend on how many are asked for.

        Raises:
            InvalidArgumentError: The store cannot look as deep.
        """
        name = "+".join(embedder.name for embedder in embedders)
        queries = {model: row[np.newaxis] for model, row in query.items()}
        records: dict[str, StoredImage] = {}
        ranking: list[Match] = []
        hits: list[Hit] = []
        for depth in self.depths(FUSED_RANKS):
            found, known = self._ranked(queries, depth, selection.filter)
            rankings = {model: matches for model, (matches,) in found.items()}
            ranking = extended(ranking, fusion.merge(rankings))
            records.update(known)
            hits = _fused_hits(name, ranking, records)
            if selection.is_served_by(hits) or all(
                _is_whole(matches, depth) for matches in rankings.values()
            ):
                break
        else:
            self._check_deep_enough([hits], selection)
        return self._results(selection.candidates(hits), selection, name, None)

    def rows(self, embedder: Embedder, ids: Sequence[str]) -> dict[str, Vectors]:
        """Return the stored vectors by id, each of shape (columns,); absent ones are left out."""
        keys = {id: stored.key for id, stored in self.catalog.records.find(ids).items()}
        collection = self.catalog.collection(embedder.name)
        found = self.vectors.fetch(collection, list(keys.values()))
        return {id: found[key] for id, key in keys.items() if key in found}

    def depths(self, first: int) -> Iterator[int]:
        """Yield the numbers of rows to ask for: `first`, then more, up to the store's limit."""
        depth = first
        while self.vectors.max_rows is None or depth < self.vectors.max_rows:
            yield depth
            depth *= DEEPENING
        yield self.vectors.max_rows

    def _results(
        self, hits: Sequence[Hit], selection: Selection, model: str, metric: Metric | None
    ) -> SearchResults:
        page = tuple(hits[selection.offset : selection.end])
        return SearchResults(page, model, metric, self.reading)

    def _chosen(
        self, embedder: Embedder, query: Vectors, hits: Sequence[Hit], selection: Selection
    ) -> Sequence[Hit]:
        """Return the hits in the order in which diversity chooses them."""
        if not selection.diversity:
            return hits
        rows = self.rows(embedder, [hit.id for hit in hits])
        # An image that was removed since it was found has no vector any more.
        present = [hit for hit in hits if hit.id in rows]
        if not present:
            return []
        matrix = np.stack([rows[hit.id] for hit in present])
        order = most_diverse(embedder.metric, query, matrix, selection.end, selection.diversity)
        return [present[position] for position in order]

    def _check_deep_enough(self, rankings: Sequence[Sequence[Hit]], selection: Selection) -> None:
        """Check rankings that are as deep as the store can look.

        Raises:
            InvalidArgumentError: One is too short, and rows are left that it lacks.
        """
        short = any(len(selection.candidates(ranking)) < selection.end for ranking in rankings)
        most = self.vectors.max_rows
        if short and most is not None and self.catalog.records.count() > most:
            raise InvalidArgumentError(
                f"limit {selection.limit}, offset {selection.offset}, max_distance "
                f"{selection.max_distance}, group_by {selection.group_by!r}: {self.vectors!r} "
                f"returns at most {most} rows a search, and these hold too few such "
                "images. Ask for fewer, or exclude others with a filter"
            )

    def _at_most(self, depth: int) -> int:
        return depth if self.vectors.max_rows is None else min(depth, self.vectors.max_rows)

    def _ranked(
        self, queries: Mapping[str, Vectors], depth: int, filter: Filter | None
    ) -> tuple[dict[str, list[list[Match]]], Mapping[str, StoredImage]]:
        """Return by model the nearest `depth` images for each of its queries, and their records."""
        self.catalog.identity.confirm()
        collections = {model: self.catalog.collection(model) for model in queries}
        known: Mapping[str, StoredImage] = {}
        width = self._at_most(depth)
        dropped: set[str] = set()
        found: dict[str, list[list[Match]]] = {}
        for _ in range(_ROUNDS):
            found = {
                model: self.vectors.search(collections[model], rows, width, filter=filter)
                for model, rows in queries.items()
            }
            keys = {
                match.key
                for rankings in found.values()
                for matches in rankings
                for match in matches
            }
            # All of them again: what had a record a round ago may have a successor in this one.
            known = self.catalog.records.resolve(list(keys))
            # A row without record belongs to a write that is under way, or to one that
            # was replaced a moment ago. Ask again, and for as many more, until nothing
            # new of that kind turns up: then all that is acknowledged has been seen.
            without = keys - known.keys()
            if without <= dropped:
                break
            dropped |= without
            width = self._at_most(depth + len(dropped))
        return {
            model: [[match for match in r if match.key in known][:depth] for r in rankings]
            for model, rankings in found.items()
        }, known


def _is_whole(ranking: Sequence[Match], depth: int) -> bool:
    """Return whether a ranking of at most `depth` rows holds all rows that match."""
    return len(ranking) < depth


def _first_of_each(hits: Sequence[Hit], field: str) -> list[Hit]:
    """Keep the first hit of each value of a metadata field; without a value, all."""
    firsts: dict[object, Hit] = {}
    for place, hit in enumerate(hits):
        value = hit.metadata.get(field)
        # A rank is never equal to the identity of a value, which is a pair.
        firsts.setdefault(place if value is None else identity(value), hit)
    return list(firsts.values())


def _hit(embedder: Embedder, match: Match, stored: StoredImage) -> Hit:
    return Hit(
        id=stored.record.id,
        uri=stored.record.uri,
        distance=match.distance,
        score=embedder.metric.score(match.distance),
        metadata=stored.record.metadata,
        model=embedder.name,
    )


def _fused_hits(
    models: str, ranking: Sequence[Match], records: Mapping[str, StoredImage]
) -> list[Hit]:
    hits: dict[str, Hit] = {}
    for match in ranking:
        record = records[match.key].record
        # An image that was replaced between two depths was found under both of its keys.
        hits.setdefault(
            record.id,
            Hit(
                id=record.id,
                uri=record.uri,
                distance=match.distance,
                score=1.0 - match.distance,
                metadata=record.metadata,
                model=models,
            ),
        )
    return list(hits.values())
