"""The operations that search: by image, words and ids; compare; duplicates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from starlette.responses import Response

from onnxsearch.async_engine import AsyncSearchEngine
from onnxsearch.search.query import Query, query_of
from onnxsearch.serving import parameters, schemas
from onnxsearch.serving.answers import json_response, unusable
from onnxsearch.serving.documents import Document, Documents, agreement
from onnxsearch.serving.limits import ServiceLimits
from onnxsearch.serving.operations import Call, Operation
from onnxsearch.serving.workers import Workers
from onnxsearch.types import JSONValue

if TYPE_CHECKING:
    from onnxsearch.search.fusion import FusionChoice
    from onnxsearch.search.query import QueryInput

_FILES = {
    "image": "An image to search with, any number of times; several are examples of one thing.",
    "unlike_image": "An image that the hits are to be unlike.",
}

_MOST_MEMBERS = 100
"""Images that are shown of a group of duplicates."""


class Searching:
    """Searches of one engine.

    Args:
        engine: The engine.
        workers: The threads that search.
        limits: How many hits a request may ask for.
    """

    def __init__(self, engine: AsyncSearchEngine, workers: Workers, limits: ServiceLimits) -> None:
        self._engine = engine
        self._workers = workers
        self._ids = parameters.ids("id", "A stored image to search with, by its id.")
        self._texts = parameters.texts("text", "Words to search with, for models that read text.")
        self._keywords = parameters.keywords(
            "keywords", "Words of metadata and file names: alone, or beside what is searched with."
        )
        self._unlike_ids = parameters.ids("unlike_id", "A stored image that hits are unlike.")
        self._model = parameters.text("model", "The model; by default the first one.")
        self._models = parameters.texts("models", "Several models, whose rankings are fused.")
        self._compared = parameters.texts("models", "Models to compare; by default all.")
        self._fusion = parameters.choice("fusion", "How they are fused.", ("rrf", "scores"))
        self._top_k = parameters.integer(
            "top_k", "Number of hits.", least=1, most=limits.top_k, default=10
        )
        self._offset = parameters.integer(
            "offset", "Nearest images to leave out.", least=0, most=limits.offset, default=0
        )
        self._filter = parameters.filter_text(
            "filter", "Only images whose metadata match, such as `price < 20`."
        )
        self._exclude = parameters.ids("exclude", "An image to leave out, by its id.")
        self._exclude_query = parameters.flag(
            "exclude_query", "Leave out the images that are searched with, and their copies."
        )
        self._max_distance = parameters.number("max_distance", "Leave out what is further away.")
        self._min_score = parameters.number("min_score", "Leave out what scores lower.")
        self._group_by = parameters.text("group_by", "One hit for each value of this field.")
        self._group_size = parameters.integer(
            "group_size", "With `group_by`: hits of each group.", least=1, most=limits.top_k,
            default=1,
        )  # fmt: skip
        self._diversity = parameters.number(
            "diversity", "Above 0, hits are unlike each other.", least=0, most=1
        )
        self._box = parameters.box(
            "box",
            "Searches with this part of the one image: its left, top, right and bottom edge, in "
            "pixels of the upright image, with commas between them.",
        )
        self._near = parameters.number("max_distance", "How far apart duplicates may be.", least=0)
        self._groups = parameters.integer(
            "limit",
            "Groups of one page.",
            least=1,
            most=limits.top_k,
            default=50,
        )

    def operations(self) -> list[Operation]:
        """Return the operations, for the router."""
        query = (self._ids, self._texts, self._unlike_ids)
        common = (self._top_k, self._filter, self._exclude, self._exclude_query)
        search = (
            *query, self._keywords, self._model, self._models, self._fusion, *common, self._offset,
            self._max_distance, self._min_score, self._group_by, self._group_size, self._diversity,
            self._box,
        )  # fmt: skip
        compare = (*query, self._compared, *common)
        near = (self._near, self._model, self._groups, self._offset)
        found, compared = schemas.SEARCH, schemas.COMPARISON
        return [
            Operation(
                "search", "POST", "/api/search", "Find the most similar images.", self.search,
                found, search, _FILES,
            ),
            Operation(
                "searchByLink", "GET", "/api/search", "Find similar images by ids and words.",
                self.search, found, search,
            ),
            Operation(
                "compare", "POST", "/api/compare", "Compare the hits of different models.",
                self.compare, compared, compare, _FILES,
            ),
            Operation(
                "duplicates", "GET", "/api/duplicates", "Find groups of near-duplicates.",
                self.duplicates, schemas.DUPLICATES, near,
            ),
        ]  # fmt: skip

    async def search(self, call: Call) -> Response:
        """Answer a search."""
        given, started = call.arguments, time.perf_counter()
        keywords = given[self._keywords]
        results = await self._workers.in_time(
            self._engine.search(
                None if keywords and not self._has_query(call) else self._query(call),
                model=given[self._model],
                models=given[self._models] or None,
                fusion=cast("FusionChoice | None", given[self._fusion]),
                limit=given[self._top_k],
                offset=given[self._offset],
                filter=given[self._filter],
                exclude=given[self._exclude],
                exclude_query=given[self._exclude_query],
                max_distance=given[self._max_distance],
                min_score=given[self._min_score],
                group_by=given[self._group_by],
                group_size=given[self._group_size],
                diversity=given[self._diversity] or 0.0,
                keywords=keywords,
                box=given[self._box],
            )
        )
        return json_response(
            {
                "model": results.model,
                "metric": results.metric.value if results.metric else None,
                "hits": call.documents.hits(results),
                "took_ms": _milliseconds_since(started),
            }
        )

    async def compare(self, call: Call) -> Response:
        """Answer a comparison of models."""
        given, started = call.arguments, time.perf_counter()
        comparison = await self._workers.in_time(
            self._engine.compare(
                self._query(call),
                models=given[self._compared] or None,
                limit=given[self._top_k],
                filter=given[self._filter],
                exclude=given[self._exclude],
                exclude_query=given[self._exclude_query],
            )
        )
        return json_response(
            {
                "models": [
                    {
                        "model": name,
                        "metric": results.metric.value if results.metric else None,
                        "hits": call.documents.hits(results),
                    }
                    for name, results in comparison.results.items()
                ],
                "agreement": [agreement(each) for each in comparison.agreements],
                "took_ms": _milliseconds_since(started),
            }
        )

    async def duplicates(self, call: Call) -> Response:
        """Answer with groups of images that look alike."""
        near = call.arguments[self._near]
        return json_response(
            await self._workers.scan(
                partial(self._duplicates, call, 0.001 if near is None else near)
            )
        )

    def _duplicates(self, call: Call, near: float) -> Document:
        model = call.arguments[self._model] or self._engine.models[0]
        groups = self._engine.engine.duplicates(near, model=model)
        first = call.arguments[self._offset]
        shown = groups[first : first + call.arguments[self._groups]]
        return {
            "model": model,
            "max_distance": near,
            "count": len(groups),
            "groups": [self._members(call.documents, group) for group in shown],
        }

    def _members(self, documents: Documents, group: Sequence[str]) -> list[JSONValue]:
        members: list[JSONValue] = []
        for id in group[:_MOST_MEMBERS]:
            record = self._engine.engine.get(id)
            members.append(documents.copy(id) if record is None else documents.record(record))
        return members

    def _has_query(self, call: Call) -> bool:
        given = call.arguments
        ids, unlike, texts = given[self._ids], given[self._unlike_ids], given[self._texts]
        return bool(call.files or ids or unlike or texts)

    def _query(self, call: Call) -> QueryInput:
        """Return the query of a request.

        Raises:
            Problem: There is none.
        """
        given, files = call.arguments, call.files
        like: list[QueryInput] = [data for name, data in files if name == "image"]
        like += map(Query.id, given[self._ids])
        like += map(Query.text, given[self._texts])
        unlike: list[QueryInput] = [data for name, data in files if name == "unlike_image"]
        unlike += map(Query.id, given[self._unlike_ids])
        if not like:
            raise unusable("nothing to search with: expected an image, an id or a text", "image")
        return query_of(like, unlike)


def _milliseconds_since(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 1)
