"""The local store's pairs of near rows are those that a comparison of all pairs finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from onnxsearch import (
    CollectionNotFoundError,
    CollectionSpec,
    Embedder,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    LocalVectorStore,
    Metric,
    Progress,
    RangeJoin,
    SearchEngine,
    Tensor,
    Vectors,
    VectorStore,
)
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors import local_rows, range_join
from onnxsearch.vectors.exact_search import distances, euclidean_lengths
from onnxsearch.vectors.range_join import pairs_within
from onnxsearch.vectors.row_map import RowMap

FLOAT_METRICS = [Metric.L2, Metric.IP, Metric.COSINE]


class Plain:
    """Rows in one matrix."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.keys = [key(number) for number in range(len(vectors))]
        self.lengths = euclidean_lengths(vectors)

    def take(self, places: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Vectors:
        return self.vectors[places]


def compared(metric: Metric, vectors: Vectors, max_distance: float) -> set[tuple[str, str]]:
    """Compare all pairs, as a search measures them."""
    everything = np.arange(len(vectors))
    return {
        (key(one), key(int(other)))
        for one, vector in enumerate(vectors)
        for other in np.flatnonzero(distances(metric, vectors, everything, vector) <= max_distance)
        if one < other
    }


def joined(pairs: Iterator[tuple[str, str]] | None) -> set[tuple[str, str]]:
    assert pairs is not None
    found = [(min(pair), max(pair)) for pair in pairs]
    assert len(set(found)) == len(found)
    return set(found)


@given(
    metric=st.sampled_from(FLOAT_METRICS),
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 40),
    noise=st.sampled_from([0.0, 1e-7, 1e-3, 0.3]),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    zeros=st.integers(0, 2),
    rank=st.floats(0, 1),
    few=st.sampled_from([0, 1000]),
)
def test_pairs_are_those_of_all_comparisons(
    metric: Metric,
    seed: int,
    rows: int,
    noise: float,
    scale: float,
    zeros: int,
    rank: float,
    few: int,
) -> None:
    """With whole vectors of few rows, and with sketches."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((6, 64)) / 8
    vectors = centres[generator.integers(0, 6, rows)] + noise * generator.standard_normal(
        (rows, 64)
    )
    vectors = (scale * vectors).astype(np.float32)
    vectors[:zeros] = 0.0
    exact = [distances(metric, vectors, np.arange(rows), vector) for vector in vectors]
    # A distance that some pairs have exactly, and the next less one.
    border = float(np.quantile(exact, rank, method="nearest")) if rows else 1.0
    for max_distance in (border, float(np.nextafter(border, -np.inf)), -1.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(range_join, "_FEW", few)
            found = joined(pairs_within(metric, Plain(vectors), max_distance))
        assert found == compared(metric, vectors, max_distance)


@pytest.mark.parametrize("few", [0, 1000], ids=["sketches", "whole vectors"])
def test_blocks_join_each_other(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    for name, size in (("_TALL", 7), ("_WIDE", 10), ("_READ", 5), ("_FEW", few)):
        monkeypatch.setattr(f"onnxsearch.vectors.range_join.{name}", size)
    vectors = random_vectors(CollectionSpec("c", 64, "f"), 50)
    vectors[[3, 30, 49]] = vectors[[17, 17, 0]]
    for max_distance in (0.0, 1.3, 2.0):
        done = list[tuple[int, int]]()
        pairs = pairs_within(
            Metric.L2, Plain(vectors), max_distance, lambda *each, done=done: done.append(each)
        )
        assert joined(pairs) == compared(Metric.L2, vectors, max_distance)
        assert done == [(min(rows, 50), 50) for rows in range(10, 60, 10)]


@pytest.fixture(params=[0, 1 << 20], ids=["mapped", "in memory"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalVectorStore]:
    monkeypatch.setattr(local_rows, "_IN_MEMORY", request.param)
    with LocalVectorStore(tmp_path / "vectors.sqlite") as store:
        yield store


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_rows_that_came_and_went(store: LocalVectorStore, metric: Metric) -> None:
    spec = CollectionSpec("c", 64, "f", metric)
    store.ensure_collection(spec)
    assert joined(store.pairs_within("c", 2.0)) == set()
    vectors = random_vectors(spec, 200)
    vectors[100:200:7] = vectors[0:100:7]
    store.upsert("c", list(map(key, range(150))), vectors[:150])
    assert store.search("c", vectors[:1], 1)
    store.upsert("c", list(map(key, range(150, 160))), vectors[150:160])
    store.upsert("c", [key(8)], vectors[9:10])
    store.delete("c", [key(7), key(100)])
    found = joined(store.pairs_within("c", 1e-3))
    wanted = {(key(n), key(n + 100)) for n in range(14, 60, 7)} | {(key(8), key(9))}
    assert found == wanted


def test_bits_and_odd_lengths_are_searched_for(store: LocalVectorStore) -> None:
    store.ensure_collection(CollectionSpec("bits", 64, "f", Metric.HAMMING))
    store.upsert("bits", [key(1), key(2)], np.zeros((2, 8), np.uint8))
    assert store.pairs_within("bits", 0.5) is None
    store.ensure_collection(CollectionSpec("long", 64, "f"))
    store.upsert("long", [key(1), key(2)], np.full((2, 64), 1e9, np.float32))
    assert store.pairs_within("long", 0.5) is None


def test_arguments_are_checked(store: LocalVectorStore) -> None:
    with pytest.raises(CollectionNotFoundError):
        store.pairs_within("c", 1.0)
    store.ensure_collection(CollectionSpec("c", 64, "f"))
    for wrong in (float("nan"), "1", None):
        with pytest.raises(InvalidArgumentError, match="max_distance"):
            store.pairs_within("c", wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="compared"):
        store.pairs_within("c", 1.0, compared=True)  # type: ignore[arg-type]


def test_damage_is_mended_while_pairs_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_rows, "_IN_MEMORY", 0)
    spec = CollectionSpec("c", 64, "f")
    vectors = random_vectors(spec, 50)
    vectors[25:] = vectors[:25]
    with LocalVectorStore(tmp_path / "vectors.sqlite") as store:
        store.ensure_collection(spec)
        store.upsert("c", list(map(key, range(50))), vectors)
        pairs = store.pairs_within("c", 0.0)
        (file,) = tmp_path.glob("*-rows-*")
        start = RowMap(str(file), bytes.fromhex(file.name[-32:]), 1, spec)._regions["vectors"].start
        with open(file, "r+b") as opened:
            opened.seek(start)
            opened.write(b"1234")
        assert joined(pairs) == {(key(n), key(n + 25)) for n in range(25)}


class Hashed(Embedder):
    """Gives images of one red value the same direction, and of one green value nearly so."""

    name, dimension, fingerprint = "hashed", 64, "hashed"  # type: ignore[assignment]

    def prepare(self, image: ImageInput) -> Tensor:
        red, green, _ = np.asarray(image)[0, 0]
        direction = np.random.default_rng(int(red)).standard_normal(64)
        return direction + 0.01 * np.random.default_rng(int(green)).standard_normal(64)

    def run(self, batch: Tensor) -> Tensor:
        return batch


def engine_of(store: VectorStore) -> SearchEngine:
    engine = SearchEngine([Hashed()], store, InMemoryMetadataStore())
    for number in range(60):
        pixel = np.array([[[number % 25, number, 0]]], np.uint8)
        engine.add(pixel, id=f"{number}")
    engine.remove(["3", "28"])
    return engine


def test_groups_are_those_of_other_stores(store: LocalVectorStore) -> None:
    assert isinstance(store, RangeJoin)
    assert not isinstance(InMemoryVectorStore(), RangeJoin)
    engine, other = engine_of(store), engine_of(InMemoryVectorStore())
    # A row whose record is missing joins nobody.
    collection = engine._catalog.collection("hashed")
    (near,) = store.fetch(collection, [next(store.ids(collection))]).values()
    store.upsert(collection, [key(1)], near[np.newaxis])
    for max_distance in (0.0, 0.01, 0.03, 0.5, 1.3):
        for each in (engine, other):
            seen = list[Progress]()
            assert each.duplicates(max_distance, progress=seen.append) == engine.duplicates(
                max_distance
            )
            assert seen[-1].done == seen[-1].total
            assert [p.done for p in seen] == sorted({p.done for p in seen})
    assert len(engine.duplicates(0.1)) == 24


@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize("max_distance", [1e20, 1e200, np.inf])
def test_all_pairs_are_within_a_huge_distance(metric: Metric, max_distance: float) -> None:
    vectors = random_vectors(CollectionSpec("photos", 80, "model-1", metric), 5)
    assert len(joined(pairs_within(metric, Plain(vectors), max_distance))) == 10
