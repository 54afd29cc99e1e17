"""Records in Redis, Valkey, or whatever speaks their protocol."""

from __future__ import annotations

import math
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import redis
from redis.exceptions import RedisClusterException

from onnxsearch._internal.process import HomeProcess
from onnxsearch._internal.validation import instance, integer, seconds
from onnxsearch.errors import (
    ClosedError,
    InvalidArgumentError,
    StoreUnavailableError,
    without_secrets,
)
from onnxsearch.metadata.base import Cell, DurabilityWarning, MetadataStore
from onnxsearch.metadata.capabilities import (
    RankedKey,
    WordReader,
    check_ranking,
    check_stale,
)
from onnxsearch.metadata.redis import scripts
from onnxsearch.metadata.redis.connection import (
    DEFAULT_URL,
    Client,
    address_of,
    check_replicas,
    checked_client,
    checked_url,
    connect,
    is_managed_by_sentinel,
)
from onnxsearch.metadata.redis.errors import mapped
from onnxsearch.metadata.redis.words.index import words_of
from onnxsearch.metadata.redis.words.indexes import WordHashes

_PREFIX = re.compile(r"[!-z|~]{1,100}")
_SCAN_COUNT = 16
_SCAN_BYTES = 2**20

_warned: set[str] = set()
_warned_lock = threading.Lock()


