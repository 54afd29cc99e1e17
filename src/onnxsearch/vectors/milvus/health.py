"""What a Milvus server says of itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from onnxsearch.vectors.milvus.connection import MilvusConnection

_CALLS = 3


@dataclass(frozen=True, slots=True)
class MilvusHealth:
    """The state of a Milvus server."""

    address: str
    """Its address, without secrets."""
    version: str
    latency: float
    """Seconds for an answer, the median of a few."""


def milvus_health(url: str, timeout: float) -> MilvusHealth:
    """Ask a Milvus server for its state. Nothing is written.

    Args:
        url: `http(s)://host:port`.
        timeout: Seconds to wait for each answer.

    Raises:
        InvalidArgumentError: It is not such a URL.
        StoreUnavailableError: The server does not answer.
        StoreError: The server refuses.
    """
    connection = MilvusConnection.to(url, timeout=timeout, tls=None)
    try:
        times: list[float] = []
        with connection.call() as client:
            for _ in range(_CALLS):
                started = time.perf_counter()
                client.get_server_version(timeout=timeout)
                times.append(time.perf_counter() - started)
            version = str(client.get_server_version(timeout=timeout))
        return MilvusHealth(connection.address, version, median(times))
    finally:
        connection.close()
