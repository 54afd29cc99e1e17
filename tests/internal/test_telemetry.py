"""Spans, metrics and log of operations, as an application collects them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxsearch import (
    AsyncSearchEngine,
    ImageError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    StoreUnavailableError,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyVectorStore,
    picture,
    picture_bytes,
    write_pictures,
)

pytest.importorskip("opentelemetry.sdk", reason="the tests need opentelemetry-sdk")

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

EXPORTER = InMemorySpanExporter()
READER = InMemoryMetricReader()


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    # A process has one provider of each kind, for good.
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([READER]))
    assert trace.get_tracer_provider() is provider, "another test has set one"
    yield
    EXPORTER.shutdown()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    EXPORTER.clear()
    yield
    EXPORTER.clear()


def engine(**options: Any) -> SearchEngine:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    return SearchEngine(FakeEmbedder(), *stores, **{"workers": 2, **options})


def spans() -> list[ReadableSpan]:
    return list(EXPORTER.get_finished_spans())


def named(name: str) -> ReadableSpan:
    (found,) = (span for span in spans() if span.name == f"onnxsearch.{name}")
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def test_a_search_has_a_span_for_each_of_its_steps() -> None:
    ours = engine()
    ours.add(picture_bytes("a"), id="a")
    EXPORTER.clear()
    with trace.get_tracer("application").start_as_current_span("request") as request:
        ours.search(picture_bytes("a"))
    search = named("search")
    assert parent_of(search) == request.get_span_context().span_id
    for step in ("decode", "embed", "vectors.search"):
        assert parent_of(named(step)) == search.context.span_id
    assert named("embed").attributes == {"onnxsearch.model": "fake"}
    assert "db.collection.name" in (named("vectors.search").attributes or {})
    assert all(span.status.is_unset for span in spans())


def test_worker_threads_belong_to_the_run(tmp_path: Path) -> None:
    write_pictures(tmp_path, map(str, range(9)))
    engine().index(tmp_path)
    index = named("index")
    steps = [span for span in spans() if span.name in ("onnxsearch.decode", "onnxsearch.embed")]
    assert len([span for span in steps if span.name == "onnxsearch.decode"]) == 9
    assert {parent_of(span) for span in steps} == {index.context.span_id}
    assert {span.context.trace_id for span in spans()} == {index.context.trace_id}


def test_awaited_operations_belong_to_the_task_that_awaits_them() -> None:
    ours = engine()
    ours.add(picture("a"), id="a")
    EXPORTER.clear()

    async def request(asynchronous: AsyncSearchEngine, name: str) -> int:
        with trace.get_tracer("application").start_as_current_span(name) as span:
            await asynchronous.get("a")
            return span.get_span_context().span_id

    async def both() -> set[int]:
        async with AsyncSearchEngine(ours) as asynchronous:
            requests = (request(asynchronous, name) for name in ("one", "other"))
            return {*await asyncio.gather(*requests)}

    assert asyncio.run(both()) == {parent_of(s) for s in spans() if s.name == "onnxsearch.get"}


def test_the_span_of_an_iterator_is_not_that_of_its_reader() -> None:
    ours = engine()
    before = trace.get_current_span()
    for _ in ours.index_iter([picture("a"), picture("b")]):
        assert trace.get_current_span() is before
        ours.count()
    assert parent_of(named("index_iter")) is None
    assert {parent_of(s) for s in spans() if s.name == "onnxsearch.count"} == {None}
    assert parent_of(named("embed")) == named("index_iter").context.span_id


def test_failures_name_their_type_and_nothing_else() -> None:
    faults = Faults()
    ours = SearchEngine(
        FakeEmbedder(), FaultyVectorStore(InMemoryVectorStore(), faults), InMemoryMetadataStore()
    )
    faults.fail(on="search", error=StoreUnavailableError("secret"))
    with pytest.raises(StoreUnavailableError):
        ours.search(picture("a"))
    for name in ("search", "vectors.search"):
        span = named(name)
        assert not span.status.is_ok
        assert span.attributes is not None
        assert span.attributes["error.type"] == "StoreUnavailableError"
    assert "secret" not in "".join(span.to_json() for span in spans())


def counted(name: str, **attributes: str) -> float:
    """Return how much a metric has counted so far."""
    wanted = {key.replace("_", "."): value for key, value in attributes.items()}.items()
    data = READER.get_metrics_data()
    return sum(
        getattr(point, "count", 0) or getattr(point, "value", 0)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == f"onnxsearch.{name}"
        for point in metric.data.data_points
        if wanted <= dict(point.attributes or {}).items()
    )


def test_metrics_count_and_time_operations_and_steps() -> None:
    def counts() -> list[float]:
        searches = {"onnxsearch_operation": "search"}
        embeds = {"onnxsearch_step": "embed", "onnxsearch_model": "fake"}
        return [
            counted("operation.duration", **searches),
            counted("operation.duration", **searches, error_type="BrokenImageError"),
            counted("step.duration", **embeds),
            counted("step.items", **embeds),
        ]

    before, ours = counts(), engine(workers=1, batch_size=4)
    ours.add_many([picture(str(number)) for number in range(8)])
    ours.search(picture("a"))
    with pytest.raises(ImageError):
        ours.search(b"")
    assert [after - b for after, b in zip(counts(), before, strict=True)] == [2, 1, 3, 9]


def test_the_log_has_fields_and_no_values(caplog: pytest.LogCaptureFixture) -> None:
    ours = engine()
    with caplog.at_level(logging.DEBUG, "onnxsearch"):
        ours.add(picture_bytes("a"), id="secret", metadata={"name": "secret"})
        with pytest.raises(ImageError):
            ours.search(b"secret")
    records = {record.name: vars(record) for record in caplog.records}
    assert {"onnxsearch.engine", "onnxsearch.images", "onnxsearch.embedders"} <= records.keys()
    assert {"onnxsearch.vectors", "onnxsearch.metadata"} <= records.keys()
    failure = vars(caplog.records[-1])
    assert (failure["levelname"], failure["onnxsearch.operation"]) == ("INFO", "search")
    assert failure["error.type"] == "UnsupportedImageError"
    assert failure["onnxsearch.duration"] > 0
    assert records["onnxsearch.embedders"]["onnxsearch.model"] == "fake"
    assert "secret" not in "".join(map(str, map(vars, caplog.records)))


def run(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


SEARCH = """
from onnxsearch import SearchEngine, InMemoryVectorStore, InMemoryMetadataStore
from onnxsearch.testing import FakeEmbedder, picture
engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
engine.add(picture("a"), id="a")
assert engine.search(picture("a")).ids == ["a"]
try:
    engine.search(b"")
except Exception:
    pass
assert engine.stats().operations["search"].count == 2
"""


@pytest.mark.integration
def test_it_works_without_opentelemetry() -> None:
    assert run(f"import sys; sys.modules['opentelemetry'] = None{SEARCH}") == ""


@pytest.mark.integration
def test_it_works_with_an_api_that_is_too_old() -> None:
    old = (
        "from opentelemetry import metrics\n"
        "def old(self, name, unit='', description=''): raise AssertionError\n"
        "meter = type(metrics.get_meter('x'))\n"
        "meter.create_histogram = old"
    )
    assert run(old + SEARCH) == ""


@pytest.mark.integration
def test_without_a_collector_there_are_no_spans() -> None:
    """The application has the API installed, and collects nothing."""
    spy = (
        "from opentelemetry import trace\n"
        "def no(*args, **options): raise AssertionError('a span')\n"
        "type(trace.get_tracer('x')).start_span = no"
    )
    assert run(spy + SEARCH) == ""
