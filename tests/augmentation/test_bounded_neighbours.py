"""Neighbours that bounds find are those that comparing all pairs finds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxsearch.augmentation import bounded_neighbours
from onnxsearch.augmentation.neighbours import Neighbours, complete

COUNT = 5


@pytest.fixture(autouse=True)
def bounds_for_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_neighbours, "_FEW", 10)
    monkeypatch.setattr(bounded_neighbours, "_TALL", 150)
    monkeypatch.setattr(bounded_neighbours, "_WIDE", 40)
    monkeypatch.setattr(bounded_neighbours, "_READ", 1000)
    monkeypatch.setattr(bounded_neighbours, "_WIDTHS", (24, 48))
    monkeypatch.setattr(bounded_neighbours, "_GROUP", 40)


def clustered(rows: int, noise: float) -> NDArray[np.float32]:
    random = np.random.default_rng(rows)
    centres = random.standard_normal((rows // 12, 128)) * np.linspace(1, 0.05, 128)
    vectors = centres[random.integers(0, len(centres), rows)]
    vectors = vectors + noise * random.standard_normal((rows, 128)) * np.linspace(1, 0.05, 128)
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
        np.float32
    )
    return unit


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.3, 3.0])
def test_the_neighbours_are_those_of_all_pairs(noise: float) -> None:
    vectors = clustered(500, noise)
    found, expected = Neighbours.none(500, COUNT), Neighbours.none(500, COUNT)
    compared: list[int] = []
    bounded_neighbours.nearest_of_all(found, vectors, compared.append)
    complete(expected, vectors, np.arange(500), np.zeros(500, bool), lambda _: None)
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6)
    assert sum(compared) == 500
    for row, others in enumerate(found.places):
        assert len(set(others.tolist()) - {row, -1}) == COUNT
        np.testing.assert_allclose(
            vectors[others] @ vectors[row], found.similarities[row], atol=1e-6
        )


def test_the_speed_of_threads_changes_nothing() -> None:
    vectors = np.repeat(clustered(120, 0.3), 5, axis=0)
    found = [Neighbours.none(600, COUNT) for _ in range(3)]
    for each in found:
        bounded_neighbours.nearest_of_all(each, vectors, lambda _: None)
    for each in found[1:]:
        np.testing.assert_array_equal(each.places, found[0].places)
        np.testing.assert_array_equal(each.similarities, found[0].similarities)
