"""Retrieval: from query vectors to hits, by way of the vector store and the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from onnxsearch.catalog.catalog import Catalog
from onnxsearch.embedders.regions import searched_by_region
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.search.diversity import most_diverse
from onnxsearch.search.found_records import FoundRecords
from onnxsearch.search.fusion import (
    DEEPENING,
    FUSED_RANKS,
    extended,
    fused_as_searched,
    ranks_for,
)
from onnxsearch.search.hits import found_hit, fused_hits
from onnxsearch.search.omission import NOTHING, Omission
from onnxsearch.search.regions import located, region_ranker
from onnxsearch.search.reordering import AS_RANKED, NO_KEYS, Reordering
from onnxsearch.search.results import SearchResults
from onnxsearch.search.similarity import length_of
from onnxsearch.types import Hit, Metric

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.filters import Filter
    from onnxsearch.search.fusion import Fusion
    from onnxsearch.search.selection import Selection
    from onnxsearch.vectors.base import Match, Vectors, VectorStore

_ROUNDS = 10
"""Maximum number of searches for one call, however busy the writers are."""


Ranker: TypeAlias = "Callable[[int], list[list[Match]]]"
"""Returns for each query of a search the rows that come first, best first, as many as asked."""


class _Ranking(NamedTuple):
    """The nearest images of one query, as deep as was asked for."""

    matches: list[Match]
    is_whole: bool
    """Whether these are all that match."""


@dataclass(frozen=True, slots=True)
class Retriever:
    """Searches a catalog."""

    catalog: Catalog
    vectors: VectorStore
    reading: ReadPolicy = READ_STRICTLY
    """How reports on the results open image files."""

    def search(
        self,
        embedder: Embedder,
        queries: Vectors,
        selection: Selection,
        omissions: Sequence[Omission] = (),
        reordering: Reordering = AS_RANKED,
        records: FoundRecords | None = None,
    ) -> list[SearchResults]:
        """Return the results for each row of `queries`.

        Args:
            embedder: The model of the queries.
            queries: Of shape (n, columns).
            selection: Which of the nearest images are returned.
            omissions: For each row which images are left out; by default none.
            reordering: How the nearest images are reordered before they are chosen from.
            records: Records that the search has read before, if any.

        Raises:
            InvalidArgumentError: The store cannot look as deep.
        """
        left_out = omissions or [NOTHING] * len(queries)
        lengths = [length_of(embedder.metric, query) for query in queries]
        rankers = {embedder.name: self.ranker(embedder, queries, selection.filter)}
        records = records or self.found_records()
        rankings: list[_Ranking] = []
        hits: list[list[Hit]] = []
        for depth in self.depths(max(selection.wanted, reordering.first)):
            rankings = self._ranked(rankers, depth, left_out, records)[embedder.name]
            hits = [
                [found_hit(embedder, match, records[match.key], length) for match in r.matches]
                for r, length in zip(rankings, lengths, strict=True)
            ]
            if all(
                selection.is_served_by(each, reordering) or ranking.is_whole
                for each, ranking in zip(hits, rankings, strict=True)
            ):
                break
        else:
            self._check_deep_enough(hits, selection)
        keys = {
            hit.id: match.key
            for found, ranking in zip(hits, rankings, strict=True)
            for hit, match in zip(found, ranking.matches, strict=True)
        }
        reordering = reordering.among(keys)
        return [
            self._results(
                self._chosen(
                    embedder, query, selection.candidates(each, reordering), keys, selection
                ),
                selection,
                embedder.name,
                embedder.metric,
                located=partial(self._located, embedder, query, keys),
            )
            for query, each in zip(queries, hits, strict=True)
        ]

    def fused(
        self,
        rankers: Mapping[str, Ranker],
        fusion: Fusion,
        selection: Selection,
        omission: Omission = NOTHING,
        reordering: Reordering = AS_RANKED,
        records: FoundRecords | None = None,
    ) -> SearchResults:
        """Return one ranking of those of different models, by name, for one query.

        The first `FUSED_RANKS` of each model are fused. If that is not enough, what the
        fusion of deeper rankings adds comes after it; the order of the hits does not
        depend on how many are asked for.

        Raises:
            InvalidArgumentError: The store cannot look as deep.
        """
        name = "+".join(rankers)
        records = records or self.found_records()
        most = selection.looked_at(reordering)
        ranking: list[Match] = []
        hits: list[Hit] = []
        keys: dict[str, str] = {}
        for depth in self.depths(FUSED_RANKS):
            found = self._ranked(rankers, depth, [omission], records)
            rankings = {model: each for model, (each,) in found.items()}
            merged = fusion.merge({model: each.matches for model, each in rankings.items()})
            ranking = extended(ranking, merged)
            by_key = fused_hits(name, ranking, records, most)
            hits, keys = [*by_key.values()], {hit.id: key for key, hit in by_key.items()}
            is_whole = all(each.is_whole for each in rankings.values())
            if is_whole or selection.is_served_by(hits, reordering):
                break
        else:
            self._check_deep_enough([hits], selection)
        chosen = selection.candidates(hits, reordering.among(keys))
        return self._results(chosen, selection, name, None)

    def found_records(self) -> FoundRecords:
        """Return what reads the records of one search."""
        return FoundRecords(self.catalog.records)

    def ranker(self, embedder: Embedder, queries: Vectors, filter: Filter | None) -> Ranker:
        """Return what ranks a model's rows for queries of shape (n, columns)."""
        collection = self.catalog.collection(embedder.name)
        if (model := searched_by_region(embedder)) is not None:
            return region_ranker(self.vectors, collection, model, queries, filter)
        return partial(self.vectors.search, collection, queries, filter=filter)

    def nearest(
        self,
        rankers: Mapping[str, Ranker],
        fusion: Fusion,
        count: int,
        omission: Omission,
        records: FoundRecords,
    ) -> list[str]:
        """Return the keys of the first images, best first, that `search` or `fused` finds.

        Args:
            rankers: What ranks for one query, by model.
            fusion: How several rankings are fused.
            count: How many, at most.
            omission: The images that take no part.
            records: What the search has read of records.
        """
        if not count:
            return []
        found = self._ranked(rankers, ranks_for(count, len(rankers)), [omission], records)
        rankings = {model: ranking.matches for model, (ranking,) in found.items()}
        if len(rankings) == 1:
            (nearest,) = rankings.values()
        else:
            nearest = fused_as_searched(fusion, rankings)
        return [match.key for match in nearest[:count]]

    def present_rows(self, embedder: Embedder, keys: Sequence[str]) -> Vectors:
        """Return the vectors of images in the order of their keys, of shape (n, columns).

        Images without one, such as those removed since they were found, are left out.
        """
        rows = self.vectors.fetch(self.catalog.collection(embedder.name), keys)
        present = [rows[key] for key in keys if key in rows]
        return np.array(present, embedder.metric.dtype).reshape(len(present), embedder.columns)

    def rows(
        self, embedder: Embedder, ids: Sequence[str], known: Mapping[str, str] = NO_KEYS
    ) -> dict[str, Vectors]:
        """Return the stored vectors by id, each of shape (columns,); absent ones are left out.

        Args:
            embedder: The model of the vectors.
            ids: The images.
            known: Keys that images had a moment ago, by id: their records are not read again.
        """
        found = self._fetched(embedder, {id: known[id] for id in ids if id in known})
        # An image that was replaced since has another key.
        if lacking := [id for id in ids if id not in found]:
            keys = {id: stored.key for id, stored in self.catalog.records.find(lacking).items()}
            found |= self._fetched(embedder, keys)
        return found

    def _fetched(self, embedder: Embedder, keys: Mapping[str, str]) -> dict[str, Vectors]:
        if not keys:
            return {}
        found = self.vectors.fetch(self.catalog.collection(embedder.name), list(keys.values()))
        return {id: found[key] for id, key in keys.items() if key in found}

    def depths(self, first: int) -> Iterator[int]:
        """Yield the numbers of rows to ask for: `first`, then more, up to the store's limit."""
        depth = first
        while self.vectors.max_rows is None or depth < self.vectors.max_rows:
            yield depth
            depth *= DEEPENING
        yield self.vectors.max_rows

    def _results(
        self,
        hits: Sequence[Hit],
        selection: Selection,
        model: str,
        metric: Metric | None,
        located: Callable[[Sequence[Hit]], Sequence[Hit]] = lambda hits: hits,
    ) -> SearchResults:
        page = tuple(located(hits[selection.offset : selection.end]))
        return SearchResults(page, model, metric, self.reading)

    def _located(
        self, embedder: Embedder, query: Vectors, keys: Mapping[str, str], hits: Sequence[Hit]
    ) -> Sequence[Hit]:
        """Return hits with the region that was found, where regions are searched."""
        model = searched_by_region(embedder)
        if model is None or not hits:
            return hits
        return located(model, query, hits, self.rows(embedder, [hit.id for hit in hits], keys))

    def _chosen(
        self,
        embedder: Embedder,
        query: Vectors,
        hits: Sequence[Hit],
        keys: Mapping[str, str],
        selection: Selection,
    ) -> Sequence[Hit]:
        """Return the hits in the order in which diversity chooses them."""
        if not selection.diversity:
            return hits
        rows = self.rows(embedder, [hit.id for hit in hits], keys)
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
                f"{selection}: {self.vectors!r} returns at most {most} rows a search, and these "
                "hold too few such images. Ask for fewer, or exclude others with a filter"
            )

    def _at_most(self, depth: int) -> int:
        return depth if self.vectors.max_rows is None else min(depth, self.vectors.max_rows)

    def _ranked(
        self,
        rankers: Mapping[str, Ranker],
        depth: int,
        omissions: Sequence[Omission],
        records: FoundRecords,
    ) -> dict[str, list[_Ranking]]:
        """Return by ranker the first `depth` images for each query, whose records are read.

        Images that are left out take no rank: the store is asked for more rows instead.
        """
        self.catalog.identity.confirm()
        found: dict[str, list[_Ranking]] = {}
        # Images that are left out are often the nearest ones.
        most = max(map(len, omissions), default=0)
        for width in self.depths(depth + min(most, depth)):
            rows = self._rows(rankers, width, records)
            found = {
                model: [
                    _Ranking(
                        [match for match in matches if records.is_shown(match.key, out)],
                        is_whole=len(matches) < width,
                    )
                    for matches, out in zip(several, omissions, strict=True)
                ]
                for model, several in rows.items()
            }
            if all(
                ranking.is_whole or len(ranking.matches) >= depth
                for rankings in found.values()
                for ranking in rankings
            ):
                break
        return {model: [_cut(each, depth) for each in several] for model, several in found.items()}

    def _rows(
        self, rankers: Mapping[str, Ranker], width: int, records: FoundRecords
    ) -> dict[str, list[list[Match]]]:
        """Return by ranker the first `width` rows that have records, and read these."""
        known: Set[str] = frozenset()
        asked = self._at_most(width)
        dropped: set[str] = set()
        found: dict[str, list[list[Match]]] = {}
        for _ in range(_ROUNDS):
            found = {name: ranker(asked) for name, ranker in rankers.items()}
            keys = {
                match.key
                for rankings in found.values()
                for matches in rankings
                for match in matches
            }
            # All of them again: what had a record a round ago may have a successor in this one.
            known = records.read(keys)
            # A row without record belongs to a write that is under way, or to one that
            # was replaced a moment ago. Ask again, and for as many more, until nothing
            # new of that kind turns up: then all that is acknowledged has been seen.
            without = keys - known
            if without <= dropped:
                break
            dropped |= without
            asked = self._at_most(width + len(dropped))
        return {
            model: [[match for match in r if match.key in known][:width] for r in rankings]
            for model, rankings in found.items()
        }


def _cut(ranking: _Ranking, depth: int) -> _Ranking:
    """Return the first `depth` ranks of a ranking."""
    return _Ranking(ranking.matches[:depth], ranking.is_whole and len(ranking.matches) <= depth)
