"""Every store gives the answers of the in-memory store, filters included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from onnxsearch import (
    CollectionSpec,
    Filter,
    InMemoryVectorStore,
    LocalVectorStore,
    Metadata,
    Metric,
    VectorStore,
)
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors import bounded_search, local_rows
from tests.servers import milvus_database
from tests.vectors.congruence import agree
from tests.vectors.strategies import FILTERS, ROWS

SPECS = [CollectionSpec(f"by_{metric.value}", 32, "model-1", metric) for metric in Metric]
L2 = SPECS[0]
# Milvus sums products of float32 in an order that differs from row to row: two rows with the
# same vector come out a rounding error apart, in any order.
TIES_BY_KEY = {Metric.L2, Metric.HAMMING}
BY_METRIC = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.metric.value)


@BY_METRIC
def test_local_store_agrees(tmp_path: Path, spec: CollectionSpec) -> None:
    agree(spec, lambda: LocalVectorStore(tmp_path / "vectors.sqlite"), runs=4)


@pytest.mark.parametrize("metric", list(Metric), ids=lambda metric: metric.value)
def test_local_store_with_mapped_files_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    monkeypatch.setattr(local_rows, "_IN_MEMORY", 0)
    monkeypatch.setattr(bounded_search, "_MANY", 2)
    monkeypatch.setattr(bounded_search, "_FIRST", 2)
    spec = CollectionSpec("mapped", 64, "model-1", metric)
    agree(spec, lambda: LocalVectorStore(tmp_path / "vectors.sqlite"), runs=2)


@pytest.mark.slow
@BY_METRIC
def test_local_store_agrees_for_long(tmp_path: Path, spec: CollectionSpec) -> None:
    agree(spec, lambda: LocalVectorStore(tmp_path / "vectors.sqlite"), runs=200)


def lite(path: Path) -> VectorStore:
    pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
    from onnxsearch import MilvusVectorStore

    return MilvusVectorStore(path / "vectors.db")


@pytest.mark.integration
def test_milvus_lite_agrees(tmp_path: Path) -> None:
    agree(L2, lambda: lite(tmp_path), runs=8)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS[:3], ids=lambda spec: spec.metric.value)
def test_milvus_lite_agrees_for_long(tmp_path: Path, spec: CollectionSpec) -> None:
    agree(spec, lambda: lite(tmp_path), runs=40, ties_by_key=spec.metric in TIES_BY_KEY)


def server(url: str, database: str) -> VectorStore:
    from onnxsearch import MilvusVectorStore

    return MilvusVectorStore(url, db_name=database)


@pytest.mark.integration
def test_milvus_server_agrees(milvus_url: str) -> None:
    database = milvus_database(milvus_url, "congruence")
    agree(L2, lambda: server(milvus_url, database), runs=3)


@pytest.mark.slow
@BY_METRIC
def test_milvus_server_agrees_for_long(milvus_url: str, spec: CollectionSpec) -> None:
    database = milvus_database(milvus_url, "congruence")
    ties_by_key = spec.metric in TIES_BY_KEY
    agree(spec, lambda: server(milvus_url, database), runs=40, ties_by_key=ties_by_key)


@pytest.fixture(params=["local", "lite", pytest.param("server", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    """Give a store for many examples, since a collection takes a server seconds to make."""
    if request.param == "local":
        opened: VectorStore = LocalVectorStore(tmp_path / "vectors.sqlite")
    elif request.param == "lite":
        opened = lite(tmp_path)
    else:
        url = request.getfixturevalue("milvus_url")
        opened = server(url, milvus_database(url, "filters"))
    with opened:
        yield opened


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROWS, min_size=1, max_size=12),
    filters=st.lists(FILTERS, min_size=1, max_size=12),
)
def test_filters_find_what_they_match(
    store: VectorStore, rows: list[Metadata], filters: list[Filter]
) -> None:
    spec = CollectionSpec("filtered", 4, "model-1", Metric.L2)
    vectors = random_vectors(spec, len(rows))
    keys = [key(number) for number in range(len(rows))]
    memory = InMemoryVectorStore()
    for each in (memory, store):
        each.ensure_collection(spec)
        each.delete("filtered", list(each.ids("filtered")))
        each.upsert("filtered", keys, vectors, rows)
    for filter in filters:
        found, wanted = (
            [match.key for match in each.search("filtered", vectors[:1], 20, filter=filter)[0]]
            for each in (store, memory)
        )
        assert found == wanted, filter
