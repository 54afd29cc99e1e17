"""Near-duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from onnxsearch import (
    CollectionSpec,
    Embedder,
    Filter,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Match,
    SearchEngine,
    Tensor,
    Vectors,
    VectorStore,
)


class Angle(Embedder):
    """Reads a picture's red and green as an angle in tenths of a degree."""

    name, dimension, fingerprint = "angle", 2, "angle"  # type: ignore[assignment]

    def prepare(self, image: ImageInput) -> Tensor:
        red, green, _ = np.asarray(image)[0, 0]
        turn = np.deg2rad((int(red) * 256 + int(green)) / 10)
        return np.array([np.cos(turn), np.sin(turn)])

    def run(self, batch: Tensor) -> Tensor:
        return batch


def chord(degrees: float) -> float:
    return float(2 * np.sin(np.deg2rad(degrees) / 2))


def engine_of(degrees: Sequence[float], store: VectorStore | None = None) -> SearchEngine:
    engine = SearchEngine([Angle()], store or InMemoryVectorStore(), InMemoryMetadataStore())
    for number, angle in enumerate(degrees):
        tenths = round(angle * 10)
        pixel = np.array([[[tenths // 256, tenths % 256, number % 256]]], np.uint8)
        engine.add(pixel, id=f"{number}")
    return engine


def test_groups_reach_by_way_of_others() -> None:
    engine = engine_of([10, 11, 12, 13, 50, 50.5, 90, 120])
    assert engine.duplicates(chord(1.1)) == [("0", "1", "2", "3"), ("4", "5")]
    assert engine.duplicates(chord(0.6)) == [("4", "5")]
    assert engine.duplicates(0.0001) == []
    assert engine_of([]).duplicates(1.0) == []


def test_a_group_larger_than_what_is_asked_at_first() -> None:
    engine = engine_of([10 + 0.1 * n for n in range(40)] + [100, 100])
    assert [len(group) for group in engine.duplicates(chord(5))] == [40, 2]


@given(st.lists(st.integers(0, 900).map(lambda tenths: tenths / 10), min_size=2, max_size=25))
def test_groups_are_those_of_single_linkage(degrees: list[float]) -> None:
    radians = np.deg2rad(degrees)
    points = np.column_stack([np.cos(radians), np.sin(radians)])
    labels = fcluster(linkage(pdist(points), "single"), chord(2.05), "distance")
    expected = {
        frozenset(str(n) for n in np.flatnonzero(labels == label))
        for label in set(labels.tolist())
        if (labels == label).sum() > 1
    }
    assert {frozenset(group) for group in engine_of(degrees).duplicates(chord(2.05))} == expected


def test_a_threshold_that_parts_pairs_from_others() -> None:
    engine = engine_of([10, 11, 30, 32, 60, 61.5, 80, 85])
    threshold = engine.duplicate_threshold([("0", "1"), ("2", "3"), ("5", "4")])
    assert (threshold.precision, threshold.recall) == (1.0, 1.0)
    assert chord(2) < threshold.max_distance < chord(18)
    assert engine.duplicates(chord(2.1)) == [("0", "1"), ("2", "3"), ("4", "5")]


def test_a_threshold_is_the_distance_of_greatest_f1() -> None:
    # Pairs 2 and 10 degrees apart; their nearest others are 4 and 14 degrees away.
    engine = engine_of([0, 2, 90, 100, 104])
    threshold = engine.duplicate_threshold([("0", "1"), ("2", "3")])
    assert chord(10) <= threshold.max_distance < chord(14)
    assert (threshold.precision, threshold.recall) == (pytest.approx(2 / 3), 1.0)


def test_a_threshold_holds_what_it_was_made_from() -> None:
    engine = engine_of([0, 2, 90, 100, 104])
    threshold = engine.duplicate_threshold([("2", "3"), ("0", "1")])
    assert threshold.pair_distances == pytest.approx([chord(2), chord(10)], abs=1e-6)
    others = [chord(4), chord(14), chord(88), chord(90)]
    assert threshold.rival_distances == pytest.approx(others, abs=1e-6)
    assert "distances" not in repr(threshold)


def test_a_threshold_where_nothing_parts_them() -> None:
    # The rival of 0 is nearer than its partner.
    engine = engine_of([10, 14, 11, 50, 51])
    threshold = engine.duplicate_threshold([("0", "1"), ("3", "4")])
    assert threshold.precision < 1 or threshold.recall < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda engine: engine.duplicate_threshold([]), "pairs are empty"),
        (lambda engine: engine.duplicate_threshold([("0", "0")]), "no pair"),
        (lambda engine: engine.duplicate_threshold([("0", "nobody")]), "'nobody'"),
        (lambda engine: engine.duplicates(float("nan")), "nan"),
    ],
)
def test_bad_input_is_told(call: Callable[[SearchEngine], object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        call(engine_of([10, 20]))


class Rounding(InMemoryVectorStore):
    """Gives distances a little too great, as float32 products do."""

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        found = super()._search(spec, queries, limit, filter)
        return [[Match(key, distance + 2e-4) for key, distance in row] for row in found]


@pytest.mark.parametrize("store", [InMemoryVectorStore, Rounding])
def test_a_threshold_fits_the_duplicates_in_every_store(store: type[VectorStore]) -> None:
    engine = engine_of([10, 12], store())
    threshold = engine.duplicate_threshold([("0", "1")])
    # There is no rival, so the distance of the pair itself is the border, exactly.
    assert engine.duplicates(threshold.max_distance) == [("0", "1")]
    assert engine.duplicates(np.nextafter(threshold.max_distance, 0)) == []
    many = [10, 11, 30, 32, 60, 61.5, 80, 85]
    pairs = [("0", "1"), ("2", "3"), ("5", "4")]
    expected = engine_of(many).duplicate_threshold(pairs)
    assert engine_of(many, store()).duplicate_threshold(pairs) == expected
