"""Milvus Lite on a full disk, and the rows that it must not lose."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    CollectionNotFoundError,
    CollectionSpec,
    InvalidArgumentError,
    MilvusVectorStore,
    SpaceMismatchError,
    StoreError,
)
from onnxsearch.testing.vector_samples import key, random_vectors

pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
pytest.importorskip("resource", reason="limits of a process are for Unix")

SPEC = CollectionSpec("photos", 64, "model-1")
VECTORS = random_vectors(SPEC, 1_200)

# A limit on the size of files stands for a full disk; unlike that, it can be lifted.
FILLER = """
import resource, signal, sys
from onnxsearch import CollectionSpec, MilvusVectorStore, StoreUnavailableError
from onnxsearch.testing.vector_samples import key, random_vectors
path, bytes_left = sys.argv[1], int(sys.argv[2])
spec = CollectionSpec("photos", 64, "model-1")
other = CollectionSpec("other", 64, "model-1")
vectors = random_vectors(spec, 1_200)

def fill():
    for start in range(0, 1_200, 100):
        keys = [key(n) for n in range(start, start + 100)]
        store.upsert("photos", keys, vectors[start : start + 100])
        print("row", start + 100)

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def refuses(call, *arguments):
    try:
        call(*arguments)
    except StoreUnavailableError as error:
        print("refused" if "open it again" in str(error) and error.__cause__ is None else error)
    else:
        print("not refused")

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store, second = MilvusVectorStore(path), MilvusVectorStore(path)
for each in (spec, other):
    store.ensure_collection(each)
store.upsert("other", [key(1)], vectors[:1])
if bytes_left < 10_000:
    fill()
limit(bytes_left)
try:
    fill() if bytes_left > 10_000 else store.search("photos", vectors[:1], 1)
except StoreUnavailableError as error:
    print("failed", "too large" in str(error), "too large" in str(error.__cause__))
limit(resource.RLIM_INFINITY)
refuses(store.count, "photos")
refuses(second.search, "other", vectors[:1], 1)
refuses(second.upsert, "other", [key(2)], vectors[:1])
refuses(second.ensure_collection, spec)
refuses(MilvusVectorStore, path)
if "close" in sys.argv:
    store.close()
    second.close()
"""


@pytest.mark.integration
@pytest.mark.parametrize("end", ["close", "exit"])
@pytest.mark.parametrize("bytes_left", [1_000, 100_000], ids=["flush", "upsert"])
def test_nothing_that_was_acknowledged_is_lost_on_a_full_disk(
    tmp_path: Path, bytes_left: int, end: str
) -> None:
    path = tmp_path / "vectors.db"
    command = [sys.executable, "-c", FILLER, str(path), str(bytes_left), end]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    printed = result.stdout.splitlines()
    rows = max(int(line.split()[1]) for line in printed if line.startswith("row"))
    assert printed[-6:] == ["failed True True", *["refused"] * 5]
    assert (rows < 1_200) == (bytes_left > 10_000)
    for _ in range(2):
        with MilvusVectorStore(path) as store:
            assert set(store.ids("photos")) >= {key(number) for number in range(rows)}
            fetched = store.fetch("photos", [key(rows - 1)])[key(rows - 1)]
            np.testing.assert_array_equal(fetched, VECTORS[rows - 1])
            assert store.count("other") == 1
            # And it takes more.
            store.upsert("other", [key(1)], VECTORS[1:2])


def test_a_refusal_is_no_failure(tmp_path: Path) -> None:
    with (
        MilvusVectorStore(tmp_path / "a.db") as store,
        MilvusVectorStore(tmp_path / "a.db") as other,
    ):
        store.ensure_collection(SPEC)
        with pytest.raises(InvalidArgumentError):
            store.upsert("photos", [key(1)], VECTORS[:1], [{"text": "x" * 40_000}])
        with pytest.raises(CollectionNotFoundError):
            store.upsert("absent", [key(1)], VECTORS[:1])
        with pytest.raises(SpaceMismatchError):
            store.ensure_collection(CollectionSpec("photos", 64, "model-2"))
        with pytest.raises(StoreError, match="too large"):
            store.ensure_collection(CollectionSpec("wide", 2**40, "model-1"))
        other.drop("photos")
        with pytest.raises(CollectionNotFoundError):
            store.upsert("photos", [key(1)], VECTORS[:1])
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(1)], VECTORS[:1])
        assert other.count("photos") == 1


def test_stores_on_one_file_know_the_same_collections(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    anew = CollectionSpec("photos", 64, "model-2")
    with MilvusVectorStore(path) as first, MilvusVectorStore(path) as second:
        first.ensure_collection(SPEC)
        second.ensure_collection(SPEC)
        first.drop("photos")
        with pytest.raises(CollectionNotFoundError):
            second.describe("photos")
        first.ensure_collection(anew)
        assert second.describe("photos") == anew
        with pytest.raises(SpaceMismatchError):
            second.ensure_collection(SPEC)
        second.ensure_collection(anew)
        assert second.collections() == ["photos"]


def test_a_collection_that_the_application_dropped_is_made_again(tmp_path: Path) -> None:
    from pymilvus import MilvusClient

    path = tmp_path / "vectors.db"
    with MilvusVectorStore(path) as store:
        store.ensure_collection(SPEC)
        client = MilvusClient(str(path))
        client.drop_collection("photos")
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(1)], VECTORS[:1])
        client.drop_collection("photos")
        with pytest.raises(CollectionNotFoundError):
            store.count("photos")
        with pytest.raises(CollectionNotFoundError):
            store.describe("photos")
        client.close()


def test_acknowledged_rows_are_found_while_they_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from milvus_lite.engine import collection

    flush = collection.execute_flush
    counts: list[Future[int]] = []

    def slow_flush(**arguments: object) -> None:
        counts.append(thread.submit(store.count, "photos"))
        wait(counts, timeout=0.3)
        flush(**arguments)

    path = tmp_path / "vectors.db"
    with MilvusVectorStore(path) as store, ThreadPoolExecutor(1) as thread:
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(number) for number in range(1_000)], VECTORS[:1_000])
        monkeypatch.setattr(collection, "execute_flush", slow_flush)
        store.search("photos", VECTORS[:1], 1)
        assert [count.result() for count in counts] == [1_000]
