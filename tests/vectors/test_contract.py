"""Every vector store keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxsearch import InMemoryVectorStore, LocalVectorStore, VectorStore
from onnxsearch.testing import VectorStoreContract


class TestInMemoryVectorStore(VectorStoreContract):
    durable = False

    def make_store(self, place: str = "one") -> VectorStore:
        del place
        return InMemoryVectorStore()


class TestLocalVectorStore(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make_store(self, place: str = "one") -> VectorStore:
        return LocalVectorStore(self.path / f"{place}.sqlite")


class TestMilvusLite(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
        self.path = tmp_path

    def make_store(self, place: str = "one") -> VectorStore:
        from onnxsearch import MilvusVectorStore

        return MilvusVectorStore(self.path / f"{place}.db")


@pytest.mark.integration
class TestMilvusServer(VectorStoreContract):
    """The server's databases `onnxsearch_test_*` are emptied for every test."""

    @pytest.fixture(autouse=True)
    def server(self, milvus_url: str) -> None:
        self.url = milvus_url
        self.opened: set[str] = set()

    def make_store(self, place: str = "one") -> VectorStore:
        from pymilvus import MilvusClient

        from onnxsearch import MilvusVectorStore

        database = f"onnxsearch_test_{place}"
        if place not in self.opened:
            self.opened.add(place)
            client = MilvusClient(self.url, timeout=10)
            if database not in client.list_databases(timeout=10):
                client.create_database(database, timeout=10)
            client.close()
            with MilvusVectorStore(self.url, db_name=database) as store:
                for name in store.collections():
                    store.drop(name)
        return MilvusVectorStore(self.url, db_name=database)
