"""The Milvus store on a real server: indexes, bits, limits, and the calls of the client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from onnxsearch import (
    AutoIndex,
    ClosedError,
    CollectionNotFoundError,
    CollectionSpec,
    F,
    Filter,
    FlatIndex,
    HNSWIndex,
    HNSWSQIndex,
    InvalidArgumentError,
    IVFFlatIndex,
    IVFSQ8Index,
    Metric,
    MilvusIndex,
    MilvusVectorStore,
    SCANNIndex,
    SpaceMismatchError,
    StoreError,
    StoreUnavailableError,
    TLSFiles,
)
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors.milvus import connection
from tests.servers import MilvusServer, milvus_database

SPEC = CollectionSpec("photos", 32, "model-1")
BITS = CollectionSpec("photos", 64, "model-1", Metric.HAMMING)


class FakeClient(MilvusClient):  # type: ignore[misc]
    """Remembers what it was made with and what it was given; answers as a server does."""

    made: dict[str, Any]

    def __init__(self, uri: str = "", **options: Any) -> None:
        # Not as MilvusClient, which would connect.
        type(self).made = {"uri": uri, **options}
        self.batches: list[int] = []
        self.sizes: list[int] = []

    def get_server_version(self, timeout: float) -> str:
        return "2.6.0"

    def has_collection(self, name: str, timeout: float) -> bool:
        return True

    def describe_collection(self, name: str, timeout: float) -> dict[str, Any]:
        mark = '{"format": 1, "dimension": 1280, "metric": "l2", "fingerprint": "f"}'
        return {"properties": {"onnxsearch": mark}}

    def list_indexes(self, name: str, timeout: float) -> list[str]:
        return ["vector"]

    def load_collection(self, name: str, timeout: float) -> None:
        assert timeout > 0

    def upsert(self, name: str, rows: list[dict[str, Any]], timeout: float) -> None:
        assert timeout > 0
        self.batches.append(len(rows))
        self.sizes.append(sum(row["vector"].nbytes + len(str(row["metadata"])) for row in rows))

    def close(self) -> None:
        raise AssertionError("a client that was given must not be closed")


def test_credentials_reach_the_client_and_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MilvusClient", FakeClient)
    store = MilvusVectorStore(
        "https://milvus.example:19530",
        token="hunter1",
        user="me",
        password="hunter2",
        db_name="album",
        timeout=3,
    )
    assert FakeClient.made == {
        "uri": "https://milvus.example:19530",
        "token": "hunter1",
        "user": "me",
        "password": "hunter2",
        "db_name": "album",
        "timeout": 3,
    }
    assert "hunter" not in repr(store)


def test_certificates_reach_the_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(connection, "MilvusClient", FakeClient)
    uri = "https://milvus.example:19530"
    ca, certificate, private = (tmp_path / name for name in ("ca.pem", "me.pem", "me.key"))
    for path in (ca, certificate, private):
        path.write_text("PEM")
    MilvusVectorStore(uri, tls=TLSFiles(ca, server_name="milvus"))
    assert FakeClient.made["server_pem_path"] == str(ca)
    assert FakeClient.made["server_name"] == "milvus"
    MilvusVectorStore(uri, tls=TLSFiles(ca, certificate, private))
    assert FakeClient.made["ca_pem_path"] == str(ca)
    assert FakeClient.made["client_pem_path"] == str(certificate)
    assert FakeClient.made["client_key_path"] == str(private)
    for tls, address in (
        (TLSFiles(tmp_path / "absent.pem"), uri),
        (TLSFiles(ca, certificate), uri),
        (TLSFiles(ca), "http://milvus.example:19530"),
    ):
        with pytest.raises(InvalidArgumentError):
            MilvusVectorStore(address, tls=tls)


@pytest.mark.parametrize("rows", [1, 1_000, 5_000])
@pytest.mark.parametrize("metadata", [{}, {"text": "x" * 30_000}], ids=["bare", "long"])
def test_batches_stay_far_below_the_limit_of_a_message(rows: int, metadata: dict[str, Any]) -> None:
    client: Any = FakeClient()
    rows = min(rows, 1_000) if metadata else rows
    with MilvusVectorStore(client=client) as store:
        vectors = np.broadcast_to(np.float32(1), (rows, 1280))
        store.upsert("photos", [key(n) for n in range(rows)], vectors, [metadata] * rows)
    assert sum(client.batches) == rows
    assert max(client.sizes) < 32 << 20
    # Nor are they needlessly small.
    assert len(client.batches) <= 1 + sum(client.sizes) // (4 << 20)


def test_refuses_indexes_that_do_not_fit(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
    with pytest.raises(InvalidArgumentError, match="SCANNIndex"):
        MilvusVectorStore(tmp_path / "vectors.db", index=SCANNIndex())
    with MilvusVectorStore(tmp_path / "vectors.db") as store:
        assert Metric.HAMMING not in store.metrics
        with pytest.raises(InvalidArgumentError, match="hamming"):
            store.ensure_collection(BITS)
    client: Any = FakeClient()
    for index in (HNSWIndex(), HNSWSQIndex(), IVFSQ8Index(), SCANNIndex()):
        with pytest.raises(InvalidArgumentError, match="FlatIndex"):
            index.kind_for(Metric.HAMMING)
    assert Metric.HAMMING in MilvusVectorStore(client=client).metrics


@pytest.fixture
def place(milvus_url: str) -> dict[str, Any]:
    return {"uri": milvus_url, "db_name": milvus_database(milvus_url, "indexes")}


@pytest.mark.parametrize(
    ("spec", "index"),
    [
        pytest.param(SPEC, HNSWIndex(), marks=pytest.mark.integration),
        pytest.param(BITS, IVFFlatIndex(lists=8, probes=8), marks=pytest.mark.integration),
        *(
            pytest.param(spec, index, marks=pytest.mark.slow)
            for spec, index in [
                (SPEC, IVFFlatIndex(lists=8, probes=8)),
                (SPEC, IVFSQ8Index(lists=8, probes=8)),
                (SPEC, SCANNIndex(lists=8, probes=8)),
                (SPEC, AutoIndex()),
                (BITS, AutoIndex()),
            ]
        ),
    ],
    ids=lambda value: getattr(value, "kind", None) or value.metric.value,
)
def test_every_index_is_built_and_opens_again(
    place: dict[str, Any], spec: CollectionSpec, index: MilvusIndex
) -> None:
    vectors = random_vectors(spec, 3_000)
    numbers = range(0, 3_000, 300)
    with MilvusVectorStore(**place, index=index) as store:
        store.ensure_collection(spec)
        store.upsert("photos", [key(number) for number in range(3_000)], vectors)
        store.wait_until_indexed("photos", timeout=60)
        found = store.search("photos", vectors[numbers], 1)
        assert [matches[0].key for matches in found] == [key(number) for number in numbers]
    # A store that opens the collection need not know its index.
    with MilvusVectorStore(**place) as store:
        found = store.search("photos", vectors[numbers], 1)
        assert [matches[0].key for matches in found] == [key(number) for number in numbers]


@pytest.mark.integration
def test_an_index_that_the_server_lacks_is_refused(place: dict[str, Any]) -> None:
    with (
        MilvusVectorStore(**place, index=HNSWSQIndex()) as store,
        pytest.raises(StoreError, match="HNSW_SQ"),
    ):
        store.ensure_collection(SPEC)
    with MilvusVectorStore(**place, index=FlatIndex()) as store:
        store.ensure_collection(SPEC)


@pytest.mark.slow
def test_requests_of_many_megabytes_are_split(place: dict[str, Any]) -> None:
    spec = CollectionSpec("photos", 1280, "model-1")
    rows = 16_000
    vectors = np.tile(random_vectors(spec, 2_000), (8, 1))
    assert vectors.nbytes > 64 << 20
    keys = [key(number) for number in range(rows)]
    with MilvusVectorStore(**place, timeout=60) as store:
        store.ensure_collection(spec)
        store.upsert("photos", keys, vectors)
        assert store.count("photos") == rows
        fetched = store.fetch("photos", keys)
        assert len(fetched) == rows
        np.testing.assert_array_equal(fetched[keys[-1]], vectors[-1])
        answers = store.search("photos", vectors[:120], 15_000)
        assert [len(matches) for matches in answers] == [15_000] * 120


@pytest.mark.integration
def test_a_client_that_is_given_is_used_and_left_open(place: dict[str, Any]) -> None:
    client = MilvusClient(**place, timeout=10)
    with MilvusVectorStore(client=client) as store:
        store.ensure_collection(SPEC)
        assert store.collections() == ["photos"]
    assert client.list_collections(timeout=10) == ["photos"]
    client.close()


@pytest.mark.integration
def test_a_client_that_was_closed_is_told(place: dict[str, Any]) -> None:
    client = MilvusClient(**place, timeout=10)
    with MilvusVectorStore(client=client) as store:
        store.ensure_collection(SPEC)
        client.close()
        with pytest.raises(ClosedError, match="the given client"):
            store.count("photos")
        with pytest.raises(ClosedError, match="the given client"):
            MilvusVectorStore(client=client)


@pytest.mark.integration
def test_what_another_store_did_is_seen(place: dict[str, Any]) -> None:
    anew = CollectionSpec("photos", 32, "model-2")
    vectors = random_vectors(SPEC, 1)
    with MilvusVectorStore(**place) as first, MilvusVectorStore(**place) as second:
        first.ensure_collection(SPEC)
        second.ensure_collection(SPEC)
        first.drop("photos")
        first.ensure_collection(anew)
        with pytest.raises(SpaceMismatchError, match="model-2"):
            second.ensure_collection(SPEC)
        assert second.describe("photos") == anew
        first.drop("photos")
        with pytest.raises(CollectionNotFoundError):
            second.upsert("photos", [key(1)], vectors)
        with pytest.raises(CollectionNotFoundError):
            second.describe("photos")
        second.ensure_collection(SPEC)
        first.ensure_collection(SPEC)
        second.drop("photos")
        first.ensure_collection(SPEC)
        first.upsert("photos", [key(1)], vectors)
        assert first.count("photos") == 1


@pytest.mark.integration
def test_a_server_that_dies_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = random_vectors(SPEC, 100)
    with MilvusServer(tmp_path / "milvus").start() as server:
        store = MilvusVectorStore(server.url, timeout=3)
        store.ensure_collection(SPEC)
        store.upsert("photos", [key(number) for number in range(100)], vectors)
        server.kill9()
        caplog.set_level(logging.WARNING)
        calls: list[Callable[[], object]] = [
            lambda: store.search("photos", vectors[:1], 1),
            lambda: store.upsert("photos", [key(1)], vectors[1:2]),
            lambda: store.ensure_collection(SPEC),
            lambda: MilvusVectorStore(server.url, timeout=3),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailableError):
                call()
        server.restart()
        deadline = time.monotonic() + 120
        while True:
            # Whatever it says until it is ready, it is that it is not.
            try:
                assert len(store.search("photos", vectors[:1], 100)[0]) == 100
                break
            except StoreUnavailableError as error:
                assert time.monotonic() < deadline, error
                time.sleep(0.2)
        store.close()
    assert caplog.records == []


@pytest.mark.integration
def test_a_collection_that_was_released_is_loaded_again(place: dict[str, Any]) -> None:
    with MilvusVectorStore(**place) as store:
        store.ensure_collection(SPEC)
        vectors = random_vectors(SPEC, 3)
        store.upsert("photos", [key(number) for number in range(3)], vectors)
        client = MilvusClient(place["uri"], db_name=place["db_name"])
        for use in (
            lambda: len(store.search("photos", vectors[:1], 3)[0]) == 3,
            lambda: len(list(store.ids("photos"))) == 3,
            lambda: len(store.fetch("photos", [key(1)])) == 1,
            lambda: store.count("photos") == 3,
            lambda: store.upsert("photos", [key(2)], vectors[2:]) is None,
            lambda: store.delete("photos", [key(2)]) is None,
            lambda: store.count("photos") == 2,
        ):
            client.release_collection("photos")
            assert use()
        client.close()


@pytest.mark.integration
def test_metadata_of_a_mebibyte_are_stored_and_no_filter_is_wrong(place: dict[str, Any]) -> None:
    rows: list[dict[str, Any]] = [
        {"year": 1, "text": "x" * 40_000},
        {"year": 2, "tags": [f"{number}" for number in range(100_000)]},
        {"year": 3},
    ]
    with MilvusVectorStore(**place) as store:
        store.ensure_collection(SPEC)
        keys = [key(number) for number in range(3)]
        store.upsert("photos", keys, random_vectors(SPEC, 3), rows, partial=True)

        def found(filter: Filter) -> list[str]:
            (matches,) = store.search("photos", random_vectors(SPEC, 1), 9, filter=filter)
            return sorted(match.key for match in matches)

        assert found(F("year") >= 2) == [key(1), key(2)]
        with pytest.raises(InvalidArgumentError, match="1 rows of collection"):
            found(F("text").startswith("x"))
        store.delete("photos", [key(1)])
        assert found(F("text").startswith("x" * 1000)) == [key(0)]
        assert found(F("text") == "x" * 40_000) == [key(0)]
