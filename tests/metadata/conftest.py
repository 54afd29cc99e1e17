"""A Redis server, and a store on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from onnxsearch import RedisMetadataStore
from tests.servers import NO_RETRY, RedisServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    with RedisServer(folder).start("--unixsocket", str(folder / "socket")) as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    """A second client, to look at and disturb the server; leaves it empty."""
    with redis.Redis(port=server.port, retry=NO_RETRY) as client:
        yield client
        client.flushall()


@pytest.fixture
def store(server: RedisServer, client: redis.Redis) -> Iterator[RedisMetadataStore]:
    with RedisMetadataStore(server.url) as store:
        yield store
