"""Retrieval: from query vectors to hits, by way of the vector store and the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from onnxsearch.catalog.catalog import Catalog
from onnxsearch.embedders.regions import searched_by_region
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.search.diversity import most_diverse
from onnxsearch.search.fusion import (
    DEEPENING,
    FUSED_RANKS,
    extended,
    fused_as_searched,
    fused_ranks,
)
from onnxsearch.search.hits import found_hit, fused_hits
from onnxsearch.search.omission import NOTHING, Omission
from onnxsearch.search.regions import located, region_ranker
from onnxsearch.search.reordering import AS_RANKED, NO_KEYS, Reordering
from onnxsearch.search.results import SearchResults
from onnxsearch.search.similarity import length_of
from onnxsearch.types import Hit, Metric

if TYPE_CHECKING:
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.filters import Filter
    from onnxsearch.search.fusion import Fusion
    from onnxsearch.search.selection import Selection
    from onnxsearch.types import Record
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
    ) -> list[SearchResults]:
        """Return the results for each row of `queries`.

        Args:
            embedder: The model of the queries.
            queries: Of shape (n, columns).
            selection: Which of the nearest images are returned.
            omissions: For each row which images are left out; by default none.
            reordering: How the nearest images are reordered before they are chosen from.

        Raises:
            InvalidArgumentError: The store cannot look as deep.
        """
        left_out = omissions or [NOTHING] * len(queries)
        lengths = [length_of(embedder.metric, query) for query in queries]
        rankers = {embedder.name: self.ranker(embedder, queries, selection.filter)}
        hits: list[list[Hit]] = []
        known: Mapping[str, StoredImage] = {}
        for depth in self.depths(max(selection.wanted, reordering.first)):
            found, known = self._ranked(rankers, depth, left_out)
            rankings = found[embedder.name]
            hits = [
                [found_hit(embedder, match, known[match.key].record, length) for match in r.matches]
                for r, length in zip(rankings, lengths, strict=True)
            ]
            if all(
                selection.is_served_by(each, reordering) or ranking.is_whole
                for each, ranking in zip(hits, rankings, strict=True)
            ):
                break
        else:
            self._check_deep_enough(hits, selection)
        keys = _keys(known)
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
    ) -> SearchResults:
        """Return one ranking of those of different models, by name, for one query.

        The first `FUSED_RANKS` of each model are fused. If that is not enough, what the
        fusion of deeper rankings adds comes after it; the order of the hits does not
        depend on how many are asked for.

        Raises:
            InvalidArgumentError: The store cannot look as deep.
        """
        name = "+".join(rankers)
        records: dict[str, StoredImage] = {}
        ranking: list[Match] = []
        hits: list[Hit] = []
        for depth in self.depths(FUSED_RANKS):
            found, known = self._ranked(rankers, depth, [omission])
            rankings = {model: each for model, (each,) in found.items()}
            merged = fusion.merge({model: each.matches for model, each in rankings.items()})
            ranking = extended(ranking, merged)
            records.update(known)
            hits = fused_hits(name, ranking, records)
            is_whole = all(each.is_whole for each in rankings.values())
            if is_whole or selection.is_served_by(hits, reordering):
                break
        else:
            self._check_deep_enough([hits], selection)
        chosen = selection.candidates(hits, reordering.among(_keys(records)))
        return self._results(chosen, selection, name, None)

    def ranker(self, embedder: Embedder, queries: Vectors, filter: Filter | None) -> Ranker:
        """Return what ranks a model's rows for queries of shape (n, columns)."""
        collection = self.catalog.collection(embedder.name)
        if (model := searched_by_region(embedder)) is not None:
            return region_ranker(self.vectors, collection, model, queries, filter)
        return partial(self.vectors.search, collection, queries, filter=filter)

    def nearest(
        self, rankers: Mapping[str, Ranker], fusion: Fusion, count: int, omission: Omission
    ) -> list[str]:
        """Return the keys of the first images, best first, that `search` or `fused` finds.

        Args:
            rankers: What ranks for one query, by model.
            fusion: How several rankings are fused.
            count: How many, at most.
            omission: The images that take no part.
        """
        if not count:
            return []
        depth = count if len(rankers) == 1 else fused_ranks(count)
        found, _ = self._ranked(rankers, depth, [omission])
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
    ) -> tuple[dict[str, list[_Ranking]], Mapping[str, StoredImage]]:
        """Return by ranker the first `depth` images for each query, and their records.

        Images that are left out take no rank: the store is asked for more rows instead.
        """
        self.catalog.identity.confirm()
        found: dict[str, list[_Ranking]] = {}
        known: Mapping[str, StoredImage] = {}
        # Images that are left out are often the nearest ones.
        most = max(map(len, omissions), default=0)
        for width in self.depths(depth + min(most, depth)):
            rows, known = self._rows(rankers, width)
            found = {
                model: [
                    _Ranking(
                        [m for m in matches if self._is_shown(known[m.key].record, out)],
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
        return {
            model: [_cut(each, depth) for each in several] for model, several in found.items()
        }, known

    def _is_shown(self, record: Record, omission: Omission) -> bool:
        return self.catalog.records.is_live(record) and not omission.holds(record)

    def _rows(
        self, rankers: Mapping[str, Ranker], width: int
    ) -> tuple[dict[str, list[list[Match]]], Mapping[str, StoredImage]]:
        """Return by ranker the first `width` rows that have records, and these records."""
        known: Mapping[str, StoredImage] = {}
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
            known = self.catalog.records.resolve(list(keys))
            # A row without record belongs to a write that is under way, or to one that
            # was replaced a moment ago. Ask again, and for as many more, until nothing
            # new of that kind turns up: then all that is acknowledged has been seen.
            without = keys - known.keys()
            if without <= dropped:
                break
            dropped |= without
            asked = self._at_most(width + len(dropped))
        return {
            model: [[match for match in r if match.key in known][:width] for r in rankings]
            for model, rankings in found.items()
        }, known


def _keys(known: Mapping[str, StoredImage]) -> dict[str, str]:
    """Return by id the keys of images."""
    return {stored.record.id: key for key, stored in known.items()}


def _cut(ranking: _Ranking, depth: int) -> _Ranking:
    """Return the first `depth` ranks of a ranking."""
    return _Ranking(ranking.matches[:depth], ranking.is_whole and len(ranking.matches) <= depth)
