"""Rough searches that return vectors: what they find is there, current, and near."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    Candidates,
    CandidateSearch,
    CollectionNotFoundError,
    CollectionSpec,
    InMemoryVectorStore,
    InvalidArgumentError,
    LocalVectorStore,
    Metric,
)
from onnxsearch.testing.vector_samples import key
from onnxsearch.vectors import local_rows

COUNT, COLUMNS = 400, 64
SCALES = 0.9 ** np.arange(COLUMNS)
"""Few directions hold most of the variance, as with photos, so that sketches say much."""


def photos(seed: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, COLUMNS)) * SCALES
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


ROWS, QUERIES = photos(1, COUNT), photos(2, 5)


@pytest.fixture(params=["in memory", "in a file"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalVectorStore]:
    if request.param == "in a file":
        monkeypatch.setattr(local_rows, "_IN_MEMORY", 0)
    with LocalVectorStore(tmp_path / "vectors.sqlite") as store:
        store.ensure_collection(CollectionSpec("photos", COLUMNS, "1", Metric.IP))
        store.upsert("photos", [key(n) for n in range(COUNT)], ROWS)
        yield store


def rows_of(candidates: Candidates) -> dict[str, bytes]:
    pairs = zip(candidates.keys, candidates.vectors, strict=True)
    return {name: vector.tobytes() for name, vector in pairs}


def test_candidates_hold_the_nearest_rows_with_their_vectors(store: LocalVectorStore) -> None:
    assert isinstance(store, CandidateSearch)
    found = store.candidates("photos", QUERIES, 20)
    for candidates, matches in zip(found, store.search("photos", QUERIES, 5), strict=True):
        rows = rows_of(candidates)
        assert 20 <= len(rows) == len(candidates.keys) < COUNT // 2
        assert {match.key for match in matches} <= rows.keys()
        stored = store.fetch("photos", candidates.keys)
        assert rows == {name: vector.tobytes() for name, vector in stored.items()}


def test_candidates_are_the_rows_of_now(store: LocalVectorStore, tmp_path: Path) -> None:
    store.candidates("photos", QUERIES, 1)
    with LocalVectorStore(tmp_path / "vectors.sqlite") as other:
        other.delete("photos", [key(n) for n in range(10)])
        other.upsert("photos", [key(10), key(COUNT)], QUERIES[:2])
    for limit in (20, 10 * COUNT):
        for place, candidates in enumerate(store.candidates("photos", QUERIES, limit)):
            rows = rows_of(candidates)
            assert not rows.keys() & {key(n) for n in range(10)}
            if place < 2:
                assert rows[[key(10), key(COUNT)][place]] == QUERIES[place].tobytes()
    assert len(rows) == COUNT - 10 + 1
    store.delete("photos", [key(n) for n in range(COUNT + 1)])
    assert [len(each.keys) for each in store.candidates("photos", QUERIES, 3)] == [0] * 5


def test_a_query_without_direction_finds_rows_too(store: LocalVectorStore) -> None:
    (found,) = store.candidates("photos", np.zeros((1, COLUMNS), np.float32), 7)
    assert len(rows_of(found)) >= 7
    assert store.candidates("photos", QUERIES[:0], 7) == []


def test_vectors_that_were_fetched_are_those_of_now(
    store: LocalVectorStore, tmp_path: Path
) -> None:
    keys = [key(n) for n in (0, 1, 2, COUNT)]
    store.search("photos", QUERIES, 1)
    assert set(store.fetch("photos", keys)) == set(keys[:3])
    with LocalVectorStore(tmp_path / "vectors.sqlite") as other:
        other.delete("photos", [key(0)])
        other.upsert("photos", [key(1), key(COUNT)], QUERIES[:2])
    expected = {key(1): QUERIES[0], key(2): ROWS[2], key(COUNT): QUERIES[1]}
    for _ in range(2):
        found = store.fetch("photos", keys)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], row) for name, row in expected.items())
        store.search("photos", QUERIES, 1)


@pytest.mark.parametrize(
    ("queries", "limit"),
    [
        (QUERIES, 0),
        (QUERIES[0], 1),
        (QUERIES[:, 1:], 1),
        (QUERIES.astype(np.float64), 1),
        (QUERIES * np.nan, 1),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    store: LocalVectorStore, queries: np.ndarray, limit: int
) -> None:
    with pytest.raises(InvalidArgumentError):
        store.candidates("photos", queries, limit)
    with pytest.raises(CollectionNotFoundError):
        store.candidates("other", QUERIES, 1)


def test_a_store_in_memory_has_no_such_search() -> None:
    assert not isinstance(InMemoryVectorStore(), CandidateSearch)
