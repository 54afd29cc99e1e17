"""What Prometheus reads: requests, their duration, uploads, thumbnails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ServiceMetrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "onnxsearch_http_requests",
            "Requests by operation, method and status code.",
            ["operation", "method", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "onnxsearch_http_request_seconds",
            "Duration of requests by operation.",
            ["operation"],
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.active = Gauge(
            "onnxsearch_http_active_requests",
            "Requests that are being answered.",
            registry=self._registry,
        )
        self.uploaded = Counter(
            "onnxsearch_http_received_bytes",
            "Bytes of the bodies of requests.",
            registry=self._registry,
        )
        self.thumbnails = Counter(
            "onnxsearch_thumbnails",
            "Thumbnails by whether they were in memory.",
            ["found"],
            registry=self._registry,
        )
        self.images = Gauge("onnxsearch_images", "Images in the index.", registry=self._registry)

    def track_cache(self, size: Callable[[], int]) -> None:
        """Report the bytes of the thumbnails in memory."""
        gauge = Gauge(
            "onnxsearch_thumbnail_cache_bytes",
            "Bytes of the thumbnails in memory.",
            registry=self._registry,
        )
        gauge.set_function(size)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class Measuring:
    """Counts requests and measures how long they take.

    Args:
        app: The application to measure.
        metrics: Where the numbers go.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        started = time.perf_counter()

        async def counted_receive() -> Message:
            message = await receive()
            self._metrics.uploaded.inc(len(message.get("body", b"")))
            return message

        async def noted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.active.track_inprogress():
            try:
                await self._app(scope, counted_receive, noted_send)
            finally:
                # Names that a client makes up would fill the memory.
                operation = scope.get("onnxsearch.operation", "other")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(operation, method, str(status)).inc()
                self._metrics.seconds.labels(operation).observe(time.perf_counter() - started)
