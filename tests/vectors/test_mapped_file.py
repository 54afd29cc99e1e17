"""The local store's file of mapped rows can be missing, stale or damaged without harm."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    CollectionSpec,
    F,
    InMemoryVectorStore,
    LocalVectorStore,
    StoreCorruptError,
    VectorStore,
)
from onnxsearch._internal.open_files import StoreFileError, is_store_file, open_to_read
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors import local_rows
from onnxsearch.vectors.row_map import RowMap

SPEC = CollectionSpec("photos", 64, "model-1")
VECTORS = random_vectors(SPEC, 1_000)
ROWS = 300


@pytest.fixture(autouse=True)
def files_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_rows, "_IN_MEMORY", 64 * VECTORS[0].nbytes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of 300 rows that wrote its file."""
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as store:
        store.ensure_collection(SPEC)
        put(store, range(ROWS))
        assert nearest(store, 7) == [key(7)]
    return path


def put(store: VectorStore, numbers: range) -> None:
    vectors = VECTORS[numbers.start : numbers.stop]
    store.upsert("photos", list(map(key, numbers)), vectors, [{"n": n} for n in numbers])


def nearest(store: VectorStore, number: int, limit: int = 1) -> list[str]:
    (matches,) = store.search("photos", VECTORS[number : number + 1], limit)
    return [match.key for match in matches]


def files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("vectors.sqlite-rows-*"))


def check(store: VectorStore, numbers: range = range(ROWS)) -> None:
    memory = InMemoryVectorStore()
    memory.ensure_collection(SPEC)
    put(memory, numbers)
    for limit in (1, 10, 1_000):
        wanted = memory.search("photos", VECTORS[:3], limit)
        assert store.search("photos", VECTORS[:3], limit) == wanted
    few = F("n") < 20
    wanted = memory.search("photos", VECTORS[:3], 5, filter=few)
    assert store.search("photos", VECTORS[:3], 5, filter=few) == wanted


def mapped(store: LocalVectorStore) -> int:
    """Return how many rows the store has in a file."""
    (rows,) = store._loaded.values()
    return 0 if rows._file is None else rows._file.rows


def test_the_next_process_reads_no_vectors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(files(path)) == 1
    monkeypatch.setattr(local_rows, "matrix_of", None)
    with LocalVectorStore(path) as store:
        check(store)
        assert mapped(store) == ROWS


def test_a_row_that_is_added_is_the_only_one_that_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, matrix_of = list[int](), local_rows.matrix_of

    def counted(blobs: list[bytes], spec: CollectionSpec) -> object:
        read.append(len(blobs))
        return matrix_of(blobs, spec)

    monkeypatch.setattr(local_rows, "matrix_of", counted)
    with LocalVectorStore(path) as store, LocalVectorStore(path) as other:
        for number in range(ROWS, ROWS + 10):
            put(random.choice([store, other]), range(number, number + 1))
            assert nearest(store, number) == [key(number)]
        assert read == [1] * 10
        check(store, range(ROWS + 10))


def test_rows_that_are_removed_or_replaced_are_not_found(path: Path) -> None:
    with LocalVectorStore(path) as store:
        store.delete("photos", [key(3)])
        store.upsert("photos", [key(4)], VECTORS[900:901])
        assert key(3) not in nearest(store, 3, 400)
        assert nearest(store, 900) == [key(4)]
        assert nearest(store, 4) != [key(4)]
        store.upsert("photos", [key(3)], VECTORS[3:4])
        assert nearest(store, 3) == [key(3)]
    with LocalVectorStore(path) as store:
        assert nearest(store, 900) == [key(4)]
        assert len(nearest(store, 3, 400)) == ROWS


def test_a_new_file_is_written_when_many_rows_have_changed(path: Path) -> None:
    (first,) = files(path)
    with LocalVectorStore(path) as store, LocalVectorStore(path) as reader:
        check(reader)
        put(store, range(ROWS, 500))
        check(store, range(500))
        (second,) = files(path)
        assert second != first
        assert mapped(store) == 500
        check(reader, range(500))  # it takes the file that the other one wrote
        assert files(path) == [second]
        store.delete("photos", list(map(key, range(200, 500))))
        check(store, range(200))
        assert mapped(store) == 200
        check(reader, range(200))


def remove(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 4096)


def lengthen(file: Path) -> None:
    os.truncate(file, file.stat().st_size + 4096)


