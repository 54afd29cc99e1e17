"""What was opened before a fork is of no use after it, and comes to no harm."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    ClosedError,
    CollectionSpec,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    LocalVectorStore,
    MilvusVectorStore,
    SearchEngine,
    SQLiteMetadataStore,
    StoreLockedError,
)
from onnxsearch.metadata.base import Cell
from onnxsearch.testing import FakeEmbedder, picture
from tests.internal.file_locks import locks_of

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning"),
]


def in_fork(work: Callable[[], None]) -> None:
    """Run `work` in a forked process, which ends as a killed one does; raise if it failed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_an_engine_is_refused_in_a_fork():
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())

    def child() -> None:
        for use in (lambda: engine.add(picture("a")), engine.count, lambda: engine.search("a.png")):
            with pytest.raises(ClosedError, match=f"opened by process {os.getppid()}"):
                use()
        engine.close()

    in_fork(child)
    assert engine.add(picture("a"), id="a") == "a"


def test_stores_in_files_are_refused_in_a_fork(tmp_path: Path):
    vectors, records = LocalVectorStore(tmp_path / "v"), SQLiteMetadataStore(tmp_path / "r")

    def child() -> None:
        for use in (vectors.collections, lambda: records.count("t"), lambda: records.commit({})):
            with pytest.raises(ClosedError, match="after the fork"):
                use()

    in_fork(child)
    assert records.commit({Cell("t", "a"): b"1"})
    assert vectors.collections() == []


def test_what_a_fork_stores_outlives_it_whoever_closes_first(tmp_path: Path):
    def open_album() -> SearchEngine:
        return SearchEngine.open(tmp_path / "album", embedders=FakeEmbedder(), workers=1)

    engine = open_album()
    engine.add(picture("before"), id="before")
    closed_here, signal = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(signal)
        status = 1
        try:
            new = open_album()
            os.read(closed_here, 1)
            for number in range(20):
                new.add(picture("after"), id=f"after {number}")
            status = 0
        finally:
            os._exit(status)  # without closing anything
    engine.close()
    os.close(signal)
    os.close(closed_here)
    assert os.waitpid(child, 0)[1] == 0
    with open_album() as engine:
        assert engine.count() == 21
        assert engine.verify().ok


@pytest.mark.skipif(sys.platform != "linux", reason="Linux shows locks in /proc")
def test_closing_in_a_fork_leaves_the_locks_and_the_log_of_its_parent(tmp_path: Path):
    store = SQLiteMetadataStore(tmp_path / "r.sqlite")
    store.commit({Cell("t", "a"): b"1"})
    before = locks_of(tmp_path)
    in_fork(store.close)
    assert locks_of(tmp_path) == before > 0
    assert (tmp_path / "r.sqlite-wal").stat().st_size > 0


@pytest.mark.integration
def test_a_fork_waits_for_a_write_that_is_under_way(tmp_path: Path):
    store = LocalVectorStore(tmp_path / "v.sqlite")
    store.ensure_collection(CollectionSpec("c", 2, fingerprint="f"))
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            store.upsert("c", [f"{number:032x}"], np.ones((1, 2), np.float32))

    def child() -> None:
        with LocalVectorStore(tmp_path / "v.sqlite") as new:
            assert new.collections() == ["c"]

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(10):
            in_fork(child)
    finally:
        stop.set()
        thread.join()
    assert store.count("c") == len(list(store.ids("c")))


def test_milvus_lite_is_refused_in_a_fork(tmp_path: Path):
    pytest.importorskip("milvus_lite")
    store = MilvusVectorStore(tmp_path / "x.db")
    store.ensure_collection(CollectionSpec("c", 2, fingerprint="f"))

    def child() -> None:
        with pytest.raises(ClosedError, match="after the fork"):
            store.collections()
        store.close()
        with pytest.raises(StoreLockedError, match="forked"):
            MilvusVectorStore(tmp_path / "x.db")

    in_fork(child)
    assert store.collections() == ["c"]
    store.close()
    MilvusVectorStore(tmp_path / "x.db").close()
