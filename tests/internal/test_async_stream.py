"""Blocking iterators, as an event loop advances them."""

from __future__ import annotations

import pytest

from onnxsearch import ClosedError
from onnxsearch._internal.async_stream import BlockingIterator


def test_a_closed_iterator_does_not_seem_to_be_at_its_end() -> None:
    items = BlockingIterator(lambda: range(3), most=2)
    assert items.take() == [0, 1]
    items.close()
    with pytest.raises(ClosedError, match="closed meanwhile"):
        items.take()


def test_an_iterator_ends_with_nothing() -> None:
    items = BlockingIterator(lambda: range(1), most=2)
    assert (items.take(), items.take()) == ([0], [])
