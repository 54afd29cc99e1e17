"""How a Redis server is reached: URLs, clients, and what to call it."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from onnxsearch.errors import InvalidArgumentError

Client: TypeAlias = "redis.Redis | redis.RedisCluster"
"""What talks to a server, or to a cluster of them."""

_OPTIONS = frozenset({"client_name", "db", "max_connections", "password", "username"})
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})


def connect(url: str, timeout: float) -> redis.Redis:
    """Return a client of the server at `url`, which `checked_url` has seen."""
    return redis.Redis.from_url(
        url,
        decode_responses=False,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # No second try: see `client` above. A connection that broke while it lay in
        # the pool is replaced before anything is sent.
        retry=Retry(NoBackoff(), 0),
    )


def checked_url(url: str) -> str:
    """Return `url` if it is a Redis URL that holds nothing unexpected, else raise."""
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        # Not shown, since it may hold a password.
        raise InvalidArgumentError(f"url of type {type(url).__name__}: expected a redis:// URL")
    # Stricter than redis-py, which reads an unescaped "/" in a password as the end of
    # the host's name: half of the password would then show up as host or database.
    # For the same reason neither the URL nor the cause is told.
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        numbers = f"{parts.port or 0}{options.get('db', 0)}{options.get('max_connections', 1)}"
    except ValueError:
        parts, options, numbers = urlsplit(""), {}, ""
    known = _OPTIONS | _TLS_OPTIONS if parts.scheme == "rediss" else _OPTIONS
    path_is_good = parts.scheme == "unix" or parts.path.strip("/").isdecimal() or parts.path in "/"
    if (
        parts.scheme not in ("redis", "rediss", "unix")
        or not (path_is_good and numbers.isdecimal())
        or parts.fragment
        or not options.keys() <= known
    ):
        raise InvalidArgumentError(
            "this is not a Redis URL: expected redis://[user:password@]host:port/database, or "
            "rediss:// likewise, or unix:///path. Percent-encode special characters in the "
            f"password. Options may be {', '.join(sorted(known))}; for others pass client="
        ) from None
    return url


def address_of(client: Client) -> str:
    """Return what to call the server of a client that was passed in."""
    if isinstance(client, redis.RedisCluster):
        return "a cluster"
    if isinstance(client.connection_pool, SentinelConnectionPool):
        return f"the primary {client.connection_pool.service_name!r} of a Sentinel"
    settings = client.get_connection_kwargs()
    return str(settings.get("path") or f"{settings.get('host')}:{settings.get('port')}")


def is_managed_by_sentinel(client: Client) -> bool:
    """Return whether a replica may take the server's place."""
    return isinstance(client, redis.Redis) and isinstance(
        client.connection_pool, SentinelConnectionPool
    )
