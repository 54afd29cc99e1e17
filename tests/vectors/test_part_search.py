"""Late interaction: rows of several vectors, ranked by the nearest of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from onnxsearch import (
    CollectionSpec,
    F,
    InMemoryVectorStore,
    InvalidArgumentError,
    LateInteraction,
    LocalVectorStore,
    Metric,
    MilvusVectorStore,
    Parts,
    VectorStore,
)
from onnxsearch.vectors import local_rows

PARTS = Parts(number=3, dimension=4)


def key(number: int) -> str:
    return f"{number:032x}"


def filled(store: VectorStore, metric: Metric, rows: np.ndarray) -> VectorStore:
    store.ensure_collection(CollectionSpec("parts", 16, "v1", metric))
    metadata = [{"even": number % 2 == 0} for number in range(len(rows))]
    store.upsert("parts", [key(n) for n in range(len(rows))], rows, metadata)
    return store


def expected(metric: Metric, rows: np.ndarray, query: np.ndarray) -> list[tuple[float, str]]:
    """Each row's distance by the definition, nearest first."""
    found = []
    for number, row in enumerate(rows.astype(np.float64)):
        parts = row[:12].reshape(3, 4)
        products = parts @ query.astype(np.float64)
        norms = np.linalg.norm(parts, axis=1) * np.linalg.norm(query.astype(np.float64))
        distances = {
            Metric.L2: np.linalg.norm(parts - query, axis=1),
            Metric.IP: 1 - products,
            Metric.COSINE: 1 - np.divide(products, norms, out=np.zeros(3), where=norms > 0),
        }[metric]
        found.append((float(distances.min()), key(number)))
    return sorted(found)


@given(st.data())
def test_a_row_is_as_near_as_its_nearest_part(data: st.DataObject) -> None:
    metric = data.draw(st.sampled_from([Metric.L2, Metric.IP, Metric.COSINE]))
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    rows = random.normal(size=(data.draw(st.integers(0, 40)), 16)).astype(np.float32)
    queries = random.normal(size=(2, 4)).astype(np.float32)
    limit = data.draw(st.integers(1, 50))
    store = InMemoryVectorStore()
    filled(store, metric, rows)
    for query, matches in zip(
        queries, store.search_parts("parts", queries, PARTS, limit), strict=True
    ):
        wanted = expected(metric, rows, query)[:limit]
        assert [match.key for match in matches] == [name for _, name in wanted]
        assert np.allclose([match.distance for match in matches], [d for d, _ in wanted])


Open = Callable[[], VectorStore]


@pytest.fixture(params=["memory", "local", "mapped"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> VectorStore:
    if request.param == "memory":
        return InMemoryVectorStore()
    if request.param == "mapped":
        monkeypatch.setattr(local_rows, "_PARTS_IN_MEMORY", 0)
    return LocalVectorStore(tmp_path / "vectors.sqlite")


@pytest.fixture
def two_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are copied to a file when there are more than two."""
    monkeypatch.setattr(local_rows, "_PARTS_IN_MEMORY", 2 * 16 * 4)


def keys_of(store: VectorStore, query: np.ndarray, filter: object = None) -> Sequence[str]:
    assert isinstance(store, LateInteraction)
    (matches,) = store.search_parts("parts", query[np.newaxis], PARTS, 99, filter=filter)  # type: ignore[arg-type]
    return [match.key for match in matches]


def test_rows_are_found_as_they_are_now(store: VectorStore) -> None:
    rows = np.random.default_rng(1).normal(size=(9, 16)).astype(np.float32)
    query = rows[4, 4:8]
    with filled(store, Metric.L2, rows):
        assert keys_of(store, query)[0] == key(4)
        store.delete("parts", [key(4)])
        assert key(4) not in keys_of(store, query)
        store.upsert("parts", [key(7)], rows[4:5])
        assert keys_of(store, query)[0] == key(7)
        even = keys_of(store, query, F("even") == True)  # noqa: E712
        assert sorted(even) == [key(n) for n in (0, 2, 6, 8)]
        store.drop("parts")
        filled(store, Metric.L2, rows[:2])
        assert len(keys_of(store, query)) == 2


def test_writes_of_other_processes_are_found(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as one, LocalVectorStore(path) as other:
        filled(one, Metric.L2, rows[:1])
        assert keys_of(one, rows[0, :4]) == keys_of(other, rows[0, :4]) == [key(0)]
        other.upsert("parts", [key(1)], rows[1:2])
        other.delete("parts", [key(0)])
        assert keys_of(one, rows[0, :4]) == [key(1)]


@pytest.mark.usefixtures("two_in_memory")
def test_rows_in_a_file_and_in_memory_are_found_together(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(60, 16)).astype(np.float32)
    queries = random.normal(size=(3, 4)).astype(np.float32)
    path = tmp_path / "vectors.sqlite"
    memory = InMemoryVectorStore()
    filled(memory, Metric.L2, rows)
    with LocalVectorStore(path) as store:
        filled(store, Metric.L2, rows[:50])
        store.search_parts("parts", queries, PARTS, 1)
        assert len(files(path)) == 1
        for each in (store, memory):
            each.upsert("parts", [key(3)], rows[4:5], [{"even": False}])
            each.delete("parts", [key(7)])
        store.upsert(
            "parts",
            [key(n) for n in range(50, 60)],
            rows[50:],
            [{"even": n % 2 == 0} for n in range(50, 60)],
        )
        for filter in (None, F("even") == True, F("even") == False):  # noqa: E712
            for limit in (1, 5, 99):
                found = store.search_parts("parts", queries, PARTS, limit, filter=filter)
                assert found == memory.search_parts("parts", queries, PARTS, limit, filter=filter)
        # The file serves searches for whole rows as well.
        assert store.search("parts", rows[:2], 3) == memory.search("parts", rows[:2], 3)


@pytest.mark.usefixtures("two_in_memory")
def test_a_damaged_file_of_rows_is_written_again(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).normal(size=(40, 16)).astype(np.float32)
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as store:
        filled(store, Metric.L2, rows)
        wanted = keys_of(store, rows[4, 4:8])
    (file,) = files(path)
    data = bytearray(file.read_bytes())
    data[4096] ^= 1  # in the first vector
    file.write_bytes(data)
    with LocalVectorStore(path) as store:
        assert keys_of(store, rows[4, 4:8]) == wanted
        assert files(path) != [file]


def files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("vectors.sqlite-rows-*"))


@pytest.mark.parametrize(
    ("queries", "parts", "limit"),
    [
        (np.zeros((1, 4), np.float32), Parts(3, 5), 1),
        (np.zeros((1, 4), np.float32), Parts(5, 4), 1),
        (np.zeros((1, 4), np.float32), Parts(0, 4), 1),
        (np.zeros((1, 4), np.float32), (3, 4), 1),
        (np.zeros((1, 3), np.float32), PARTS, 1),
        (np.zeros((1, 4), np.float64), PARTS, 1),
        (np.full((1, 4), np.nan, np.float32), PARTS, 1),
        (np.zeros((1, 4), np.float32), PARTS, 0),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    store: VectorStore, queries: np.ndarray, parts: Parts, limit: int
) -> None:
    filled(store, Metric.L2, np.ones((1, 16), np.float32))
    assert isinstance(store, LateInteraction)
    with store, pytest.raises(InvalidArgumentError):
        store.search_parts("parts", queries, parts, limit)


def test_milvus_has_no_such_search() -> None:
    assert not isinstance(MilvusVectorStore, LateInteraction)
