"""Reranking: a second look at the first hits of a search."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction
from itertools import islice
from typing import TypeAlias

import numpy as np

from onnxsearch._internal.validation import finite, integer, text
from onnxsearch.embedders.regions import searched_by_region
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.query import QueryInput
from onnxsearch.search.reordering import Reordering
from onnxsearch.search.search_context import SearchContext
from onnxsearch.types import Hit
from onnxsearch.vectors.exact_search import pair_distances

_FIRST = 100
"""Hits that are looked at again by default: what a coarse model ranks lower is seldom wanted."""
_MOST = 10_000
"""Hits that are looked at again, at most: their vectors are in memory at once."""

RerankFunction: TypeAlias = "Callable[[QueryInput, Sequence[Hit]], Iterable[float]]"
"""A function that scores hits: it is given the query and the hits, best first, and returns a
finite number for each hit in their order, higher for a better one."""


class Rerank(ABC):
    """How the first hits of a search are looked at again, and reordered.

    They come in the order of new scores, `Hit.rerank_score`, the best first; equal ones stay in
    their order. The hits after them follow unchanged. Distance, score and model of every hit
    stay those of the search that found it.

    Example:
        >>> engine.search("query.jpg", model="fast", rerank=Rerank.by_model("strong", first=50))
        >>> newest_first = Rerank.by(lambda query, hits: [hit.metadata["year"] for hit in hits])
    """

    __slots__ = ()

    first: int
    """Hits that are reordered."""

    @property
    def models(self) -> Sequence[str]:
        """Names of the models that the query is encoded with for this."""
        return ()

    @abstractmethod
    def scores(self, context: SearchContext, hits: Sequence[Hit]) -> Sequence[float | None]:
        """Return a score for each hit, higher for a better one; None for one that has none."""

    @staticmethod
    def by_model(model: str, *, first: int = _FIRST) -> Rerank:
        """Score by another model of the engine, such as one that is better and slower to search.

        The query is encoded with it, and compared with the stored vectors of the hits; the score is
        that of its metric. Hits without a vector of this model come after the others. With the
        name of a model's regions, `NAME.regions`, the nearest region of a hit counts.

        Args:
            model: Name of the model.
            first: Hits that are reordered, from 1 to 10,000.
        """
        return ModelRerank(text("model", model, "the name of a model"), _checked_first(first))

    @staticmethod
    def by(function: RerankFunction, *, first: int = _FIRST) -> Rerank:
        """Score by a function of the query and of the hits.

        It is called once for a search that finds something, in the thread of the search. An error
        that it raises is raised by the search.

        Args:
            function: The function; see `RerankFunction`.
            first: Hits that are reordered, from 1 to 10,000.
        """
        return FunctionRerank(_checked_function("function", function), _checked_first(first))


RerankChoice: TypeAlias = "Rerank | RerankFunction"
"""A function stands for `Rerank.by(function)`."""


def as_rerank(choice: RerankChoice) -> Rerank:
    """Return what `choice` stands for.

    Raises:
        InvalidArgumentError: It is neither a `Rerank` nor a function.
    """
    if isinstance(choice, Rerank):
        return choice
    return FunctionRerank(_checked_function("rerank", choice), _FIRST)


def reordering_by(rule: Rerank, context: SearchContext) -> Reordering:
    """Return how a rule reorders the hits of one search."""

    def order(hits: Sequence[Hit], keys: Mapping[str, str]) -> Sequence[Hit]:
        found = replace(context, keys=keys)
        scored = [
            replace(hit, rerank_score=score)
            for hit, score in zip(hits, rule.scores(found, hits), strict=True)
        ]
        return sorted(scored, key=_by_score)

    return Reordering(rule.first, order)


@dataclass(frozen=True, slots=True)
class ModelRerank(Rerank):
    """By the stored vectors of another model."""

    model: str
    first: int

    @property
    def models(self) -> Sequence[str]:
        return (self.model,)

    def scores(self, context: SearchContext, hits: Sequence[Hit]) -> Sequence[float | None]:
        embedder = context.embedders.searched(self.model)
        rows = context.vectors(embedder, [hit.id for hit in hits])
        if not rows:
            return [None] * len(hits)
        if (model := searched_by_region(embedder)) is not None:
            nearest = {
                id: model.nearest_region(row, context.rows[self.model])[0]
                for id, row in rows.items()
            }
            return [
                embedder.metric.score(nearest[hit.id]) if hit.id in nearest else None
                for hit in hits
            ]
        matrix = np.stack(list(rows.values()))
        query = np.broadcast_to(context.rows[self.model], matrix.shape)
        distances: list[float] = pair_distances(embedder.metric, matrix, query).tolist()
        scores = dict(zip(rows, map(embedder.metric.score, distances), strict=True))
        return [scores.get(hit.id) for hit in hits]


@dataclass(frozen=True, slots=True)
class FunctionRerank(Rerank):
    """By what a function returns."""

    function: RerankFunction
    first: int

    def scores(self, context: SearchContext, hits: Sequence[Hit]) -> Sequence[float | None]:
        given = self.function(context.query, tuple(hits))
        called = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        refusal = f"rerank: {called} was given {len(hits)} hits and returned"
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise InvalidArgumentError(f"{refusal} {given!r:.80}: expected a number for each")
        # No further than it takes to notice that there are too many.
        scores = list(islice(given, len(hits) + 1))
        if len(scores) != len(hits):
            count = f"more than {len(hits)}" if len(scores) > len(hits) else f"{len(scores)}"
            raise InvalidArgumentError(f"{refusal} {count} numbers: expected one for each")
        return [
            finite(f"rerank: what {called} returned for {hit.id!r:.80},", score)
            for hit, score in zip(hits, scores, strict=True)
        ]


def _by_score(hit: Hit) -> float:
    return math.inf if hit.rerank_score is None else -hit.rerank_score


def _checked_first(first: int) -> int:
    return integer("first", first, least=1, most=_MOST)


def _checked_function(name: str, function: RerankFunction) -> RerankFunction:
    # A class is called to make one of its objects, and a coroutine to be awaited.
    given: object = function
    if not callable(given) or isinstance(given, type) or iscoroutinefunction(given):
        raise InvalidArgumentError(
            f"{name} {given!r:.80}: expected a Rerank, or a function of the query and the hits "
            "that returns a score for each"
        )
    return function
