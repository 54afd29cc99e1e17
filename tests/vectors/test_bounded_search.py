"""The search by bounds finds what the comparison of all rows finds, bit for bit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from onnxsearch import CollectionSpec, InMemoryVectorStore, Match, Metric, Vectors
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors import bounded_search
from onnxsearch.vectors.bounded_search import BoundedSearch
from onnxsearch.vectors.exact_search import Positions, distances
from onnxsearch.vectors.row_map import MapState, RowMap
from onnxsearch.vectors.row_map_writer import write_row_map
from onnxsearch.vectors.sketch import Sketcher

FLOAT_METRICS = st.sampled_from([Metric.L2, Metric.IP, Metric.COSINE])
STATE = MapState(b"0123456789abcdef", 1, 0, 0)


def mapped(spec: CollectionSpec, vectors: Vectors) -> RowMap:
    """Return a file of the rows; it is deleted at once, and stays readable."""
    keys = [key(number) for number in range(len(vectors))]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows")
        write_row_map(path, STATE, spec, len(keys), [(keys, vectors, ["{}"] * len(keys))])
        return RowMap(path, STATE.token, STATE.collection, spec)


def plain(spec: CollectionSpec, vectors: Vectors) -> InMemoryVectorStore:
    store = InMemoryVectorStore()
    store.ensure_collection(spec)
    store.upsert(spec.name, [key(number) for number in range(len(vectors))], vectors)
    return store


WAYS = ["all rows", "together", "two at a time", "alone"]


def agree(metric: Metric, vectors: Vectors, queries: Vectors, limit: int, way: str) -> None:
    spec = CollectionSpec("c", vectors.shape[1], "f", metric)
    wanted = plain(spec, vectors).search("c", queries, limit)
    rows = mapped(spec, vectors)
    search = BoundedSearch(rows, metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded_search, "_MANY", 2)  # keep to the bounds where they hardly help
        patch.setattr(bounded_search, "_FIRST", 4)
        if way != "all rows":
            patch.setattr(bounded_search, "_SMALL", 0)
        if way == "two at a time":
            patch.setattr(bounded_search, "_BLOCK", 2 * rows.rows)
        if way == "alone":
            found = [search.search(query[np.newaxis], limit, None)[0] for query in queries]
        else:
            found = search.search(queries, limit, None)
    assert found == wanted


def clustered(seed: int, rows: int, columns: int) -> Vectors:
    """Return vectors near a few centres, most of whose variance lies in few directions."""
    generator = np.random.default_rng(seed)
    scales = 1.0 / np.arange(1, columns + 1)
    centres = generator.standard_normal((1 + rows // 20, columns)) * scales
    noise = 0.1 * generator.standard_normal((rows, columns)) * scales
    vectors = centres[generator.integers(0, len(centres), rows)] + noise
    return vectors.astype(np.float32)


@given(
    metric=FLOAT_METRICS,
    seed=st.integers(0, 2**32),
    rows=st.integers(30, 150),
    columns=st.sampled_from([64, 80, 100]),
    limit=st.integers(1, 8),
    scale=st.sampled_from([0.01, 1.0, 50.0, 1e-30, 1e-4, 1e5, 1e30]),
    offset=st.sampled_from([0.0, 1.0, 1000.0]),
    equal=st.integers(0, 60),
    zeros=st.integers(0, 3),
    steps=st.integers(0, 40),
    way=st.sampled_from(WAYS),
)
def test_equals_the_comparison_of_all_rows(
    metric: Metric,
    seed: int,
    rows: int,
    columns: int,
    limit: int,
    scale: float,
    offset: float,
    equal: int,
    zeros: int,
    steps: int,
    way: str,
) -> None:
    generator = np.random.default_rng(seed)
    vectors = (clustered(seed, rows + 4, columns) + np.float32(offset)) * np.float32(scale)
    queries = vectors[rows:].copy()
    vectors = vectors[:rows]
    places = generator.integers(0, rows, 3)
    vectors[generator.integers(0, rows, equal)] = vectors[places[0]]
    # Copies of a query that differ by a single step of float32 in some numbers.
    near = generator.integers(0, rows, steps)
    vectors[near] = np.nextafter(queries[0], generator.choice([-1, 1], (steps, columns)) * np.inf)
    vectors[generator.integers(0, rows, zeros)] = 0.0
    queries[1] = vectors[places[1]]
    queries[2] = 0.0 if zeros else -queries[2]
    agree(metric, vectors, queries, limit, way)


@given(
    metric=FLOAT_METRICS,
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.02, 1.0, 3.0]),
    outside=st.sampled_from([0.0, 1e-6, 1e-3, 1.0]),
)
def test_no_row_is_nearer_than_its_bound(
    metric: Metric, seed: int, scale: float, outside: float
) -> None:
    """Where nothing is outside of the subspace, a bound equals the distance but for rounding."""
    generator = np.random.default_rng(seed)
    within = generator.standard_normal((40, 10)) @ generator.standard_normal((10, 64))
    vectors = scale * (within + outside * generator.standard_normal((40, 64)))
    rows = vectors.astype(np.float32)
    queries = np.concatenate([rows[:5], 3 * rows[:2], -rows[:1]])
    file = mapped(CollectionSpec("c", 64, "f", metric), rows)
    sketcher = file.sketcher
    assert sketcher is not None
    sketches, lengths = sketcher.of_queries(queries)
    assert lengths.all()
    longest = float(file.lengths.max())
    for query, sketch, length in zip(queries, sketches, lengths, strict=True):
        exact = distances(metric, rows, np.arange(40), query)
        least = sketcher.least_scores(np.full(40, length), exact, longest)
        assert (file.sketches @ sketch >= least).all()
        assert (sketch @ file.sketches.T >= least).all()


@pytest.mark.integration
@given(
    metric=FLOAT_METRICS,
    seed=st.integers(0, 2**32),
    limit=st.integers(1, 10),
    way=st.sampled_from(WAYS),
)
def test_vectors_of_very_different_lengths(metric: Metric, seed: int, limit: int, way: str) -> None:
    generator = np.random.default_rng(seed)
    lengths = 10.0 ** generator.uniform(-3, 3, (110, 1))
    vectors = (clustered(seed, 110, 64) * lengths).astype(np.float32)
    agree(metric, vectors[:107], vectors[107:], limit, way)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_vectors_along_single_directions(metric: Metric) -> None:
    """Whatever a sketch keeps, most of these lie outside of it, at the same distances."""
    axes = np.eye(128, dtype=np.float32)
    vectors = np.concatenate([axes, -axes, 2 * axes, axes])
    for way in WAYS:
        agree(metric, vectors, np.concatenate([axes[:3], axes[:1] + axes[1:2]]), 20, way)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_a_sample_that_misses_what_matters(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxsearch.vectors.row_map_writer._SAMPLE", 2)
    vectors = clustered(0, 500, 64)
    for way in WAYS:
        agree(metric, vectors, vectors[:7] + np.float32(0.01), 10, way)


@pytest.mark.parametrize("metric", list(Metric))
def test_rows_that_may_not_be_found(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_search, "_SMALL", 0)
    columns = 64 if metric is not Metric.HAMMING else 8
    spec = CollectionSpec("c", 64, "f", metric)
    vectors = (
        clustered(1, 2_000, columns)
        if metric is not Metric.HAMMING
        else random_vectors(spec, 2_000)
    )
    search = BoundedSearch(mapped(spec, vectors), metric)
    generator = np.random.default_rng(2)
    for count in (1, 30, 200, 1_900):
        live = np.sort(generator.choice(2_000, count, replace=False))
        store = InMemoryVectorStore()
        store.ensure_collection(spec)
        store.upsert("c", [key(int(place)) for place in live], vectors[live])
        for limit in (1, 10, 150):
            (alone,) = search.search(vectors[:1], limit, live)
            assert alone == store.search("c", vectors[:1], limit)[0]
            assert search.search(vectors[:5], limit, live) == store.search("c", vectors[:5], limit)


@pytest.mark.parametrize("few", [0, 100, 10_000])
def test_rows_are_the_same_however_they_are_read(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("onnxsearch.vectors.row_map._FEW", few)
    vectors = clustered(4, 500, 80)
    rows = mapped(CollectionSpec("c", 80, "f"), vectors)
    for places in ([3], [499, 0, 7, 7], list(range(0, 500, 3)), []):
        taken = rows.take(np.array(places, np.intp))
        np.testing.assert_array_equal(taken, vectors[places])


def test_most_rows_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, vectors = CollectionSpec("c", 64, "f"), clustered(3, 5_000, 64)
    rows, read = mapped(spec, vectors), list[int]()
    take = RowMap.take

    def counted(self: RowMap, places: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Vectors:
        read.append(len(places))
        return take(self, places)

    monkeypatch.setattr(RowMap, "take", counted)
    monkeypatch.setattr(RowMap, "all_vectors", None)
    (matches,) = BoundedSearch(rows, Metric.L2).search(vectors[:1], 10, None)
    assert matches[0] == Match(key(0), 0.0)
    assert sum(read) < 500


def test_sketches_that_do_not_help_are_tried_less_and_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_search, "_SMALL", 0)
    spec = CollectionSpec("c", 128, "f")
    vectors = random_vectors(spec, 1_000)
    search = BoundedSearch(mapped(spec, vectors), Metric.L2)
    tried, searches = list[int](), list[list[list[Match]]]()
    bounded = BoundedSearch._bounded

    def counted(self: BoundedSearch, *arguments: object) -> object:
        tried.append(len(searches))
        return bounded(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(BoundedSearch, "_bounded", counted)
    queries = random_vectors(spec, 5, seed=1)
    wanted = plain(spec, vectors).search("c", queries, 3)
    while len(searches) < 64:
        searches.append(search.search(queries, 3, None))
        assert searches[-1] == wanted
    assert tried == [0, 2, 6, 14, 30, 62]


def test_the_width_of_a_sketch_follows_the_vectors() -> None:
    """Few numbers serve vectors that extend in few directions; random ones get a fifth."""
    spec = CollectionSpec("c", 160, "f")
    generator = np.random.default_rng(5)
    flat = generator.standard_normal((400, 8)) @ generator.standard_normal((8, 160))
    for vectors, width in ((flat.astype(np.float32), 16), (random_vectors(spec, 400), 32)):
        assert mapped(spec, vectors).sketches.shape == (400, width)


def wide(rows: int) -> Vectors:
    return np.random.default_rng(0).normal(size=(rows, 2304)).astype(np.float32)


@pytest.mark.parametrize(
    ("rows", "width"), [pytest.param(260, 256, marks=pytest.mark.integration), (40, 43)]
)
def test_wide_rows_have_short_sketches(rows: int, width: int) -> None:
    """All principal directions of 4,096 numbers would take more than a minute."""
    sketcher = mapped(CollectionSpec("c", 2304, "f"), wide(rows)).sketcher
    assert sketcher is not None
    assert sketcher.width == width


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_wide_rows_are_found(metric: Metric) -> None:
    agree(metric, wide(40), wide(43)[40:], 5, "together")


def test_wide_rows_of_zeros_have_no_sketches() -> None:
    assert mapped(CollectionSpec("c", 2304, "f"), 0 * wide(9)).sketcher is None


def test_sketches_that_do_not_help_with_many_hits_are_still_used_for_few() -> None:
    tried: list[int] = []

    class Recorded(BoundedSearch):
        def _bounded(
            self, sketcher: Sketcher, queries: Vectors, limit: int, live: Positions | None
        ) -> Iterator[list[Match] | None]:
            tried.append(limit)
            few = super()._bounded(sketcher, queries, limit, live)
            return few if limit < 5 else iter([None] * len(queries))

    vectors = clustered(0, 400, 64)
    search = Recorded(mapped(CollectionSpec("c", 64, "f"), vectors), Metric.L2)
    for _ in range(5):
        assert len(search.search(vectors[:1], 8, None)[0]) == 8
        assert len(search.search(vectors[:1], 2, None)[0]) == 2
    # After each search that was in vain, more of them do without.
    assert tried == [8, 2, 2, 8, 2, 2, 2]
    search.search(vectors[:1], 4, None)
    assert tried[-1] == 4
