"""The order in which hits that are unlike each other are chosen."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from onnxsearch import Metric
from onnxsearch.search.diversity import most_diverse

ROWS = st.lists(st.binary(min_size=2, max_size=2), min_size=2, max_size=9)


@given(ROWS, st.floats(0.1, 1))
def test_set_and_unset_bits_count_alike(rows: list[bytes], diversity: float) -> None:
    query, *candidates = (np.frombuffer(row, np.uint8) for row in rows)
    matrix = np.stack(candidates)
    order = most_diverse(Metric.HAMMING, query, matrix, len(matrix), diversity)
    assert most_diverse(Metric.HAMMING, ~query, ~matrix, len(matrix), diversity) == order


def test_the_complement_is_the_least_alike() -> None:
    bits = np.array([[0b11111111], [0b11111110], [0b11110000], [0b00000000]], np.uint8)
    assert most_diverse(Metric.HAMMING, bits[0], bits, 3, 0.9) == [0, 3, 2]
