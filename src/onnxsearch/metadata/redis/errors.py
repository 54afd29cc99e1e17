"""What redis-py raises, as errors of ours."""

from __future__ import annotations

import redis
from redis.exceptions import MovedError, NoPermissionError

from onnxsearch.errors import StoreCorruptError, StoreError, StoreUnavailableError

_RIGHTS = (
    "Give its user HMGET, HLEN, HSCAN, EVALSHA, SCRIPT LOAD, TYPE, HGET, HSET, HDEL, and for "
    "keyword searches also HKEYS, HGETALL, HEXISTS, HINCRBY, ZADD, ZREM, ZSCORE, ZRANGE, EXISTS, "
    "UNLINK"
)

_REFUSALS: tuple[tuple[type[Exception] | tuple[()], str, str], ...] = (
    (NoPermissionError, "NOPERM", _RIGHTS),
    # What a command in a script is refused with.
    ((), "ACL failure", _RIGHTS),
    (redis.AuthenticationError, "NOAUTH", "Check the user name and password in the URL"),
    (redis.ReadOnlyError, "READONLY", "It is a replica; connect to the primary"),
    (redis.OutOfMemoryError, "OOM", "It has reached its maxmemory; raise that"),
    (
        MovedError,
        "MOVED",
        "It is one node of a cluster; pass client=redis.RedisCluster.from_url(...)",
    ),
    ((), "MISCONF", "It cannot save to its disk; its log says why"),
)
"""The class that redis-py raises; the word in the message, for errors in a script and for those
without a class; and the remedy."""


def mapped(error: Exception, address: str, prefix: str) -> StoreError:
    """Return the error of ours for what redis-py raised.

    Args:
        error: What redis-py raised.
        address: The name of the server in messages.
        prefix: The prefix of the store's keys.
    """
    said = str(error).rstrip(".")
    if "WRONGTYPE" in said:
        return StoreCorruptError(
            f"Redis at {address} holds something else under a key of prefix "
            f"{prefix!r}: {said}. Choose another prefix"
        )
    for kind, code, remedy in _REFUSALS:
        if isinstance(error, kind) or code in said:
            return StoreError(f"Redis at {address} refused: {said}. {remedy}")
    if isinstance(error, redis.ResponseError):
        return StoreError(f"Redis at {address} refused: {said}")
    return StoreUnavailableError(
        f"Redis at {address} does not answer: {said}. Check that it runs and that "
        "the address is right"
    )
