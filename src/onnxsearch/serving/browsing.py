"""The operations that show what the index holds: its models and fields, its records."""

from __future__ import annotations

import time
from functools import partial

from starlette.responses import Response

from onnxsearch._internal.version import VERSION
from onnxsearch.async_engine import AsyncSearchEngine
from onnxsearch.serving import parameters, schemas
from onnxsearch.serving.answers import json_response, no_image
from onnxsearch.serving.documents import Document
from onnxsearch.serving.limits import ServiceLimits
from onnxsearch.serving.metadata_fields import sampled_fields
from onnxsearch.serving.operations import Call, Operation
from onnxsearch.serving.workers import Workers
from onnxsearch.types import JSONValue

_SAMPLE_SECONDS = 60.0
"""Seconds for which a sample is shown before another one is taken."""


class Browsing:
    """Records and description of one index.

    Args:
        engine: The engine.
        workers: The threads that read.
        limits: How many records a request may ask for.
    """

    def __init__(self, engine: AsyncSearchEngine, workers: Workers, limits: ServiceLimits) -> None:
        self._engine = engine
        self._workers = workers
        self._limits = limits
        self._fields: dict[str, JSONValue] = {}
        self._sampled = float("-inf")
        self._filter = parameters.filter_text(
            "filter", "Only images whose metadata match, such as `price < 20`."
        )
        self._order = parameters.text(
            "order_by",
            "`id`, `uri`, `modified` or a metadata field; `-` before it to descend.",
        )
        self._limit = parameters.integer(
            "limit",
            "Records of one page.",
            least=1,
            most=limits.top_k,
            default=50,
        )
        self._offset = parameters.integer(
            "offset", "Records to leave out.", least=0, most=limits.offset, default=0
        )

    def operations(self) -> list[Operation]:
        """Return the operations, for the router."""
        page = (self._filter, self._order, self._limit, self._offset)
        return [
            Operation(
                "info", "GET", "/api/info", "Describe the index and the limits of the service.",
                self.info, schemas.INFO,
            ),
            Operation(
                "records", "GET", "/api/records", "List records.", self.records, schemas.RECORDS,
                page,
            ),
            Operation(
                "record", "GET", "/api/records/{id}", "Show one record.", self.record,
                schemas.RECORD, problems=(404,),
            ),
        ]  # fmt: skip

    async def info(self, call: Call) -> Response:
        """Answer what the index is."""
        del call
        return json_response(await self._workers.call(self._info))

    async def records(self, call: Call) -> Response:
        """Answer with a page of records."""
        return json_response(await self._workers.scan(partial(self._page, call)))

    async def record(self, call: Call) -> Response:
        """Answer with one record."""
        record = await self._workers.in_time(self._engine.get(call.id))
        if record is None:
            raise no_image(call.id)
        return json_response(call.documents.record(record))

    def _info(self) -> Document:
        info, limits = self._engine.engine.info(), self._limits
        described = {model.name: model for model in info.models}
        if time.monotonic() - self._sampled > _SAMPLE_SECONDS:
            self._fields = {
                name: {"types": sample.types, "values": sample.values}
                for name, sample in sampled_fields(self._engine.engine).items()
            }
            self._sampled = time.monotonic()
        return {
            "version": VERSION,
            "count": info.images,
            "models": [
                {
                    "name": name,
                    "dimension": described[name].dimension,
                    "metric": described[name].metric.value,
                    "text": described[name].text is not None,
                    "default": place == 0,
                    "regions": described[name].region_model,
                }
                for place, name in enumerate(self._engine.models)
                if name in described
            ],
            "fields": self._fields,
            "limits": {
                "upload_bytes": limits.upload_bytes,
                "images": limits.images,
                "top_k": limits.top_k,
            },
        }

    def _page(self, call: Call) -> Document:
        chosen, order = call.arguments[self._filter], call.arguments[self._order]
        first, limit = call.arguments[self._offset], call.arguments[self._limit]
        page: list[JSONValue] = []
        count = 0
        for record in self._engine.engine.records(chosen, order_by=order):
            if first <= count < first + limit:
                page.append(call.documents.record(record))
            count += 1
            if chosen is None and count == first + limit:
                break
        return {"count": self._engine.engine.count() if chosen is None else count, "records": page}
