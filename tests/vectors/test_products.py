"""Products in pieces are those of the whole matrices."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsearch.vectors import products as module
from onnxsearch.vectors.products import in_threads, products


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize(
    ("rows", "queries", "columns"),
    [
        (0, 3, 70),
        (1, 1, 70),
        (100, 1, 70),
        (101, 2, 70),
        (300, 64, 70),
        (300, 5, 1),
        (7, 130, 70),
    ],
)
def test_equals_the_product_of_the_matrices(
    monkeypatch: pytest.MonkeyPatch, rows: int, queries: int, columns: int, cores: int
) -> None:
    monkeypatch.setattr(module, "cores", lambda: cores)
    for name, small in (("_PART", 64), ("_PIECE", 1 << 13), ("_DEEP", 32), ("_BLOCK", 40)):
        monkeypatch.setattr(module, name, small)
    generator = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        left = generator.integers(-9, 9, (rows, columns)).astype(dtype)
        right = generator.integers(-9, 9, (queries, columns)).astype(dtype)
        found = products(right, left)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, right @ left.T)


def test_threads_return_results_in_order_and_ignore_what_the_caller_ignores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "cores", lambda: 3)
    with np.errstate(over="ignore"):
        assert in_threads(lambda n: float(np.float32(n) * np.float32(3e38)), range(4)) == [
            0.0,
            float(np.float32(3e38)),
            np.inf,
            np.inf,
        ]
