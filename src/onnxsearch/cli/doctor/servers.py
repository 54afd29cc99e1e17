"""Checks of the servers of an index: Milvus and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from onnxsearch.cli.doctor.checks import CheckResult, error, ok, warning
from onnxsearch.errors import StoreError

if TYPE_CHECKING:
    from onnxsearch.metadata.redis.health import RedisHealth

_SLOW = 0.05
"""Seconds for an answer: on one network it takes less than a hundredth of that."""
_SKEW = 5.0
"""Seconds between two clocks: expiry is told by the clock of the process that looks."""
_FULL = 0.9
_KEEPS_ALL = "noeviction"


def milvus(url: str, patience: float) -> Iterator[CheckResult]:
    """Find a Milvus server that cannot be reached, or is slow.

    Args:
        url: Its URL.
        patience: Seconds that the check may take.
    """
    from onnxsearch.vectors.milvus.health import milvus_health

    try:
        health = milvus_health(url, patience / 3)
    except StoreError as problem:
        yield error("milvus", str(problem), "start the server, or correct the address")
        return
    found = f"Milvus {health.version} at {health.address} answers in {_ms(health.latency)}"
    yield _unless_slow("milvus", found, health.latency)


def redis(url: str, patience: float) -> Iterator[CheckResult]:
    """Find a Redis server that cannot be reached, or loses what it has acknowledged.

    Args:
        url: Its URL.
        patience: Seconds that the check may take.
    """
    from onnxsearch.metadata.redis.health import redis_health

    try:
        health = redis_health(url, patience / 3)
    except StoreError as problem:
        yield error("redis", str(problem), "start the server, or correct the address")
        return
    found = f"Redis {health.version} at {health.address} answers in {_ms(health.latency)}"
    if health.is_replica:
        yield error("redis", f"{found}, and is a replica", "connect to the primary")
    elif health.is_loading:
        yield error("redis", f"{found}, and still reads its data", "wait until it has")
    else:
        yield _unless_slow("redis", found, health.latency)
    yield from _clock(health)
    yield from _durability(health)
    yield from _memory(health)


def _unless_slow(check: str, found: str, latency: float) -> CheckResult:
    if latency > _SLOW:
        return warning(check, found, "run it in the same network; each search asks several times")
    return ok(check, found)


def _clock(health: RedisHealth) -> Iterator[CheckResult]:
    if abs(health.clock_skew) > _SKEW:
        found = f"the clocks of Redis and of this machine differ by {abs(health.clock_skew):.0f} s"
        remedy = "set both by NTP: which images have expired depends on who looks"
        yield warning("redis.clock", found, remedy)


def _durability(health: RedisHealth) -> Iterator[CheckResult]:
    check, settings = "redis.durability", health.settings
    if health.failed_saves:
        found = f"Redis could not write {' and '.join(health.failed_saves)} the last time"
        yield error(check, found, "read its log; its disk may be full")
    elif settings is None:
        yield ok(check, "the server does not show its settings")
    elif settings.get("appendonly") != "yes":
        saves = settings.get("save") or "never"
        found = f"appendonly is {settings.get('appendonly')}, and snapshots are taken: {saves}"
        yield warning(
            check,
            f"{found}. If Redis is killed, images are lost that were reported as stored",
            "set appendonly yes and appendfsync always",
        )
    elif settings.get("appendfsync") != "always":
        found = f"appendfsync is {settings.get('appendfsync')}"
        yield warning(
            check,
            f"{found}: if Redis is killed, the images of about the last second are lost",
            "set appendfsync always",
        )
    else:
        yield ok(check, "every acknowledged write is on disk")


def _memory(health: RedisHealth) -> Iterator[CheckResult]:
    check, settings = "redis.memory", health.settings or {}
    policy = settings.get("maxmemory-policy", _KEEPS_ALL)
    remedy = f"set maxmemory-policy {_KEEPS_ALL}"
    if health.most_memory and policy != _KEEPS_ALL:
        found = f"maxmemory-policy is {policy}: Redis deletes records when it reaches maxmemory"
        yield error(check, found, remedy)
    elif policy != _KEEPS_ALL:
        found = f"maxmemory-policy is {policy}: Redis would delete records if it had a maxmemory"
        yield warning(check, found, remedy)
    elif health.most_memory and health.used_memory > _FULL * health.most_memory:
        share = health.used_memory / health.most_memory
        yield warning(check, f"Redis uses {share:.0%} of its maxmemory", "raise maxmemory")
    else:
        yield ok(check, f"Redis uses {health.used_memory / 1e6:.0f} MB, and deletes nothing itself")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
