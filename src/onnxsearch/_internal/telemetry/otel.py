"""The adapter of OpenTelemetry: spans and metrics, where its API is installed."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch._internal.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

BegunSpan: TypeAlias = "tuple[Span, Token[Context]]"
"""A span, and how to make the one around it the current one again."""

Attributes: TypeAlias = "Mapping[str, str]"

_SCOPE = "onnxsearch"

_DURATIONS = {
    "operation": "Duration of the operations of engines.",
    "step": "Duration of the steps of operations.",
}

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600)
"""Bounds of histograms, in seconds: those of the HTTP conventions of OpenTelemetry, with shorter
and longer ones. Its own defaults suit milliseconds."""


class OpenTelemetry:
    """Spans and metrics of this package.

    Raises:
        ImportError: The API is not installed.
        TypeError: It is older than 1.30.
    """

    def __init__(self) -> None:
        from opentelemetry import context, metrics, trace

        self._context, self._trace = context, trace
        self._tracer = trace.get_tracer(_SCOPE, VERSION)
        meter = metrics.get_meter(_SCOPE, VERSION)
        self._durations = {
            kind: meter.create_histogram(
                f"onnxsearch.{kind}.duration",
                unit="s",
                description=description,
                explicit_bucket_boundaries_advisory=_BUCKETS,
            )
            for kind, description in _DURATIONS.items()
        }
        self._items = meter.create_counter(
            "onnxsearch.step.items", unit="{item}", description="Images, queries or records."
        )

    def begin(self, name: str, attributes: Attributes) -> BegunSpan | None:
        """Begin a span below the current one; None if the application collects no spans."""
        if isinstance(self._trace.get_tracer_provider(), self._trace.ProxyTracerProvider):
            return None
        span = self._tracer.start_span(f"onnxsearch.{name}", attributes=attributes)
        return span, self._context.attach(self._trace.set_span_in_context(span))

    def end(self, begun: BegunSpan | None, error: str | None) -> None:
        """End a span.

        Args:
            begun: What `begin` returned.
            error: Type of the error. Its message may hold ids and paths, and is left out.
        """
        if begun is None:
            return
        span, token = begun
        self._context.detach(token)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def measure(self, kind: str, seconds: float, items: int, attributes: Attributes) -> None:
        """Add to the metrics.

        Args:
            kind: `"operation"` or `"step"`.
            seconds: How long it took.
            items: Images, queries or records.
            attributes: What the metrics are split by.
        """
        self._durations[kind].record(seconds, attributes)
        if kind == "step":
            self._items.add(items, attributes)


@cache
def open_telemetry() -> OpenTelemetry | None:
    """Return the adapter; None if the API is not installed, or too old."""
    try:
        return OpenTelemetry()
    except (ImportError, TypeError):
        return None
