"""Every metadata store that we ship keeps the contract."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from onnxsearch import InMemoryMetadataStore, RedisMetadataStore, SQLiteMetadataStore
from onnxsearch.testing import MetadataStoreContract
from tests.servers import RedisServer, free_port


class TestInMemory(MetadataStoreContract):
    durable = False

    def make_store(self, place: str = "one") -> InMemoryMetadataStore:
        del place
        return InMemoryMetadataStore()


class TestSQLite(MetadataStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_store(self, place: str = "one") -> SQLiteMetadataStore:
        return SQLiteMetadataStore(self.folder / f"{place}.sqlite")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")).start() as server:
        yield server


class TestRedis(MetadataStoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, server: RedisServer) -> None:
        self.url = server.url
        self.test = uuid4().hex

    def make_store(self, place: str = "one") -> RedisMetadataStore:
        return RedisMetadataStore(self.url, prefix=f"{self.test}.{place}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.RedisCluster]:
    """A cluster of one node: it refuses commands over several slots as any other."""
    folder = tmp_path_factory.mktemp("cluster")
    options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    with RedisServer(folder).start(*options) as server:
        with redis.Redis(port=server.port) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while node.cluster("INFO")["cluster_state"] != "ok":
                time.sleep(0.05)
        with redis.RedisCluster(host="127.0.0.1", port=server.port) as client:
            yield client


@pytest.mark.integration
class TestRedisCluster(MetadataStoreContract):
    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: redis.RedisCluster) -> None:
        self.cluster = cluster
        self.test = uuid4().hex

    def make_store(self, place: str = "one") -> RedisMetadataStore:
        return RedisMetadataStore(client=self.cluster, prefix=f"{self.test}.{place}")
