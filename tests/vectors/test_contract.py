"""Every vector store passes the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxsearch import InMemoryVectorStore, LocalVectorStore, VectorStore
from onnxsearch.testing import VectorStoreContract
from tests.servers import milvus_database


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
        self.databases: dict[str, str] = {}

    def make_store(self, place: str = "one") -> VectorStore:
        from onnxsearch import MilvusVectorStore

        if place not in self.databases:
            self.databases[place] = milvus_database(self.url, place)
        return MilvusVectorStore(self.url, db_name=self.databases[place])
