"""What an engine reports of what it holds and has done."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxsearch import (
    ClosedError,
    F,
    ImageError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    LocalVectorStore,
    Metric,
    ModelStats,
    Query,
    SearchEngine,
    SQLiteMetadataStore,
    Stats,
    Timing,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyVectorStore,
    picture,
    picture_bytes,
    write_pictures,
)


def engine(*models: str) -> SearchEngine:
    embedders = [FakeEmbedder(name) for name in models or ("fake",)]
    return SearchEngine(embedders, InMemoryVectorStore(), InMemoryMetadataStore(), workers=2)


def counts(stats: Stats) -> dict[str, tuple[int, int, int]]:
    timings = {**stats.operations, **stats.steps}
    return {name: (t.count, t.failures, t.items) for name, t in timings.items()}


def test_a_new_engine() -> None:
    stats = engine("one", "two").stats()
    assert stats.images == 0
    assert stats.models == (
        ModelStats("one", 16, Metric.L2, 0),
        ModelStats("two", 16, Metric.L2, 0),
    )
    assert stats.operations == {}
    assert stats.steps == {}
    assert stats.vector_bytes is stats.record_bytes is None
    assert 0 <= stats.uptime < 60


def test_operations_and_their_steps_are_counted() -> None:
    ours = engine("one", "two")
    ours.add(picture_bytes("a"), id="a")
    ours.search(picture("a"), models=["one", "two"])
    ours.search(Query.id("a"))
    with pytest.raises(ImageError):
        ours.search(b"no image")
    stats = ours.stats()
    found = counts(stats)
    assert found["add"] == (1, 0, 1)
    assert found["search"] == (3, 1, 3)
    assert found["decode"] == (2, 1, 2)
    assert found["embed"] == (4, 0, 4)
    assert found["vectors.search"] == (3, 0, 3)
    assert found["vectors.upsert"] == (2, 0, 2)
    assert stats.operations.keys() & stats.steps.keys() == set()
    assert [model.vectors for model in stats.models] == [1, 1]


def test_workers_count_for_the_engine_that_they_work_for(tmp_path: Path) -> None:
    model, vectors, records = FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore()
    engines = [SearchEngine(model, vectors, records, namespace=n, workers=2) for n in ("a", "b")]
    write_pictures(tmp_path, map(str, range(9)))
    engines[0].index(tmp_path)
    assert counts(engines[0].stats())["decode"] == (9, 0, 9)
    assert counts(engines[0].stats())["embed"][2] == 9
    assert counts(engines[1].stats()) == {}
    engines[0].copy_to(engines[1])
    assert counts(engines[1].stats())["copy_from"] == (1, 0, 1)
    assert "vectors.upsert" in engines[1].stats().steps


def test_iterators_count_once_with_what_they_yield() -> None:
    ours = engine()
    for _ in ours.index_iter([picture(str(number)) for number in range(5)]):
        # What happens between two items belongs to no operation of the iterator.
        ours.count()
    results = ours.search_many([picture(str(number)) for number in range(5)])
    assert "search_many" not in ours.stats().operations
    next(results)
    results.close()  # type: ignore[attr-defined]
    found = counts(ours.stats())
    assert found["index_iter"] == (1, 0, 5)
    assert found["search_many"] == (1, 0, 1)
    assert found["count"] == (5, 0, 5)


def test_latencies_and_failures_of_a_store() -> None:
    faults = Faults()
    store = FaultyVectorStore(InMemoryVectorStore(), faults)
    ours = SearchEngine(FakeEmbedder(), store, InMemoryMetadataStore())
    ours.add(picture("a"), id="a")
    faults.hang(on="search", timeout=0.05)
    for query in ("a", "b"):
        try:
            ours.search(picture(query))
        except Exception as error:
            assert "not answered" in str(error)
    step = ours.stats().steps["vectors.search"]
    assert (step.count, step.failures) == (2, 1)
    assert step.p50 is not None
    assert step.p95 is not None
    assert step.p50 < 0.05 <= step.p95 <= step.seconds
    assert ours.stats().operations["search"].failures == 1


def test_what_is_left_is_no_failure() -> None:
    ours = engine()
    iterator = ours.index_iter(picture(str(number)) for number in range(100))
    next(iterator)
    del iterator
    assert counts(ours.stats())["index_iter"] == (1, 0, 1)
    with pytest.raises(KeyError):
        ours.search_many(iter({}[name] for name in ["x"])).__next__()
    assert counts(ours.stats())["search_many"] == (1, 1, 0)


def test_sizes_of_files(tmp_path: Path) -> None:
    (tmp_path / "vectors.sqlite.backup").write_bytes(bytes(1000))
    with (
        LocalVectorStore(tmp_path / "vectors.sqlite") as vectors,
        SQLiteMetadataStore(tmp_path / "records.sqlite") as records,
    ):
        ours = SearchEngine(FakeEmbedder(), vectors, records)
        ours.add(picture("a"), id="a")
        stats = ours.stats()
        for name, size in (("vectors", stats.vector_bytes), ("records", stats.record_bytes)):
            files = tmp_path.glob(f"{name}.sqlite*")
            expected = sum(f.stat().st_size for f in files if f.suffix != ".backup")
            assert size == expected > 0


def test_reads_are_counted_without_the_values() -> None:
    ours = engine()
    ours.add(picture("a"), id="secret", metadata={"name": "secret"})
    list(ours.records(F("name") == "secret"))
    assert "secret" not in repr(ours.stats())


def test_closed() -> None:
    ours = engine()
    ours.close()
    with pytest.raises(ClosedError):
        ours.stats()


def test_a_timing_of_nothing() -> None:
    assert Timing() == Timing(count=0, failures=0, items=0, seconds=0.0, p50=None, p95=None)
