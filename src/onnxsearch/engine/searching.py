"""The part of the engine that answers queries."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.embedders.base import Embedder
from onnxsearch.engine.base import EngineBase
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.comparison import Answer, Comparison
from onnxsearch.search.fusion import as_fusion
from onnxsearch.search.query import Query
from onnxsearch.search.results import SearchResults
from onnxsearch.search.retriever import Selection
from onnxsearch.types import ImageInput

if TYPE_CHECKING:
    from onnxsearch.filters import Filter
    from onnxsearch.search.fusion import FusionChoice
    from onnxsearch.search.query import QueryInput


class Searching(EngineBase):
    """Searches, with one model or several."""

    def search(
        self,
        query: QueryInput | None = None,
        *,
        text: str | None = None,
        model: str | None = None,
        models: Sequence[str] | None = None,
        fusion: FusionChoice = "rrf",
        limit: int = 10,
        offset: int = 0,
        filter: Filter | None = None,
        max_distance: float | None = None,
        group_by: str | None = None,
        diversity: float = 0.0,
    ) -> SearchResults:
        """Return the pictures that are most like the query, nearest first.

        Args:
            query: A picture, or the path of one; or a `Query`: a stored picture by its
                id, a text, a vector, several examples. A picture need not be stored; if
                it is, it comes first, at distance 0.
            text: Short for `Query.text(text)`.
            model: Name of the model to search with; by default the first one.
            models: Names of several models instead, whose rankings are fused. A fused
                hit's distance is 1 - score, with a score from 0 to 1.
            fusion: How: `"rrf"`, `"scores"`, or a `Fusion` with weights.
            limit: How many pictures, at least 1. An engine with fewer gives all.
            offset: How many of the nearest to leave out, for the next page.
            filter: Leaves only pictures whose metadata match.
            max_distance: Leaves only pictures that are not further away.
            group_by: A metadata field: of the pictures with the same value only the
                nearest is given. A picture without that field stands for itself.
            diversity: Above 0, hits are chosen to be near the query and unlike each
                other, by maximal marginal relevance, and come in the order they were
                chosen; 1 cares for unlikeness only. For one model.

        Raises:
            ImageError: The picture cannot be used.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: Not exactly one query was given, or an argument is
                not as said.
            StoreError: A store failed.

        Example:
            >>> for hit in engine.search("query.jpg", limit=5):
            ...     print(f"{hit.distance:.3f}  {hit.uri}")
            >>> engine.search(Query.examples(like=["rose.jpg"], unlike=["cactus.jpg"]))
            >>> engine.search("query.jpg", models=["vgg16", "resnet50"])
        """
        self._check_open()
        query = _one_query(query, text)
        selection = Selection(limit, offset, filter, max_distance, group_by, diversity)
        if models is None:
            embedder = self._embedder(model)
            row = self._reader.vectors(query, [embedder])[embedder.name]
            return self._retrieval.search(embedder, row[np.newaxis], selection)[0]
        if model is not None or max_distance is not None or diversity:
            raise InvalidArgumentError(
                "models=[...] does not go with model, max_distance or diversity: those speak of "
                "one model's distances"
            )
        several = self._several(models)
        rows = self._reader.vectors(query, several)
        return self._retrieval.fused(several, rows, as_fusion(fusion), selection)

    def search_many(
        self,
        images: Iterable[ImageInput],
        *,
        model: str | None = None,
        limit: int = 10,
        filter: Filter | None = None,
    ) -> Iterator[SearchResults]:
        """Yield for each picture what `search` returns for it, in order.

        Much faster than one `search` after another: all cores embed, and the store
        is asked for many at once. Pictures are taken from an iterator as they are
        needed, and memory stays bounded.

        Raises:
            ImageError: A picture cannot be used; results of earlier ones were yielded.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: `limit` is below 1, or `images` is a single picture.
            StoreError: A store failed.
        """
        self._check_open()
        embedder = self._embedder(model)
        selection = Selection(limit, filter=filter)
        if isinstance(images, str | bytes | os.PathLike) or not isinstance(images, Iterable):
            raise InvalidArgumentError(
                f"search_many was given a {type(images).__name__}: expected an iterable of "
                "pictures. For one picture use search()"
            )
        return self._search_many(embedder, images, selection)

    def _search_many(
        self, embedder: Embedder, images: Iterable[ImageInput], selection: Selection
    ) -> Iterator[SearchResults]:
        view = embedder.parallel(self._workers)
        batches = batched(images, self._batch_size)
        matrices = ordered_map(lambda b: self._embed(view, b), batches, workers=self._workers)
        for matrix in matrices:
            yield from self._retrieval.search(embedder, matrix, selection)

    def compare(
        self,
        query: QueryInput | Sequence[QueryInput],
        *,
        models: Sequence[str] | None = None,
        limit: int = 10,
        filter: Filter | None = None,
    ) -> Comparison:
        """Ask several models the same, and tell how far their answers agree.

        A picture is decoded once for all models.

        Args:
            query: What `search` takes; or a list of such queries, whose measures are
                averaged.
            models: Names of the models, at least two; by default all.
            limit: How many pictures of each model. An engine with fewer gives all.
            filter: Leaves only pictures whose metadata match.

        Raises:
            ImageError: A picture cannot be used.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: There are fewer than two models, or no query.
            StoreError: A store failed.

        Example:
            >>> comparison = engine.compare("query.jpg", limit=10)
            >>> comparison.results["vgg16"][0].distance
            >>> comparison.overlap(5)
        """
        self._check_open()
        several = self._several(models)
        # A text is a sequence too, of texts.
        queries = query if isinstance(query, list | tuple) else [cast("QueryInput", query)]
        if len(several) < 2 or not queries:
            raise InvalidArgumentError(
                f"compare was given {len(queries)} queries and {len(several)} models: expected at "
                "least one query, and two models to compare"
            )
        selection = Selection(limit, filter=filter)
        answers = [self._answer(each, several, selection) for each in queries]
        return Comparison(tuple(answers), limit)

    def _answer(
        self, query: QueryInput, embedders: Sequence[Embedder], selection: Selection
    ) -> Answer:
        rows = self._reader.vectors(query, embedders)
        return Answer(
            query,
            {
                e.name: self._retrieval.search(e, rows[e.name][np.newaxis], selection)[0]
                for e in embedders
            },
        )


def _one_query(query: QueryInput | None, text: str | None) -> QueryInput:
    if text is not None and query is None:
        return Query.text(text)
    if query is None or text is not None:
        given = "no query" if query is None else "two queries, a text among them"
        raise InvalidArgumentError(
            f"search was given {given}: expected a picture, a Query, or text=..."
        )
    return query
