"""Neighbours in a plane are those of the definition, wherever the points lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from onnxsearch.album_map import neighbours
from onnxsearch.album_map.neighbours import planar_neighbours


def agree(points: np.ndarray, count: int) -> None:
    found = planar_neighbours(points, count)
    apart = np.linalg.norm(points[:, np.newaxis].astype(np.float64) - points, axis=2)
    chosen = np.take_along_axis(apart, found.places, axis=1)
    np.fill_diagonal(apart, np.inf)
    wanted = np.sort(apart, axis=1)[:, :count]
    scale = max(1.0, float(np.abs(points).max()))
    assert np.allclose(found.distances, wanted, rtol=1e-5, atol=1e-5 * scale)
    assert np.allclose(chosen, wanted, rtol=1e-5, atol=1e-5 * scale)
    assert not (found.places == np.arange(len(points))[:, np.newaxis]).any()
    assert all(len(set(row)) == count for row in found.places.tolist())


COORDINATES = st.one_of(st.integers(-3, 3), st.floats(-1000, 1000, width=32))


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=2, max_size=60), st.integers(1, 8))
def test_points_anywhere(points: list[tuple[float, float]], count: int) -> None:
    agree(np.array(points, np.float32), min(count, len(points) - 1))


@pytest.mark.parametrize("shape", ["clumps", "a line", "one place", "one far away"])
def test_points_of_a_kind(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_AT_ONCE", 1000)
    random = np.random.default_rng(0)
    points = {
        "clumps": random.normal(0, 0.01, (300, 2)) + random.integers(0, 9, (300, 1)),
        "a line": np.stack([np.arange(300.0), np.zeros(300)], axis=1),
        "one place": np.ones((300, 2)),
        "one far away": np.concatenate([random.normal(size=(299, 2)), [[1e4, -1e4]]]),
    }[shape]
    agree(points.astype(np.float32), 8)
