"""The Milvus store on Milvus Lite: sharing, killing, refusing, and filters."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from onnxsearch import (
    CollectionSpec,
    F,
    Filter,
    InvalidArgumentError,
    Metadata,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
    VectorStore,
)
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors.milvus.filters import LONG_TEXT, document, expression
from onnxsearch.vectors.milvus.index import (
    AutoIndex,
    FlatIndex,
    HNSWIndex,
    HNSWSQIndex,
    IVFFlatIndex,
    IVFSQ8Index,
    MilvusIndex,
)
from onnxsearch.vectors.milvus.store import MilvusVectorStore
from tests.vectors.strategies import ROWS

pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")

SPEC = CollectionSpec("photos", 32, "model-1")
VECTORS = random_vectors(SPEC, 3_000)

OPENER = """
import sys
from onnxsearch import StoreLockedError
from onnxsearch.vectors.milvus.store import MilvusVectorStore
try:
    MilvusVectorStore(sys.argv[1])
except StoreLockedError as error:
    print("locked:", error)
"""

WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from onnxsearch import CollectionSpec
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors.milvus.store import MilvusVectorStore
spec = CollectionSpec("photos", 32, "model-1")
vectors = random_vectors(spec, 3_000)
stores = [MilvusVectorStore(sys.argv[1]) for _ in range(2)]
stores[0].ensure_collection(spec)
def write(thread):
    for start in range(thread * 10, 3_000, 40):
        keys = [key(number) for number in range(start, start + 10)]
        stores[thread % 2].upsert("photos", keys, vectors[start : start + 10])
        sys.stdout.write(f"{start}\\n")
        sys.stdout.flush()
with ThreadPoolExecutor(4) as threads:
    list(threads.map(write, range(4)))
"""


def nearest(store: VectorStore, number: int) -> str:
    (matches,) = store.search("photos", VECTORS[number : number + 1], 1)
    return matches[0].key


@pytest.mark.integration
def test_what_four_threads_wrote_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(60)]
    process.kill()
    acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    process.wait()
    with MilvusVectorStore(path) as store:
        keys = {key(start + n) for start in acknowledged for n in range(10)}
        assert keys <= set(store.ids("photos"))
        assert all(nearest(store, start) == key(start) for start in acknowledged[::10])


@pytest.mark.integration
def test_stores_share_a_file_and_the_last_one_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    (tmp_path / "link.db").symlink_to(path)
    first, second = MilvusVectorStore(path), MilvusVectorStore(tmp_path / "link.db")
    first.ensure_collection(SPEC)
    second.upsert("photos", [key(1)], VECTORS[1:2])
    assert nearest(first, 1) == key(1)
    first.close()
    first.close()
    assert nearest(second, 1) == key(1)
    assert "locked" in opened_elsewhere(path)
    second.close()
    assert opened_elsewhere(path) == ""


def opened_elsewhere(path: Path) -> str:
    command = [sys.executable, "-c", OPENER, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return result.stdout


def test_says_that_another_process_has_the_file(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="Windows locks files in another way")
    path = tmp_path / "vectors.db"
    MilvusVectorStore(path).close()
    with (path / "LOCK").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreLockedError, match="another process"):
            MilvusVectorStore(path)
    MilvusVectorStore(path).close()


def test_refuses_the_format_of_milvus_lite_2(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(StoreCorruptError, match="Milvus Lite 2"):
        MilvusVectorStore(path)


@pytest.mark.parametrize("uri", ["vectors.sqlite", "redis://localhost", None])
def test_refuses_what_is_no_address_of_milvus(uri: str | None) -> None:
    with pytest.raises(InvalidArgumentError):
        MilvusVectorStore(uri)


def test_refuses_a_client_of_milvus_lite(tmp_path: Path) -> None:
    from pymilvus import MilvusClient

    with MilvusVectorStore(tmp_path / "vectors.db"):
        client = MilvusClient(str(tmp_path / "vectors.db"))
        with pytest.raises(InvalidArgumentError, match="uri"):
            MilvusVectorStore(client=client)
        client.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_an_unreachable_server_is_told_within_5_seconds(silent_port: int) -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{silent_port}") as failure:
        MilvusVectorStore(f"http://me:hunter2@127.0.0.1:{silent_port}", token="hunter3")
    assert time.monotonic() - start < 5
    assert failure.value.__cause__ is not None
    assert "hunter" not in str(failure.value)
    with pytest.raises(StoreUnavailableError):
        MilvusVectorStore("http://127.0.0.1:1")


def test_leaves_collections_of_others_alone(tmp_path: Path) -> None:
    from pymilvus import MilvusClient

    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        client = MilvusClient(str(tmp_path / "vectors.db"))
        client.create_collection("theirs", dimension=32)
        newer = json.dumps({"format": 99})
        schema = MilvusClient.create_schema()
        from pymilvus import DataType

        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=32)
        client.create_collection("newer", schema=schema, properties={"onnxsearch": newer})
        with pytest.raises(StoreError, match="did not make"):
            store.ensure_collection(CollectionSpec("theirs", 32, "model-1"))
        with pytest.raises(StoreError, match="did not make"):
            store.drop("theirs")
        with pytest.raises(StoreCorruptError, match="format 99"):
            store.ensure_collection(CollectionSpec("newer", 32, "model-1"))
        assert client.has_collection("theirs")
        client.drop_collection("newer")
        assert store.collections() == []
        client.close()


