"""Wrong arguments and damaged collections are refused with clear messages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from onnxsearch import (
    ClosedError,
    CollectionNotFoundError,
    CollectionSpec,
    HNSWIndex,
    InvalidArgumentError,
    MilvusVectorStore,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
)
from onnxsearch.testing.vector_samples import key, random_vectors

pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")

SPEC = CollectionSpec("photos", 32, "model-1")


@pytest.mark.parametrize(
    "url",
    [
        "http://root:hun/ter2@host:19530",
        "http://root:12/ter2@host:19530",
        "http://root:hun#ter2@host:19530",
        "http://root:hun?ter2@host:19530",
        "http:///root:hunter2@host:19530",
        "http://host:99999",
        "http://host:abc",
        "http://[::1",
        "http://host:19530?token=hunter2",
        "http://host:19530/a/hunter2",
        "http:/root:hunter2@host:19530",
        "root:hunter2@host:19530",
        "root:hunter2@host:19530.db",
        "tcp://root:hun/ter2@host:19530",
    ],
)
def test_refuses_urls_without_telling_passwords(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match="http://") as caught:
        MilvusVectorStore(url)
    assert "hun" not in str(caught.value)
    assert "ter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_have_an_at_sign_in_its_path(tmp_path: Path) -> None:
    path = tmp_path / "12:30@home" / "me@home.db"
    with MilvusVectorStore(path) as store:
        assert str(path) in repr(store)
        assert path.is_dir()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"timeout": "5"}, "timeout '5': expected seconds"),
        ({"timeout": None}, "timeout None: expected seconds"),
        ({"timeout": float("nan")}, "timeout nan: expected seconds"),
        ({"timeout": float("inf")}, "timeout inf: expected seconds"),
        ({"timeout": 0}, "timeout 0: expected seconds"),
        ({"index": "HNSW"}, r"index 'HNSW': expected one such as FlatIndex\(\)"),
        ({"index": HNSWIndex}, r"index <class .*HNSWIndex'>: expected one such as"),
        ({"consistency": "Strong"}, r"consistency 'Strong': expected .*Consistency\.STRONG"),
        ({"uri": "a\0b.db"}, "holds a NUL"),
        ({"uri": 5}, "uri 5: expected http://host:port"),
        ({"uri": None, "client": "http://host"}, r"type str: expected pymilvus\.MilvusClient"),
    ],
)
def test_refuses_what_is_no_such_argument(
    arguments: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        MilvusVectorStore(**{"uri": tmp_path / "vectors.db", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_refuses_an_asynchronous_client() -> None:
    from pymilvus import AsyncMilvusClient

    client: Any = object.__new__(AsyncMilvusClient)
    with pytest.raises(InvalidArgumentError, match="type AsyncMilvusClient: expected"):
        MilvusVectorStore(client=client)
    with pytest.raises(InvalidArgumentError, match="token does nothing with client"):
        MilvusVectorStore(client=client, token="root:Milvus")


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[tuple[MilvusVectorStore, Callable[[str, str], None]]]:
    """A store with one collection, and what makes others with a mark of any text."""
    from pymilvus import DataType

    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=32)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=32)
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        store.ensure_collection(SPEC)
        client = MilvusClient(str(tmp_path / "vectors.db"))

        def make(name: str, mark: str) -> None:
            client.create_collection(name, schema=schema, properties={"onnxsearch": mark})

        yield store, make
        client.close()


@pytest.mark.parametrize(
    "mark",
    [
        "1",
        "not json",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "dimension": 32, "metric": "taxi", "fingerprint": "f"}',
        '{"format": 1, "dimension": "many", "metric": "l2", "fingerprint": "f"}',
        '{"format": 2}',
    ],
)
def test_one_collection_that_cannot_be_read_leaves_the_others_alone(
    marked: tuple[MilvusVectorStore, Callable[[str, str], None]], mark: str
) -> None:
    store, make = marked
    make("strange", mark)
    for call in (store.describe, store.count, store.drop):
        with pytest.raises(StoreCorruptError, match="'strange'"):
            call("strange")
    assert store.collections() == ["photos", "strange"]
    assert store.count("photos") == 0


@pytest.mark.integration
def test_a_limit_beyond_what_milvus_returns_is_refused_only_if_there_is_more(
    tmp_path: Path,
) -> None:
    spec = CollectionSpec("photos", 2, "model-1")
    vectors = random_vectors(spec, 16_385)
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        store.ensure_collection(spec)
        keys = [key(number) for number in range(16_385)]
        store.upsert("photos", keys[1:], vectors[1:])
        (matches,) = store.search("photos", vectors[:1], 16_385)
        assert {match.key for match in matches} == set(keys[1:])
        store.upsert("photos", keys[:1], vectors[:1])
        with pytest.raises(InvalidArgumentError, match="collection has more"):
            store.search("photos", vectors[:1], 16_385)
        assert len(store.search("photos", vectors[:1], 16_384)[0]) == 16_384


def test_nothing_is_logged_of_what_succeeds_or_is_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(1)], random_vectors(SPEC, 1))
        assert len(store.search("photos", random_vectors(SPEC, 1), 1)[0]) == 1
    with pytest.raises(StoreUnavailableError):
        MilvusVectorStore("http://127.0.0.1:1")
    with pytest.raises(ClosedError):
        store.count("photos")
    assert caplog.records == []


class Failing(MilvusClient):  # type: ignore[misc]
    """Answers with one error, as a server does."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_server_version(self, timeout: float) -> str:
        return "2.6.0"

    def list_collections(self, timeout: float) -> list[str]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (MilvusException(101, "collection not loaded"), StoreUnavailableError, "try again"),
        (MilvusException(1, "service not ready[proxy=1]"), StoreUnavailableError, "try again"),
        (MilvusException(8, "rate limit", retriable=True), StoreUnavailableError, "try again"),
        (MilvusException(2, "Fail connecting"), StoreUnavailableError, "cannot be reached"),
        (MilvusException(100, "no such collection"), CollectionNotFoundError, "no such"),
        (MilvusException(1100, "invalid"), StoreError, "refused, with code 1100: invalid"),
    ],
)
def test_errors_are_of_their_kind(
    error: Exception, expected: type[StoreError], reason: str
) -> None:
    store = MilvusVectorStore(client=Failing(error))
    with pytest.raises(StoreError, match=reason) as caught:
        store.collections()
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error
