"""After a kill at any moment, no acknowledged commit is lost, and none is there in part."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from onnxsearch import (
    MetadataStore,
    RedisMetadataStore,
    SQLiteMetadataStore,
    StoreUnavailableError,
)
from onnxsearch.metadata.base import Cell
from tests.killed import last_number
from tests.servers import RedisServer

pytestmark = pytest.mark.integration

ROUNDS = 6


def write(store: MetadataStore, number: int) -> bool:
    """Write commit `number`: the same value to two tables, large enough to be cut."""
    value = b"%d" % number * 5000
    cells = [Cell(table, f"{number:08}") for table in ("left", "right")]
    last = Cell("left", "last")
    return store.commit({last: b"%d" % number, **dict.fromkeys(cells, value)})


def check(store: MetadataStore, acknowledged: int) -> int:
    """Check that commits 0 to `acknowledged`, and perhaps more, are there in full."""
    left, right = dict(store.items("left")), dict(store.items("right"))
    last = int(left.pop("last", b"-1"))
    assert last >= acknowledged
    assert left == right
    assert left == {f"{number:08}": b"%d" % number * 5000 for number in range(last + 1)}
    return last


WRITER = """
import os, sys
from itertools import count
from onnxsearch import SQLiteMetadataStore
from tests.metadata.test_crash import write
store = SQLiteMetadataStore(sys.argv[1])
for number in count(int(sys.argv[2])):
    write(store, number)
    os.write(1, b"%d\\n" % number)
"""


def test_sqlite_outlives_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    last = -1
    for round_ in range(ROUNDS):
        acknowledged = last_number(WRITER, str(path), first=last + 1, round_=round_)
        with SQLiteMetadataStore(path) as store:
            last = check(store, acknowledged)


def test_redis_outlives_its_server(tmp_path: Path) -> None:
    last = -1
    with RedisServer(tmp_path).start(aof="always") as server:
        for round_ in range(ROUNDS):
            with RedisMetadataStore(server.url) as store:
                kill = threading.Timer(0.05 + 0.037 * round_, server.kill9)
                kill.start()
                acknowledged = write_until_it_fails(store, last + 1)
                kill.join()
            server.restart()
            with RedisMetadataStore(server.url) as store:
                last = check(store, acknowledged)
    assert last > ROUNDS


def write_until_it_fails(store: MetadataStore, number: int) -> int:
    while True:
        try:
            write(store, number)
        except StoreUnavailableError:
            return number - 1
        number += 1
