"""What a Redis server says of itself: how fast it answers, and whether it keeps what it holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

import redis
from redis.exceptions import RedisClusterException

from onnxsearch.errors import without_secrets
from onnxsearch.metadata.redis.connection import checked_url, connect
from onnxsearch.metadata.redis.errors import mapped

_PINGS = 5
_SETTINGS = ("append*", "save", "maxmemory*")
"""Redis 6 takes one pattern at a time."""


@dataclass(frozen=True, slots=True)
class RedisHealth:
    """The state of a Redis server."""

    address: str
    """Its address, without secrets."""
    version: str
    latency: float
    """Seconds for an answer, the median of a few."""
    clock_skew: float
    """Seconds by which its clock is ahead of this machine's."""
    settings: Mapping[str, str] | None
    """What concerns durability and memory; None if it keeps its settings to itself."""
    is_replica: bool
    is_loading: bool
    """Whether it still reads its data from disk, and answers nothing else."""
    failed_saves: tuple[str, ...]
    """The kinds of files that it could not write the last time."""
    used_memory: int
    """Bytes."""
    most_memory: int
    """Bytes that it may use; 0 for all."""


def redis_health(url: str, timeout: float) -> RedisHealth:
    """Ask a Redis server for its state. Nothing is written.

    Args:
        url: See `RedisMetadataStore`.
        timeout: Seconds to wait for a connection and for each answer.

    Raises:
        InvalidArgumentError: It is not a Redis URL.
        StoreUnavailableError: The server does not answer.
        StoreError: The server refuses.
    """
    address = without_secrets(checked_url(url))
    try:
        with connect(url, timeout) as client:
            latency = median(_ping(client) for _ in range(_PINGS))
            seconds, micros = cast("tuple[int, int]", client.time())
            skew = seconds + micros / 1e6 - time.time()
            about = cast("dict[str, Any]", client.info())
            settings = _settings(client)
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise mapped(error, address, "") from error
    states = {"a snapshot": "rdb_last_bgsave_status", "the log": "aof_last_write_status"}
    return RedisHealth(
        address=address,
        version=str(about.get("redis_version", "unknown")),
        latency=latency,
        clock_skew=skew,
        settings=settings,
        is_replica=about.get("role") == "slave",
        is_loading=bool(about.get("loading", 0)),
        failed_saves=tuple(k for k, name in states.items() if about.get(name, "ok") != "ok"),
        used_memory=int(about.get("used_memory", 0)),
        most_memory=int(about.get("maxmemory", 0)),
    )


def _ping(client: redis.Redis) -> float:
    started = time.perf_counter()
    client.ping()
    return time.perf_counter() - started


def _settings(client: redis.Redis) -> dict[str, str] | None:
    try:
        answers = [cast("dict[str, str]", client.config_get(each)) for each in _SETTINGS]
    except redis.ResponseError:
        return None  # many hosted servers
    return {name: value for answer in answers for name, value in answer.items()}