def mix(file: Path) -> None:
    file.write_bytes(random.Random(1).randbytes(file.stat().st_size))


def flip(region: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        token = bytes.fromhex(file.name[-32:])
        found = RowMap(str(file), token, 1, SPEC)._regions
        with open(file, "r+b") as opened:
            opened.seek(0 if region == "header" else found[region].start + 1)
            (byte,) = opened.read(1)
            opened.seek(-1, 1)
            opened.write(bytes([byte ^ 64]))

    damage.__name__ = f"flip_{region}"
    return damage


REGIONS = ["header", "vectors", "keys", "order", "lengths", "sums", "ends", "texts", "basis"]
DAMAGES = [remove, empty, cut, lengthen, mix, *map(flip, [*REGIONS, "sketches"])]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_found_and_mended(path: Path, damage: Callable[[Path], None]) -> None:
    (before,) = files(path)
    damage(before)
    with LocalVectorStore(path) as store:
        check(store)
        (after,) = files(path)
        assert after != before
        assert mapped(store) == ROWS
    with LocalVectorStore(path) as store:
        check(store)
        assert files(path) == [after]


def test_a_disk_that_damages_every_file_is_not_trusted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.vectors.row_map.row_sums", lambda vectors: np.zeros(1))
    with LocalVectorStore(path) as store:
        check(store)
        assert mapped(store) == 0


@pytest.mark.parametrize("failing", ["open", "chmod"])
def test_a_full_disk_costs_memory_only(
    path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (file,) = files(path)
    file.unlink()
    real = os.open

    def fail(path: str, flags: int, mode: int = 0o777) -> int:
        if failing == "open" and not flags & os.O_CREAT:
            return real(path, flags, mode)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with LocalVectorStore(path) as store:
        check(store)
        assert files(path) == []
        put(store, range(ROWS, 500))
        check(store, range(500))


def test_a_folder_that_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(path)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with LocalVectorStore(path) as store:
        check(store)
        assert mapped(store) == ROWS
    before[0].unlink()
    with LocalVectorStore(path) as store:
        check(store)
        assert mapped(store) == 0
    assert files(path) == []


def test_a_file_of_a_later_state_is_not_used_with_a_backup(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copy(path, backup)
    with LocalVectorStore(path) as store:
        store.delete("photos", [key(3)])
        store.upsert("photos", [key(n) for n in range(ROWS)], VECTORS[500:800])
        assert nearest(store, 503) == [key(3)]
    (later,) = files(path)
    shutil.copy(backup, path)
    with LocalVectorStore(path) as store:
        check(store)
        put(store, range(ROWS, 700))
        check(store, range(700))
        assert later not in files(path) or mapped(store) == 700


def test_a_file_of_another_store_is_not_used(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "vectors.sqlite"
    with LocalVectorStore(other) as store:
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(n) for n in range(ROWS)], VECTORS[500:800])
        assert nearest(store, 503) == [key(3)]
    (mine,), (theirs,) = files(path), files(other)
    shutil.copy(theirs, mine)
    with LocalVectorStore(path) as store:
        check(store)


def test_a_dropped_collection_leaves_no_file(path: Path) -> None:
    with LocalVectorStore(path) as store, LocalVectorStore(path) as other:
        check(other)
        for name in ("sketches", "photos2"):
            store.ensure_collection(CollectionSpec(name, 64, "f"))
            store.upsert(name, list(map(key, range(100))), VECTORS[:100])
            store.search(name, VECTORS[:1], 1)
        assert len(files(path)) == 3
        store.drop("photos")
        assert len(files(path)) == 2
        store.ensure_collection(SPEC)
        assert nearest(store, 3) == []
        assert nearest(other, 3) == []
        put(store, range(100))
        check(other, range(100))


def test_what_a_killed_process_left_is_deleted(path: Path) -> None:
    (named,) = files(path)
    old, new = (path.with_name(f"vectors.sqlite-rows-1-{n * 32}") for n in "ab")
    other = path.with_name("vectors.sqlite-rows-11-" + "a" * 32)
    for left in (old, new, other):
        left.write_bytes(b"half")
    long_ago = time.time() - 2 * 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (long_ago, long_ago))
    with LocalVectorStore(path) as store:
        put(store, range(ROWS, 500))
        check(store, range(500))
    assert named not in files(path)
    assert old not in files(path)
    assert {new, other} < set(files(path))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_the_file_has_the_permissions_of_the_database(tmp_path: Path) -> None:
    for mode in (0o600, 0o640):
        path = tmp_path / f"{mode}" / "vectors.sqlite"
        with LocalVectorStore(path) as store:
            path.chmod(mode)
            store.ensure_collection(SPEC)
            put(store, range(ROWS))
            check(store)
        (file,) = files(path)
        assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_store_that_is_reached_by_a_link_has_one_file(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "links" / "album.sqlite"
    link.parent.mkdir()
    link.symlink_to(path)
    before = files(path)
    with LocalVectorStore(link) as store:
        check(store)
        assert mapped(store) == ROWS
        assert is_store_file(before[0])
    assert files(path) == before
    assert list(link.parent.iterdir()) == [link]


def test_the_file_belongs_to_the_store(path: Path, tmp_path: Path) -> None:
    (file,) = files(path)
    link = tmp_path / "elsewhere"
    link.symlink_to(tmp_path)
    with LocalVectorStore(path) as store:
        check(store)
        for name in (file, link / file.name):
            with pytest.raises(StoreFileError), open_to_read(name):
                pass
        beside = tmp_path / "folder" / file.name
        beside.parent.mkdir()
        beside.write_bytes(b"")
        assert not is_store_file(beside)
    with open_to_read(file):
        pass


def test_a_vector_that_the_database_damaged_is_reported(path: Path) -> None:
    (file,) = files(path)
    file.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vectors SET vector = x'00' WHERE change = 5")
    connection.close()
    with LocalVectorStore(path) as store, pytest.raises(StoreCorruptError, match="photos"):
        nearest(store, 1)
    assert files(path) == []


CHILD = """
import sys
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch import CollectionSpec, LocalVectorStore
from onnxsearch.vectors import local_rows
local_rows._IN_MEMORY = 0
local_rows._GROWTH = 10**9 if sys.argv[2] == "search" else 8
spec = CollectionSpec("photos", 64, "model-1")
vectors = random_vectors(spec, 1_000)
with LocalVectorStore(sys.argv[1]) as store:
    store.ensure_collection(spec)
    for turn in range(int(sys.argv[3]), 1_000_000):
        number = turn % 1_000
        if sys.argv[2] == "write":
            store.upsert("photos", [key(number)], vectors[number : number + 1], [{"n": number}])
            print(number, flush=True)
            store.delete("photos", [key((number + 500) % 1_000)])
        (matches,) = store.search("photos", vectors[number : number + 1], 1)
        if sys.argv[2] == "write":
            assert matches[0] == (key(number), 0.0), (number, matches)
        elif turn % 50 == 0:
            print(number, flush=True)
"""


def child(path: Path, role: str, first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(path), role, str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(6, marks=pytest.mark.integration), pytest.param(60, marks=pytest.mark.slow)],
)
@pytest.mark.timeout(1200)
def test_processes_that_are_killed_leave_no_wrong_answer(tmp_path: Path, kills: int) -> None:
    """One writes rows and files until it is killed, another one searches all the time."""
    path, dice = tmp_path / "vectors.sqlite", random.Random(5)
    acknowledged, seen = dict[int, bool](), 0
    with LocalVectorStore(path) as store:
        store.ensure_collection(SPEC)
        put(store, range(1))
    with child(path, "search", 0) as searcher:
        for kill in range(kills):
            with child(path, "write", 37 * kill) as writer:
                assert writer.stdout is not None
                lines = [writer.stdout.readline()]
                time.sleep(dice.uniform(0, 1))
                writer.kill()
                lines += writer.stdout.readlines()
            assert writer.returncode == -9, "the writer failed before it was killed"
            numbers = [int(line) for line in lines if line.endswith("\n")]
            seen += len(numbers)
            for number in numbers:
                acknowledged |= {number: True, (number + 500) % 1_000: False}
            # What it did after its last words is not known.
            for number in (numbers[-1] + 1, numbers[-1] + 500):
                acknowledged.pop(number % 1_000, None)
            assert searcher.poll() is None, "the searching process failed"
            with LocalVectorStore(path) as store:
                for number, there in acknowledged.items():
                    assert (nearest(store, number) == [key(number)]) is there, (kill, number)
                stored = sorted(store.ids("photos"))
                assert sorted(nearest(store, 1, 2_000)) == stored
        searcher.kill()
    print(f"{kills} kills, {seen} acknowledged, {len(files(path))} files left")