@pytest.mark.integration
@pytest.mark.parametrize(
    "index",
    [
        FlatIndex(),
        IVFFlatIndex(lists=8, probes=8),
        IVFSQ8Index(lists=8, probes=8),
        HNSWIndex(),
        HNSWSQIndex(),
        AutoIndex(),
    ],
    ids=lambda index: index.kind,
)
def test_every_index_opens_again(tmp_path: Path, index: MilvusIndex) -> None:
    with MilvusVectorStore(tmp_path / "vectors.db", index=index) as store:
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(number) for number in range(3_000)], VECTORS)
        store.wait_until_indexed("photos", timeout=60)
        assert nearest(store, 1_234) == key(1_234)
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        assert [nearest(store, number) for number in range(0, 3_000, 100)] == [
            key(number) for number in range(0, 3_000, 100)
        ]


@pytest.mark.parametrize("make", [lambda: IVFFlatIndex(lists=0), lambda: HNSWIndex(links=1)])
def test_refuses_parameters_out_of_range(make: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="expected"):
        make()


def test_refuses_limits_that_milvus_cannot_serve(tmp_path: Path) -> None:
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        spec = CollectionSpec("photos", 2, "model-1")
        store.ensure_collection(spec)
        store.upsert("photos", [key(number) for number in range(20)], random_vectors(spec, 20))
        assert len(store.search("photos", random_vectors(spec, 1), 20_000)[0]) == 20


def test_refuses_metadata_that_milvus_has_no_room_for(tmp_path: Path) -> None:
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        store.ensure_collection(SPEC)
        for metadata in ({"text": "x" * 40_000}, {"x" * 20_000: 1}, {"tags": ["x"] * 20_000}):
            with pytest.raises(InvalidArgumentError, match="65536"):
                store.upsert("photos", [key(1)], VECTORS[:1], [metadata])
        assert store.count("photos") == 0
        store.upsert("photos", [key(1)], VECTORS[:1], [{"text": "x" * 30_000}])


def test_a_collection_that_was_released_is_loaded_again(tmp_path: Path) -> None:
    from pymilvus import MilvusClient

    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        stored_with(store, *[{"year": n} for n in range(5)])
        client = MilvusClient(str(tmp_path / "vectors.db"))
        for use, expected in (
            (lambda: len(store.search("photos", VECTORS[:2], 3)[1]), 3),
            (lambda: found(store, F("year") > 2), {3, 4}),
            (lambda: list(store.fetch("photos", [key(1)])), [key(1)]),
            (lambda: sorted(store.ids("photos")), [key(n) for n in range(5)]),
            (lambda: store.count("photos"), 5),
            (lambda: store.upsert("photos", [key(5)], VECTORS[:1]), None),
            (lambda: store.delete("photos", [key(5)]), None),
            (lambda: store.count("photos"), 5),
        ):
            client.release_collection("photos")
            assert use() == expected
        client.close()


def test_a_collection_that_cannot_be_loaded_again_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pymilvus import MilvusClient

    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        stored_with(store, {})
        client = MilvusClient(str(tmp_path / "vectors.db"))
        client.release_collection("photos")
        loaded: list[str] = []
        monkeypatch.setattr(
            MilvusClient, "load_collection", lambda _, name, timeout: loaded.append(name)
        )
        with pytest.raises(StoreUnavailableError, match="another client released it"):
            store.search("photos", VECTORS[:1], 1)
        assert loaded == ["photos"]
        client.close()


def stored_with(store: MilvusVectorStore, *metadata: Metadata) -> MilvusVectorStore:
    store.ensure_collection(SPEC)
    keys = [key(number) for number in range(len(metadata))]
    store.upsert("photos", keys, VECTORS[: len(keys)], metadata, partial=True)
    return store


