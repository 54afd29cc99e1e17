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

DEFAULT_URL = "redis://localhost:6379/0"

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
    # Stricter than redis-py, which takes an unescaped "/" in a password for the end of the
    # name of the host: half of the password would then appear as host or database. So the
    # message names neither the URL nor the cause.
    if not _is_good(url):
        known = sorted(_OPTIONS | _TLS_OPTIONS if url.startswith("rediss:") else _OPTIONS)
        raise InvalidArgumentError(
            "this is not a Redis URL: expected redis://[user:password@]host:port/database, or "
            "rediss:// likewise, or unix:///path. Percent-encode special characters in the "
            f"password. Options may be {', '.join(known)}; for others pass client="
        ) from None
    return url


def _is_good(url: str) -> bool:
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        _ = parts.port  # raises if it is not a number
    except ValueError:
        return False
    if parts.scheme not in ("redis", "rediss", "unix") or parts.fragment:
        return False
    number = parts.path.strip("/")
    if parts.scheme != "unix" and number and not number.isdecimal():
        return False
    known = _OPTIONS | _TLS_OPTIONS if parts.scheme == "rediss" else _OPTIONS
    numbers = [options[name] for name in ("db", "max_connections") if name in options]
    return options.keys() <= known and all(map(str.isdecimal, numbers))


def checked_client(client: Client, url: str) -> Client:
    """Return a client that was passed in, beside a URL.

    Raises:
        InvalidArgumentError: It is not a synchronous client, decodes answers, or a URL was
            passed in too.
    """
    if not isinstance(client, (redis.Redis, redis.RedisCluster)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(
            f"client of type {type(client).__name__}: expected redis.Redis or "
            "redis.RedisCluster, not an asynchronous one"
        )
    if url != DEFAULT_URL:
        raise InvalidArgumentError("got a url and a client: expected only one of them")
    if client.get_encoder().decode_responses:
        raise InvalidArgumentError(
            "the client decodes answers to text, but values are bytes: make it with "
            "decode_responses=False"
        )
    return client


def check_replicas(client: Client, replicas: int) -> None:
    """Raise if a commit cannot wait for replicas.

    Raises:
        InvalidArgumentError: The client is one of a cluster, and `replicas` is not 0.
    """
    if replicas and isinstance(client, redis.RedisCluster):
        raise InvalidArgumentError(
            f"replicas={replicas} with a cluster: expected 0. Set min-replicas-to-write on "
            "its servers instead"
        )


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
