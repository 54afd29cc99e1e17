"""The operations that show how the service is: alive, ready, metrics, its description."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.responses import Response

from onnxsearch.async_engine import AsyncSearchEngine
from onnxsearch.serving import schemas
from onnxsearch.serving.answers import json_response
from onnxsearch.serving.documents import Document
from onnxsearch.serving.metrics import CONTENT_TYPE, ServiceMetrics
from onnxsearch.serving.operations import Call, Operation
from onnxsearch.serving.workers import Workers


class ServiceState:
    """Whether the service works, for those who run it.

    Args:
        engine: The engine whose stores are asked.
        workers: The threads that ask.
        metrics: The metrics.
        document: Returns the OpenAPI document.
    """

    def __init__(
        self,
        engine: AsyncSearchEngine,
        workers: Workers,
        metrics: ServiceMetrics,
        document: Callable[[], Document],
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._metrics = metrics
        self._document = document

    def operations(self) -> list[Operation]:
        """Return the operations, for the router."""
        return [
            Operation(
                "health", "GET", "/health", "Say that the process answers.", self.health,
                schemas.STATUS,
            ),
            Operation(
                "ready", "GET", "/ready", "Say whether the stores answer.", self.ready,
                schemas.STATUS,
            ),
            Operation(
                "metrics", "GET", "/metrics", "Report metrics for Prometheus.", self.metrics,
                schemas.METRICS,
            ),
            Operation(
                "openapi", "GET", "/openapi.json", "Describe the service as OpenAPI.",
                self.openapi, schemas.OPENAPI,
            ),
        ]  # fmt: skip

    async def health(self, call: Call) -> Response:
        """Answer as long as the process does."""
        del call
        return json_response({"status": "alive"})

    async def ready(self, call: Call) -> Response:
        """Answer if both stores do; otherwise with status 503."""
        del call
        await self._workers.in_time(self._engine.info())
        return json_response({"status": "ready"})

    async def metrics(self, call: Call) -> Response:
        """Answer with the metrics."""
        del call
        self._metrics.images.set(await self._workers.in_time(self._engine.count()))
        return Response(self._metrics.text(), int(HTTPStatus.OK), {"Content-Type": CONTENT_TYPE})

    async def openapi(self, call: Call) -> Response:
        """Answer with the OpenAPI document."""
        del call
        return json_response(self._document())
