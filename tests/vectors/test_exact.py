"""The exact search is exact, ties included, in spite of the rounding of float32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from onnxsearch import CollectionSpec, F, InMemoryVectorStore, Match, Metric, Vectors
from onnxsearch.testing.vector_samples import key, random_vectors, true_distances

FLOAT_METRICS = st.sampled_from([Metric.L2, Metric.IP, Metric.COSINE])


def filled(metric: Metric, vectors: Vectors) -> InMemoryVectorStore:
    store = InMemoryVectorStore()
    columns = vectors.shape[1] * (8 if metric is Metric.HAMMING else 1)
    store.ensure_collection(CollectionSpec("c", columns, "f", metric))
    store.upsert("c", [key(n) for n in range(len(vectors))], vectors)
    return store


@given(
    metric=st.sampled_from([Metric.L2, Metric.IP, Metric.HAMMING]),
    seed=st.integers(0, 2**32),
    offset=st.sampled_from([0, 1_000, 1_000_000]),
    rows=st.integers(1, 60),
    limit=st.integers(1, 70),
    queries=st.integers(1, 3),
)
def test_order_is_that_of_exact_arithmetic(
    metric: Metric, seed: int, offset: int, rows: int, limit: int, queries: int
) -> None:
    # Small integers around a large one: float64 is exact on them, and a float32
    # product loses the digits in which they differ.
    generator = np.random.default_rng(seed)
    if metric is Metric.HAMMING:
        vectors: Vectors = generator.integers(0, 4, (rows + queries, 3), np.uint8)
    else:
        small = generator.integers(-2, 3, (rows + queries, 3))
        vectors = (small + offset).astype(np.float32)
    answers = filled(metric, vectors[:rows]).search("c", vectors[rows:], limit)
    for query, matches in zip(vectors[rows:], answers, strict=True):
        distances = true_distances(metric, vectors[:rows], query).tolist()
        wanted = sorted(zip(distances, map(key, range(rows)), strict=True))[:limit]
        assert matches == [Match(name, distance) for distance, name in wanted]


@given(
    metric=FLOAT_METRICS,
    scale=st.sampled_from([1e-38, 1e-20, 1e-3, 1e10, 1e19, 1e30, 1e37]),
    limit=st.integers(1, 5),
)
def test_huge_and_tiny_vectors_keep_their_order(metric: Metric, scale: float, limit: int) -> None:
    spec = CollectionSpec("c", 16, "f", metric)
    vectors = (random_vectors(spec, 30) * scale).astype(np.float32)
    distances = true_distances(metric, vectors, vectors[7])
    (matches,) = filled(metric, vectors).search("c", vectors[7:8], limit)
    nearest = np.argsort(distances, kind="stable")[:limit]
    assert [match.key for match in matches] == [key(int(row)) for row in nearest]
    found = np.array([match.distance for match in matches])
    np.testing.assert_allclose(found, distances[nearest], rtol=1e-6, atol=1e-12 * max(1.0, scale))


@given(metric=FLOAT_METRICS, seed=st.integers(0, 2**32), limit=st.integers(1, 5))
def test_vectors_of_very_different_lengths_keep_their_order(
    metric: Metric, seed: int, limit: int
) -> None:
    spec = CollectionSpec("c", 16, "f", metric)
    scales = 10.0 ** np.random.default_rng(seed).integers(-6, 7, (40, 1))
    vectors = (random_vectors(spec, 40, seed) * scales).astype(np.float32)
    distances = true_distances(metric, vectors, vectors[7])
    (matches,) = filled(metric, vectors).search("c", vectors[7:8], limit)
    nearest = np.sort(distances)[:limit]
    found = [match.distance for match in matches]
    np.testing.assert_allclose(found, nearest, rtol=1e-9, atol=1e-15 * scales.max() ** 2)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_zeros_have_no_direction(metric: Metric) -> None:
    vectors = np.zeros((2, 4), np.float32)
    vectors[1, 0] = 1.0
    (matches,) = filled(metric, vectors).search("c", vectors[:1], 2)
    assert [match.distance for match in matches] == {
        Metric.L2: [0.0, 1.0],
        Metric.IP: [1.0, 1.0],
        Metric.COSINE: [1.0, 1.0],
    }[metric]


def test_many_queries_give_what_single_ones_do() -> None:
    spec = CollectionSpec("c", 64, "f")
    store = filled(Metric.L2, random_vectors(spec, 5_000))
    queries = random_vectors(spec, 1_000, seed=1)
    together = store.search("c", queries, 3)
    for number in (0, 1, 500, 999):
        assert store.search("c", queries[number : number + 1], 3) == [together[number]]


def test_rows_that_come_and_go_leave_the_rest() -> None:
    spec = CollectionSpec("c", 16, "f")
    store = InMemoryVectorStore()
    store.ensure_collection(spec)
    vectors = random_vectors(spec, 2_000)
    there: dict[str, int] = {}
    generator = np.random.default_rng(3)
    for start in range(0, 2_000, 100):
        rows = range(start, start + 100)
        store.upsert(
            "c", [key(n) for n in rows], vectors[start : start + 100], [{"n": n} for n in rows]
        )
        there |= {key(n): n for n in rows}
        gone = generator.choice(sorted(there), len(there) // 2, replace=False).tolist()
        store.delete("c", gone)
        for name in gone:
            del there[name]
        names = sorted(there)
        distances = true_distances(
            Metric.L2, vectors[[there[name] for name in names]], vectors[start]
        )
        wanted = [names[int(row)] for row in np.argsort(distances, kind="stable")[:5]]
        (matches,) = store.search("c", vectors[start : start + 1], 5)
        assert [match.key for match in matches] == wanted
        (matches,) = store.search("c", vectors[:1], 5, filter=F("n") == there[names[0]])
        assert [match.key for match in matches] == [names[0]]
    assert sorted(store.ids("c")) == sorted(there)
