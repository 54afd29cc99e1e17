"""The nearest other rows are those that sorting all of them finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from onnxsearch.vectors import nearest_others
from onnxsearch.vectors.nearest_others import highest, scores_of_others


@given(st.data())
def test_the_highest_are_the_first_of_all_sorted(data: st.DataObject) -> None:
    # Few different numbers, so that many are equal.
    rows, columns = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
    numbers = st.lists(st.integers(-2, 2), min_size=rows * columns, max_size=rows * columns)
    scores = np.array(data.draw(numbers), np.float32).reshape(rows, columns)
    check(scores, data.draw(st.integers(0, columns)))


def check(scores: NDArray[np.float32], count: int) -> None:
    places, found = highest(scores, count)
    expected = np.sort(scores, axis=1)[:, ::-1][:, :count]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.take_along_axis(scores, places, axis=1), expected)
    for row in places.tolist():
        assert len(set(row)) == count
    for row, of_row in zip(places, found, strict=True):
        assert all(
            a < b for a, b, x, y in zip(row, row[1:], of_row, of_row[1:], strict=False) if x == y
        )


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 6),
    columns=st.integers(16, 400),
    different=st.sampled_from([1, 3, 30, 10**9]),
    share=st.floats(0, 1),
)
def test_the_highest_of_many_are_the_first_of_all_sorted(
    seed: int, rows: int, columns: int, different: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(-different, different, (rows, columns)).astype(np.float32)
    scores[random.random(scores.shape) < 0.02] = -np.inf
    check(scores, 1 + int(share * (columns // 16 - 1)))


@pytest.mark.parametrize("number", [1, 3, 100])
def test_scores_that_are_no_numbers_do_no_harm(number: int) -> None:
    scores = np.random.default_rng(0).standard_normal((3, 500), np.float32)
    scores[1, :: 500 // number] = np.nan
    places, _ = highest(scores, 5)
    assert places.shape == (3, 5)
    for row in (0, 2):
        assert places[row].tolist() == np.argsort(-scores[row])[:5].tolist()


def whole_numbers(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).integers(-3, 4, (rows, 5)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_scores_are_products_and_none_of_a_row_with_itself(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(nearest_others, "_BLOCK", block)
    matrix, rows = whole_numbers(20), np.array([0, 3, 4, 11, 19])
    less = np.square(matrix).sum(axis=1) / 2
    for taken, of_each in ((None, 0.0), (less, less)):
        blocks = list(scores_of_others(matrix, rows, taken))
        np.testing.assert_array_equal(np.concatenate([some for some, _ in blocks]), rows)
        scores = np.concatenate([scores for _, scores in blocks])
        expected = matrix[rows] @ matrix.T - of_each
        expected[np.arange(len(rows)), rows] = -np.inf
        np.testing.assert_array_equal(scores, expected)
