"""Stores that fail and hang on demand do as they say."""

from __future__ import annotations

import threading

import pytest

from onnxsearch import Cell, InMemoryMetadataStore, StoreUnavailableError
from onnxsearch.testing import Faults, FaultyMetadataStore

CELL = Cell("pets", "a")


def test_a_write_hangs_until_it_is_released() -> None:
    faults, behind = Faults(), InMemoryMetadataStore()
    store = FaultyMetadataStore(behind, faults)
    faults.hang(at=1, timeout=60)
    thread = threading.Thread(target=lambda: [store.commit({CELL: b"%d" % n}) for n in range(3)])
    thread.start()
    assert faults.hanging.wait(60)
    assert behind.get(*CELL) == b"0"
    faults.release()
    thread.join()
    assert behind.get(*CELL) == b"2"


@pytest.mark.parametrize(("moment", "value"), [("before", None), ("after", b"cat")])
def test_a_write_that_hangs_too_long_fails(moment: str, value: bytes | None) -> None:
    faults, behind = Faults(), InMemoryMetadataStore()
    store = FaultyMetadataStore(behind, faults)
    faults.hang(at=0, moment=moment, timeout=0.01)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError, match="within"):
        store.commit({CELL: b"cat"})
    assert behind.get(*CELL) == value
    assert store.commit({CELL: b"dog"}), "only one write hangs"
