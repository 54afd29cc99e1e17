"""The SQLite store: files, processes, power."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from onnxsearch import (
    InvalidArgumentError,
    SQLiteMetadataStore,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)
from onnxsearch.metadata.base import Cell

CELL = Cell("pets", "a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite"


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def test_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        SQLiteMetadataStore(tmp_path)


def test_refuses_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="there is no folder"):
        SQLiteMetadataStore(tmp_path / "none" / "records.sqlite")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_refuses_a_folder_that_it_may_not_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnavailableError, match=r"records\.sqlite"):
        SQLiteMetadataStore(tmp_path / "records.sqlite")


def test_refuses_what_is_no_database(path: Path) -> None:
    path.write_text("This is a text, and long enough to be read as a header." * 20)
    with pytest.raises(StoreCorruptError, match=r"records\.sqlite") as caught:
        SQLiteMetadataStore(path)
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)


def test_refuses_another_applications_database(path: Path) -> None:
    ask(path, "CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match="another application"):
        SQLiteMetadataStore(path)
    assert path.read_bytes() == before


def test_refuses_a_later_format(path: Path) -> None:
    SQLiteMetadataStore(path).close()
    ask(path, "PRAGMA user_version = 99")
    with pytest.raises(StoreCorruptError, match="format 99"):
        SQLiteMetadataStore(path)


def test_reports_damage_while_it_is_open(path: Path) -> None:
    with SQLiteMetadataStore(path) as store:
        store.commit({Cell("pets", f"{n}"): bytes(2000) for n in range(100)})
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xaa" * (len(content) - 8192)
    path.write_bytes(content)
    with SQLiteMetadataStore(path) as store, pytest.raises(StoreCorruptError):
        list(store.items("pets"))


def test_syncs_every_commit(path: Path) -> None:
    with SQLiteMetadataStore(path) as store:
        assert ask(path, "PRAGMA journal_mode") == [("wal",)]
        # A setting of the connection, so it cannot be asked from outside.
        with store._database.write() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_reads_while_another_process_writes(path: Path) -> None:
    with SQLiteMetadataStore(path, timeout=0.1) as store:
        store.commit({CELL: b"cat"})
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM cell")
            assert store.get(*CELL) == b"cat"
            with pytest.raises(StoreLockedError, match=r"0\.1 s"):
                store.commit({CELL: b"dog"})
            other.execute("ROLLBACK")
        assert store.commit({CELL: b"dog"}) is True


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_is_usable_after_ctrl_c(path: Path) -> None:
    """Ctrl-C strikes while the store waits for another process."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def press_and_release() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        other.execute("ROLLBACK")

    with SQLiteMetadataStore(path, timeout=30) as store:
        other.execute("BEGIN IMMEDIATE")
        helper = threading.Thread(target=press_and_release)
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            store.commit({CELL: b"cat"})
        helper.join()
        other.close()
        assert store.get(*CELL) is None
        assert store.commit({CELL: b"dog"}) is True
        with SQLiteMetadataStore(path, timeout=0.1) as second:
            assert second.commit({CELL: b"cat"}) is True


def test_is_usable_after_a_commit_that_failed(path: Path) -> None:
    with SQLiteMetadataStore(path) as store:
        with store._database.write() as connection:
            connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(StoreUnavailableError, match="full"):
            store.commit({CELL: b"cat", Cell("pets", "b"): bytes(100_000)})
        assert store.count("pets") == 0
        assert store.commit({CELL: b"cat"}) is True


def test_refuses_a_negative_timeout(path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        SQLiteMetadataStore(path, timeout=-1)


def test_folds_its_log_into_the_file_while_it_is_listed(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    with SQLiteMetadataStore(path) as store:
        store.commit({Cell("pets", f"{n:04}"): bytes(100) for n in range(2000)})
        listing = store.items("pets")
        next(listing)
        for _ in range(100):
            store.commit({CELL: os.urandom(100_000)})
        assert log.stat().st_size < 10_000_000
        assert sum(1 for _ in listing) >= 1999


OPEN_AND_COUNT = """
import sys, time
from onnxsearch import SQLiteMetadataStore
from onnxsearch.metadata.base import Cell
cell = Cell("counters", "n")
time.sleep(max(0, float(sys.argv[2]) - time.time()))
with SQLiteMetadataStore(sys.argv[1]) as store:
    for _ in range(25):
        written = False
        while not written:
            before = store.get(*cell)
            after = b"%d" % (int(before or 0) + 1)
            written = store.commit({cell: after}, expect={cell: before})
"""


OPEN_MANY = """
import sys, time
from onnxsearch import SQLiteMetadataStore
for number in range(150):
    start = float(sys.argv[2]) + 0.02 * number
    time.sleep(max(0, start - time.time()))
    SQLiteMetadataStore(f"{sys.argv[1]}/{number}.sqlite").close()
"""


@pytest.mark.integration
def test_processes_make_many_files_at_once(tmp_path: Path) -> None:
    together = str(time.time() + 3)
    workers = [
        subprocess.Popen([sys.executable, "-c", OPEN_MANY, str(tmp_path), together])
        for _ in range(4)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0, 0]


def test_processes_make_and_share_one_file(path: Path) -> None:
    together = str(time.time() + 1)
    workers = [
        subprocess.Popen([sys.executable, "-c", OPEN_AND_COUNT, str(path), together])
        for _ in range(3)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    with SQLiteMetadataStore(path) as store:
        assert store.get("counters", "n") == b"75"