class RedisMetadataStore(MetadataStore):
    """A `MetadataStore` on a Redis or Valkey server (6.2 or newer), or a cluster.

    A table is a hash named `{prefix}:table`. The braces make the prefix a hash tag, so
    that on a cluster all tables of one prefix are on one node and a commit (one Lua
    script) is atomic. No key outside the prefix is touched.

    An acknowledged commit survives a killed server only with `appendonly yes` and
    `appendfsync always`, and a failover to a replica only with `replicas`. Otherwise the
    store emits a `DurabilityWarning`, once per server, if the server allows its settings
    to be read.

    While the server writes a commit (at most 0.3 s), it serves no other client. A user
    with restricted rights needs HMGET, HLEN, HSCAN, EVALSHA, SCRIPT LOAD, TYPE, HGET, HSET
    and HDEL, and for `replicas` also SCRIPT EXISTS and WAIT. As soon as anybody has searched
    for keywords, everybody who writes also needs HKEYS, HEXISTS, HINCRBY, ZADD and ZREM, and
    who searches for them HGETALL, ZSCORE, ZRANGE, EXISTS and UNLINK.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`. After `?` there may be `db`,
            `username`, `password`, `client_name` and `max_connections`, for TLS also
            `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`; for anything else, pass
            `client`.
        client: A `redis.Redis` or `redis.RedisCluster` to use instead, such as
            `Sentinel(...).master_for(...)`; the store never closes it. Create it with
            `retry=Retry(NoBackoff(), 0)`: a commit that is sent a second time, because its
            reply was lost, finds its own writes and reports a failed expectation.
        prefix: Separates applications on one server: 1 to 100 printable ASCII
            characters, without spaces and braces.
        replicas: Replicas that must have a commit before it returns (Redis' WAIT).
            With 1, a failover loses no acknowledged commit, and without a replica every
            commit fails. Not for clusters.
        timeout: Seconds to wait for a connection and for each reply; half of it for
            replicas. With the default, an unreachable server is reported within 5 seconds.
            A `client` has its own timeout, which should not be shorter.

    Raises:
        StoreUnavailableError: The server does not reply.
        StoreError: The server refused, for example the password.
        InvalidArgumentError: An argument has a wrong type or value, or the client decodes
            replies to text.

    Example:
        >>> from onnxsearch import RedisMetadataStore
        >>> from onnxsearch.metadata.base import Cell
        >>> with RedisMetadataStore("redis://localhost:6379/0") as store:
        ...     store.commit({Cell("pets", "a"): b"cat"})
        ...     store.get("pets", "a")
        True
        b'cat'
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        client: Client | None = None,
        prefix: str = "onnxsearch",
        replicas: int = 0,
        timeout: float = 4.0,
    ) -> None:
        self._prefix = _checked_prefix(prefix)
        self._replicas = integer("replicas", replicas, least=0)
        timeout = seconds("timeout", timeout)
        self._patience_ms = math.ceil(timeout * 500)  # 0 would be for ever
        self._closed = False
        self._process = HomeProcess()
        self._owns_client = client is None
        if client is None:
            self._address = without_secrets(checked_url(url))
            self._client: Client = connect(url, timeout)
        else:
            self._client = checked_client(client, url)
            self._address = address_of(client)
        check_replicas(self._client, self._replicas)
        self._commit_script = self._client.register_script(scripts.COMMIT)
        self._words = WordHashes(self._client, self._scan)
        try:
            # Wrong rights, and another node's slots, are better known now than at a write.
            self._count("")
            self._warn_unless_durable()
        except BaseException:
            self.close()
            raise

    def rank_by_words(
        self, table: str, reader: WordReader, words: Sequence[str], limit: int
    ) -> list[RankedKey]:
        """Rank the values of a table by their words; see `KeywordSearch.rank_by_words`.

        The first call for a table and a reader makes an index beside the table. Later calls read
        the words of what has changed since.

        Raises:
            InvalidArgumentError: An argument is not as described.
            StoreCorruptError: The index is damaged.
            StoreError: The store failed, or other processes changed the index again and again.
        """
        check_ranking(table, reader, words, limit)
        with self._mapped_errors():
            return self._words.rank(self._hash(table), reader, words, limit)

    def stale_words(self, table: str, *, repair: bool) -> list[str]:
        """Return the keys whose words are out of date; see `KeywordSearch.stale_words`.

        Raises:
            StoreError: The store failed.
        """
        check_stale(table, repair)
        with self._mapped_errors():
            return self._words.stale(self._hash(table), repair=repair)

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        name = self._hash(table)
        with self._mapped_errors():
            # One command however many keys, hence one moment.
            return cast("list[bytes | None]", self._client.hmget(name, list(keys)))

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        hashes: dict[str, int] = {}
        arguments: list[str | bytes | int] = [len(expect)]
        for cell, value in (*expect.items(), *writes.items()):
            number = hashes.setdefault(self._hash(cell.table), len(hashes) + 1)
            arguments += (number, cell.key, 0 if value is None else 1, value or b"")
        with self._mapped_errors():
            keys = [key for name in hashes for key in (name, words_of(name))]
            return self._run_commit(keys, arguments) if hashes else True

    def _run_commit(self, keys: list[str], arguments: list[str | bytes | int]) -> bool:
        if not self._replicas or isinstance(self._client, redis.RedisCluster):
            return bool(self._commit_script(keys=keys, args=arguments) == 1)
        # One connection for both: WAIT waits for what its own connection has written.
        with self._client.pipeline(transaction=False) as both:
            self._commit_script(keys=keys, args=arguments, client=both)
            both.wait(self._replicas, self._patience_ms)
            done, have_it = both.execute()
        if done == 1 and have_it < self._replicas:
            raise StoreUnavailableError(
                f"Redis at {self._address} has written a commit, but after "
                f"{self._patience_ms / 1000} s {have_it} replicas have it: expected "
                f"{self._replicas}. Check that they run"
            )
        return bool(done == 1)

    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        return self._scan(self._hash(table))

    def _scan(self, name: str) -> Iterator[tuple[str, bytes]]:
        cursor, count = 0, _SCAN_COUNT
        while True:
            with self._mapped_errors():
                answer = self._client.hscan(name, cursor, count=count)
            cursor, page = cast("tuple[int, dict[bytes, bytes]]", answer)
            for key, value in page.items():
                yield key.decode("ascii"), value
            if cursor == 0:
                return
            if page:  # values may be bytes or megabytes, and COUNT counts them alike
                mean = sum(map(len, page.values())) // len(page) + 1
                count = max(1, min(1000, _SCAN_BYTES // mean))

    def _count(self, table: str) -> int:
        with self._mapped_errors():
            return int(self._client.hlen(self._hash(table)))

    def close(self) -> None:
        """Close the connections, unless the client was passed in."""
        self._closed = True
        if self._owns_client and self._process.is_here:
            self._client.close()

    def _hash(self, table: str) -> str:
        return f"{{{self._prefix}}}:{table}"

    def _warn_unless_durable(self) -> None:
        with self._mapped_errors():
            try:
                answer = self._client.config_get("append*")  # Redis 6 takes one pattern
            except redis.ResponseError:
                return  # many hosted servers keep their settings to themselves
        found = cast("dict[str, str]", answer)
        wanted = ("appendonly", "yes"), ("appendfsync", "always")
        wrong = [f"{name} {found[name]}" for name, best in wanted if found.get(name, best) != best]
        remedy = "Set appendonly yes and appendfsync always"
        if not wrong and is_managed_by_sentinel(self._client) and not self._replicas:
            wrong, remedy = ["a Sentinel, and replicas=0"], "Pass replicas=1"
        with _warned_lock:
            if not wrong or self._address in _warned:
                return
            _warned.add(self._address)
        warnings.warn(
            f"Redis at {self._address} has {', '.join(wrong)}: if it is killed, images are "
            f"lost that were reported as stored. {remedy}",
            DurabilityWarning,
            stacklevel=3,
        )

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        self._process.check(f"{self!r}")
        if self._closed:
            raise ClosedError(f"{self!r} was closed; open a new one")
        try:
            yield
        except (redis.RedisError, RedisClusterException, OSError) as error:
            raise mapped(error, self._address, self._prefix) from error

    def __repr__(self) -> str:
        return f"<RedisMetadataStore {self._address} prefix {self._prefix!r}>"


def _checked_prefix(prefix: str) -> str:
    if not _PREFIX.fullmatch(instance("prefix", prefix, str, "a string")):
        raise InvalidArgumentError(
            f"prefix {prefix[:80]!r}: expected 1 to 100 printable ASCII characters without "
            "spaces and braces"
        )
    return prefix
