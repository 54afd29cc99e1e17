"""Searches: a query is encoded, the store finds its neighbours, records become hits."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar, cast

import numpy as np

from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.embedders.base import Embedder
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import all_bytes, open_image
from onnxsearch.search.fusion import as_fusion
from onnxsearch.search.keywords import KEYWORDS, AloneFusion, KeywordRanker, Keywords
from onnxsearch.search.omission import Omission, own_images
from onnxsearch.search.query import Query
from onnxsearch.search.query_part import part_of
from onnxsearch.search.refinement import Refinement
from onnxsearch.search.regions import check_whole
from onnxsearch.search.results import SearchResults
from onnxsearch.search.retriever import Ranker, Retriever
from onnxsearch.search.search_context import SearchContext
from onnxsearch.search.selection import Selection
from onnxsearch.types import ImageInput

if TYPE_CHECKING:
    from onnxsearch.embedders.registry import EmbedderRegistry
    from onnxsearch.search.fusion import Fusion, FusionChoice
    from onnxsearch.search.query import QueryInput
    from onnxsearch.search.query_encoder import QueryEncoder
    from onnxsearch.vectors.base import Vectors


_QUERY_BYTES = 1 << 22
"""Bytes of the queries that the store is asked for at once, at most: 819 of 1,280 numbers."""
_HITS = 1 << 16
"""Hits that are wanted for all of these queries, at most: about 30 MB."""

_Query = TypeVar("_Query", bound="QueryInput")


class _Embedded(NamedTuple):
    """Queries as vectors, and for each the images that its results leave out."""

    matrix: Vectors
    omissions: list[Omission]


@dataclass(frozen=True, slots=True)
class Searcher:
    """Answers queries with one model, or with the fusion of different ones."""

    embedders: EmbedderRegistry
    encoder: QueryEncoder
    retriever: Retriever
    workers: int
    """Threads that embed, in `search_many`."""
    batch_size: int
    """Images that one of them embeds at once."""

    def search(
        self,
        query: QueryInput | None,
        selection: Selection,
        refinement: Refinement,
        *,
        model: str | None,
        models: Sequence[str] | None,
        fusion: FusionChoice | None,
    ) -> SearchResults:
        """Return what `SearchEngine.search` returns; None asks for keywords alone."""
        refinement.check_with(selection)
        if query is None:
            _check_alone(selection, refinement, model, models, fusion)
            return self._by_words(selection, cast("Keywords", refinement.words))
        if models is None and refinement.words is None:
            if fusion is not None:
                raise InvalidArgumentError(
                    f"fusion {fusion!r:.80} does nothing without models=[...] or keywords: name "
                    "the models to fuse, or leave it out"
                )
            (embedder,) = self._searched_instead([self.embedders.searched(model)], refinement)
            _check_whole([embedder], selection, refinement)
            return self._by_one(embedder, query, selection, refinement)
        if selection.max_distance is not None or selection.diversity:
            raise InvalidArgumentError(
                "models=[...] and keywords do not go with max_distance or diversity: those speak "
                "of one model's distances"
            )
        if models is None:
            chosen = [self.embedders.searched(model)]
        elif model is None:
            chosen = self.embedders.selected(models)
        else:
            raise InvalidArgumentError("models=[...] does not go with model: expected one of them")
        chosen = self._searched_instead(chosen, refinement)
        _check_whole(chosen, selection, refinement)
        return self._by_several(chosen, as_fusion(fusion), query, selection, refinement)

    def _searched_instead(
        self, embedders: Sequence[Embedder], refinement: Refinement
    ) -> list[Embedder]:
        """Return the models that are searched where these were named."""
        names = [embedder.name for embedder in embedders]
        searched = refinement.searched(names)
        return self.embedders.selected(searched) if searched != names else list(embedders)

    def _by_words(self, selection: Selection, keywords: Keywords) -> SearchResults:
        ranker = KeywordRanker(self.retriever.catalog, keywords, selection.filter)
        left_out = Omission(selection.excluded)
        return self.retriever.fused({KEYWORDS: ranker}, AloneFusion(), selection, left_out)

    def _by_one(
        self, embedder: Embedder, query: QueryInput, selection: Selection, refinement: Refinement
    ) -> SearchResults:
        context = self._context(query, [embedder], as_fusion(None), selection, refinement)
        rows = refinement.transformed(context, [embedder])[embedder.name][np.newaxis]
        reordering = refinement.reordering(context)
        (results,) = self.retriever.search(
            embedder, rows, selection, [context.omission], reordering, context.records
        )
        return results

    def _by_several(
        self,
        embedders: Sequence[Embedder],
        fusion: Fusion,
        query: QueryInput,
        selection: Selection,
        refinement: Refinement,
    ) -> SearchResults:
        context = self._context(query, embedders, fusion, selection, refinement)
        rows = refinement.transformed(context, embedders)
        rankers = context.rankers(embedders, rows)
        reordering = refinement.reordering(context)
        return self.retriever.fused(
            rankers, fusion, selection, context.omission, reordering, context.records
        )

    def _context(
        self,
        query: QueryInput,
        embedders: Sequence[Embedder],
        fusion: Fusion,
        selection: Selection,
        refinement: Refinement,
    ) -> SearchContext:
        """Encode a query for all models that take part in its search."""
        query, omission = self.with_omission(query, selection)
        if hasattr(query, "read") and not refinement.is_nothing:
            query = all_bytes(cast("BinaryIO", query))  # it may be read again
        if refinement.part is not None:
            records, reading = self.retriever.catalog.records, self.encoder.reading
            query = part_of(query, refinement.part, records, reading)
        further = map(self.embedders.searched, refinement.models)
        chosen = {each.name: each for each in (*embedders, *further)}
        rows = self.encoder.vectors(query, list(chosen.values()))
        return SearchContext(
            query,
            rows,
            selection.filter,
            omission,
            self.embedders,
            self.retriever,
            self.retriever.found_records(),
            fusion,
            self._by_keywords(embedders, selection, refinement),
        )

    def _by_keywords(
        self, embedders: Sequence[Embedder], selection: Selection, refinement: Refinement
    ) -> dict[str, Ranker]:
        if refinement.words is None:
            return {}
        _check_names([embedder.name for embedder in embedders])
        ranker = KeywordRanker(self.retriever.catalog, refinement.words, selection.filter)
        return {KEYWORDS: ranker}

    def by_each(
        self, queries: Sequence[QueryInput], embedders: Sequence[Embedder], selection: Selection
    ) -> Iterator[Mapping[str, SearchResults]]:
        """Yield for each query what each model finds, by its name.

        An image is decoded once. Several queries are encoded by all workers, and each model's
        store is asked for many of them at once.
        """
        alone = len(queries) == 1
        views = embedders if alone else [e.parallel(self.workers) for e in embedders]
        size = min(most_at_once(embedder, selection) for embedder in embedders)

        def encode(query: QueryInput) -> tuple[dict[str, Vectors], Omission]:
            query, omission = self.with_omission(query, selection)
            return self.encoder.vectors(query, views), omission

        for batch in batched(queries, size):
            encoded = (
                map(encode, batch) if alone else ordered_map(encode, batch, workers=self.workers)
            )
            rows, omissions = zip(*encoded, strict=True)
            found = {
                e.name: self.retriever.search(
                    e, np.stack([each[e.name] for each in rows]), selection, omissions
                )
                for e in embedders
            }
            for place in range(len(batch)):
                yield {name: results[place] for name, results in found.items()}

    def search_many(
        self, images: Iterable[ImageInput], selection: Selection, *, model: str | None
    ) -> Iterator[SearchResults]:
        """Return an iterator over the results of each image, in order.

        Arguments are checked at once, not when the first result is taken.
        """
        embedder = self.embedders.searched(model)
        single = isinstance(images, str | bytes | bytearray | os.PathLike) or (
            isinstance(images, np.ndarray) and images.ndim < 4
        )
        if single or hasattr(images, "read") or not isinstance(images, Iterable):
            raise InvalidArgumentError(
                f"search_many was given images of type {type(images).__name__}: expected an "
                "iterable of images. For one image use search()"
            )
        return self._results(embedder, images, selection)

    def _results(
        self, embedder: Embedder, images: Iterable[ImageInput], selection: Selection
    ) -> Iterator[SearchResults]:
        view = embedder.parallel(self.workers)
        batches = batched(images, self.batch_size)
        embedded = ordered_map(
            lambda batch: self._embed(view, batch, selection), batches, workers=self.workers
        )
        pending: list[_Embedded] = []
        most = ceil(most_at_once(embedder, selection) / self.batch_size)
        # Images that are there already are searched for at once. Of those that are still to come,
        # the first results come early, and later ones many at a time.
        wanted = most if isinstance(images, Sized) else 1
        try:
            for batch in embedded:
                pending.append(batch)
                if len(pending) >= wanted:
                    ready, pending = pending, []
                    yield from self._searched(embedder, ready, selection)
                    wanted = min(2 * wanted, most)
        except Exception:
            # An image that cannot be used does not cost the results of the ones before it.
            yield from self._searched(embedder, pending, selection)
            raise
        yield from self._searched(embedder, pending, selection)

    def _searched(
        self, embedder: Embedder, embedded: Sequence[_Embedded], selection: Selection
    ) -> list[SearchResults]:
        if not embedded:
            return []
        matrix = np.concatenate([batch.matrix for batch in embedded])
        omissions = [omission for batch in embedded for omission in batch.omissions]
        return self.retriever.search(embedder, matrix, selection, omissions)

    def _embed(
        self, embedder: Embedder, batch: Iterable[ImageInput], selection: Selection
    ) -> _Embedded:
        images, omissions = zip(
            *(self.with_omission(image, selection) for image in batch), strict=True
        )
        reading = embedder.reading_for(self.encoder.reading)
        tensors = [embedder.prepare(open_image(image, reading)) for image in images]
        return _Embedded(embedder.embed_tensors(tensors), list(omissions))

    def with_omission(self, query: _Query, selection: Selection) -> tuple[_Query, Omission]:
        """Return a query that can be read, and the images that its results leave out."""
        given = Omission(selection.excluded)
        if not selection.exclude_query:
            return query, given
        if hasattr(query, "read"):
            query = cast("_Query", all_bytes(cast("BinaryIO", query)))
        records, reading = self.retriever.catalog.records, self.encoder.reading
        return query, given | own_images(query, records, reading)


def most_at_once(embedder: Embedder, selection: Selection) -> int:
    """Return how many queries the store is asked for at once, so that memory is bounded."""
    width = embedder.columns * embedder.metric.dtype.itemsize
    return max(1, min(_QUERY_BYTES // width, _HITS // selection.wanted))


def one_query(
    query: QueryInput | None, text: str | None, refinement: Refinement
) -> QueryInput | None:
    """Return the query that a caller gave in one of two ways; None for keywords alone.

    Raises:
        InvalidArgumentError: Neither way was used, or both.
    """
    if query is not None and text is not None:
        raise InvalidArgumentError(
            "search was given two queries, one of them as text=...: expected one query"
        )
    if text is not None:
        return Query.text(text)
    if query is None and refinement.keywords is None:
        raise InvalidArgumentError(
            "search was given no query: expected one query, which is an image, a Query, or "
            "text=...; or keywords=..."
        )
    return query


def _check_names(models: Collection[str]) -> None:
    """Raise `InvalidArgumentError` if a model has the name of the ranking by keywords."""
    if KEYWORDS in models:
        raise InvalidArgumentError(
            f"a model is named {KEYWORDS!r}, as the ranking by keywords is: give it another name "
            "to search with both"
        )


def _check_whole(
    embedders: Sequence[Embedder], selection: Selection, refinement: Refinement
) -> None:
    """Raise `InvalidArgumentError` for what needs one vector of an image, if there are several."""
    if selection.diversity or refinement.expand:
        check_whole(embedders, "expand and diversity do")


def _check_alone(
    selection: Selection,
    refinement: Refinement,
    model: str | None,
    models: Sequence[str] | None,
    fusion: FusionChoice | None,
) -> None:
    """Check the arguments of a search by keywords alone.

    Raises:
        InvalidArgumentError: One needs a query.
    """
    given = {
        "model": model is not None,
        "models": models is not None,
        "fusion": fusion is not None,
        "exclude_query": selection.exclude_query,
        "max_distance": selection.max_distance is not None,
        "diversity": selection.diversity > 0,
        "expand": refinement.expand is not None,
        "rerank": refinement.rerank is not None,
        "box": refinement.box is not None,
    }
    if useless := [name for name, is_given in given.items() if is_given]:
        raise InvalidArgumentError(
            f"{', '.join(useless)} with keywords alone: expected a query beside them, such as an "
            "image, whose vector is compared"
        )
