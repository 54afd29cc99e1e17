"""The local store is durable, shared by processes, and reports damaged files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    CollectionNotFoundError,
    CollectionSpec,
    LocalVectorStore,
    StoreCorruptError,
    StoreError,
    VectorStore,
)
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors import local

SPEC = CollectionSpec("photos", 32, "model-1")
VECTORS = random_vectors(SPEC, 1_000)

WRITER = """
import sys
from onnxsearch import CollectionSpec, LocalVectorStore
from onnxsearch.testing.vector_samples import key, random_vectors
path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
spec = CollectionSpec("photos", 32, "model-1")
vectors = random_vectors(spec, 1_000)
store = LocalVectorStore(path)
store.ensure_collection(spec)
for number in range(first, last):
    store.upsert("photos", [key(number)], vectors[number : number + 1], [{"n": number}])
    print(number, flush=True)
"""


def writer(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def nearest(store: VectorStore, number: int) -> str:
    (matches,) = store.search("photos", VECTORS[number : number + 1], 1)
    return matches[0].key


def test_acknowledged_rows_survive_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    process = writer(path, 0, 1_000)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(40)]
    process.kill()
    acknowledged += [int(line) for line in process.stdout]
    process.stdout.close()
    process.wait()
    with LocalVectorStore(path) as store:
        store.ensure_collection(SPEC)
        found = store.fetch("photos", [key(number) for number in acknowledged])
        for number in acknowledged:
            np.testing.assert_array_equal(found[key(number)], VECTORS[number])
            assert nearest(store, number) == key(number)


@pytest.mark.integration
def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as store:
        store.ensure_collection(SPEC)
        assert store.search("photos", VECTORS[:1], 1) == [[]]
        processes = [writer(path, 0, 100), writer(path, 100, 200)]
        for number in range(200, 250):
            store.upsert("photos", [key(number)], VECTORS[number : number + 1])
            assert nearest(store, number) == key(number)
        for process in processes:
            process.communicate()
            assert process.returncode == 0
        assert store.count("photos") == 250
        assert [nearest(store, number) for number in range(250)] == [key(n) for n in range(250)]


def test_what_another_store_does_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as one, LocalVectorStore(path) as two:
        one.ensure_collection(SPEC)
        two.upsert("photos", [key(1), key(2)], VECTORS[1:3])
        assert nearest(one, 1) == key(1)
        two.delete("photos", [key(1)])
        assert nearest(one, 1) == key(2)
        two.upsert("photos", [key(1)], VECTORS[5:6])
        assert nearest(one, 5) == key(1)
        two.delete("photos", [key(1)])
        two.upsert("photos", [key(1)], VECTORS[7:8])
        assert nearest(one, 7) == key(1)
        two.drop("photos")
        with pytest.raises(CollectionNotFoundError):
            one.search("photos", VECTORS[:1], 1)
        two.ensure_collection(SPEC)
        assert one.search("photos", VECTORS[:1], 1) == [[]]


def test_who_missed_many_removals_reads_all_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_REMEMBERED", 5)
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as one, LocalVectorStore(path) as two:
        one.ensure_collection(SPEC)
        one.upsert("photos", [key(number) for number in range(100)], VECTORS[:100])
        assert nearest(one, 3) == key(3)
        for number in range(90):
            two.delete("photos", [key(number)])
        assert {match.key for match in one.search("photos", VECTORS[:1], 200)[0]} == {
            key(number) for number in range(90, 100)
        }


@pytest.mark.parametrize("others", range(9))
def test_removals_are_learned_of_when_those_of_a_dropped_collection_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    monkeypatch.setattr(local, "_REMEMBERED", 3)
    path = tmp_path / "vectors.sqlite"
    keys = [key(number) for number in range(10)]
    with LocalVectorStore(path) as one, LocalVectorStore(path) as two:
        for name in ("photos", "sketches"):
            one.ensure_collection(replace(SPEC, name=name))
            one.upsert(name, keys, VECTORS[:10])
        assert len(two.search("photos", VECTORS[:1], 20)[0]) == 10
        one.delete("photos", keys[:2])
        for number in range(others):
            one.delete("sketches", [keys[number]])
        one.drop("sketches")
        found = [match.key for match in two.search("photos", VECTORS[:1], 20)[0]]
        assert sorted(found) == keys[2:]


def test_refuses_a_file_that_is_none_of_its_own(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("text", "other", "newer"))
    text.write_text("no database " * 1_000)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    LocalVectorStore(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path, reason in ((text, "text"), (other, "another application"), (newer, "format 99")):
        before = path.read_bytes()
        with pytest.raises(StoreCorruptError, match=reason):
            LocalVectorStore(path)
        assert path.read_bytes() == before


def test_refuses_vectors_of_another_length(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as store:
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(1)], VECTORS[:1])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE vectors SET vector = x'00'")
        connection.close()
        for call in (
            lambda: store.search("photos", VECTORS[:1], 1),
            lambda: store.fetch("photos", [key(1)]),
        ):
            with pytest.raises(StoreCorruptError, match="photos"):
                call()


@pytest.mark.parametrize("damage", ["dimension = x'08'", "dimension = -1", "metric = 'zzz'"])
def test_refuses_a_collection_that_it_did_not_write(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "vectors.sqlite"
    with LocalVectorStore(path) as store:
        store.ensure_collection(SPEC)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE collections SET {damage}")
    connection.close()
    with LocalVectorStore(path) as store, pytest.raises(StoreCorruptError, match="photos"):
        store.describe("photos")


def test_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "vectors.sqlite", tmp_path):
        with pytest.raises(StoreError, match=str(tmp_path)):
            LocalVectorStore(path)


def test_makes_the_folders_above(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "vectors.sqlite"
    LocalVectorStore(path).close()
    assert path.is_file()