def found(store: MilvusVectorStore, filter: Filter) -> set[int]:
    return {
        int(match.key, 16) for match in store.search("photos", VECTORS[:1], 20, filter=filter)[0]
    }


def test_filters_on_long_text_are_right(tmp_path: Path) -> None:
    beginning = "ü" * (LONG_TEXT // 2)
    texts = ["", "a", beginning[:-1], beginning, beginning + "a", beginning + "b", "x" * 40_000]
    rows: list[Metadata] = [{"text": text, "tags": [text]} for text in texts]
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        stored_with(store, *rows)
        for text in texts:
            filters = [F("text") == text, F("text") != text, F("tags").contains(text)]
            filters += [F("text").in_([text, "a"])]
            if len(text.encode()) <= LONG_TEXT:
                filters += [F("text") < text, F("text") >= text, F("text").startswith(text)]
            for filter in filters:
                expected = {n for n, row in enumerate(rows) if filter.matches(row)}
                assert found(store, filter) == expected, filter


def test_filters_on_a_long_name_are_right(tmp_path: Path) -> None:
    name = "n" * 500_000
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        stored_with(store, {name: 1}, {name + "n": 1}, {name: 2})
        assert found(store, F(name) == 1) == {0}
        assert found(store, F(name).exists()) == {0, 2}


def test_refuses_to_sort_by_longer_text_than_milvus_has() -> None:
    longer = "x" * (LONG_TEXT + 1)
    for filter in (F("text") < longer, F("text").startswith(longer), ~(F("text") >= longer)):
        with pytest.raises(InvalidArgumentError, match="1024 bytes"):
            expression(filter)


@pytest.mark.parametrize(
    "large",
    [
        {"tags": [f"{number}" for number in range(100_000)]},
        {f"field {number}": number for number in range(40_000)},
        {"x" * 5_000 + f"{number}": number for number in range(2_000)},
        {f"text {number}": "x" * 10_000 for number in range(100)},
    ],
    ids=["list", "fields", "names", "texts"],
)
def test_metadata_of_a_mebibyte_are_stored_and_no_filter_is_wrong(
    tmp_path: Path, large: Metadata
) -> None:
    rows: list[Metadata] = [{"year": 1}, {"year": 2} | dict(large), {"year": 3}]
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        stored_with(store, *rows)
        assert found(store, F("year") >= 2) == {1, 2}
        field = max(reversed(list(large)), key=lambda name: len(name + str(large[name])))
        for filter in (F(field).exists(), ~F(field).exists(), (F("year") == 1) & (F(field) == 5)):
            with pytest.raises(InvalidArgumentError, match="1 rows of collection"):
                found(store, filter)
        store.delete("photos", [key(1)])
        assert found(store, ~F(field).exists()) == {0, 2}


def test_documents_are_as_large_as_milvus_takes() -> None:
    assert document(json.dumps({"text": "x" * 2**20})).is_whole
    many = document(json.dumps({f"{number}": "x" * 500 for number in range(1000)}))
    assert not many.is_whole
    assert 60_000 < many.size <= 65_536


def test_expressions_hold_nothing_that_users_typed() -> None:
    hostile = "') or id in ['"
    filter = (F(hostile) == hostile) & F(hostile).startswith(hostile) & F("x").contains(hostile)
    assert hostile not in expression(filter)
    assert "id in" not in expression(filter)
    assert document(json.dumps({hostile: hostile})).fields["fields"] == [
        "",
        "s" + hostile.encode().hex(),
    ]


@given(row=ROWS)
def test_the_size_of_a_document_is_that_of_its_json(row: Metadata) -> None:
    stored = document(json.dumps(row))
    assert stored.size == len(json.dumps(stored.fields, separators=(",", ":")))


def test_errors_are_raised_and_not_logged_as_well(tmp_path: Path) -> None:
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    heard: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = heard.append  # type: ignore[method-assign]
    logger = logging.getLogger("pymilvus.decorators")
    logger.addHandler(listener)
    try:
        with MilvusVectorStore(tmp_path / "vectors.db") as store:
            store.ensure_collection(SPEC)
            client = MilvusClient(str(tmp_path / "vectors.db"))
            client.drop_collection("photos")
            with pytest.raises(StoreError):
                store.count("photos")
            assert heard == []
            # The application's own calls are none of our business.
            with pytest.raises(MilvusException):
                client.query("photos", output_fields=["count(*)"])
            assert len(heard) > 0
            client.close()
    finally:
        logger.removeHandler(listener)
