"""Vectors in Milvus: Milvus Lite in a file, a server, a cluster or a cloud."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, cast

import numpy as np
from pymilvus import MilvusClient

from onnxsearch.errors import InvalidArgumentError, StoreError
from onnxsearch.filters import Filter
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore
from onnxsearch.vectors.milvus_collection import (
    LONG_SECONDS,
    create_collection,
    make_ready,
    metric_name,
    read_spec,
)
from onnxsearch.vectors.milvus_connection import MilvusConnection
from onnxsearch.vectors.milvus_filter import document, expression
from onnxsearch.vectors.milvus_index import FlatIndex, MilvusIndex

_BATCH_BYTES = 8 << 20
"""Servers refuse messages of 64 MiB, and a request should not take seconds."""
_BATCH_QUERIES = 100
_MOST_ROWS = 16_384
"""Rows that Milvus returns per query at most."""
_SPARE = 8
"""Rows asked for beyond the limit, to see whether others are at the last one's distance."""
_PAGE = 10_000
"""Keys per request; a server takes 0.2 s for each."""
_FLUSH_ROWS = 1_000
"""Lite takes about 0.1 ms to search a row that is not flushed."""
_LITE_BYTES = 256 << 20
"""Lite compares all queries of a request with all rows at once, in memory."""


class Consistency(StrEnum):
    """Which writes a search on a server is sure to see; Lite always sees all."""

    STRONG = "Strong"
    """All that were acknowledged, by whomever. Costs some 0.2 s."""
    SESSION = "Session"
    """At least those of this client."""
    BOUNDED = "Bounded"
    """All but those of the last seconds, one's own included."""
    EVENTUALLY = "Eventually"
    """No promise."""


class MilvusVectorStore(VectorStore):
    """A vector store in Milvus.

    With the default index results are exact, and those of `LocalVectorStore`,
    save that among more than 16,384 rows at one distance Milvus chooses.

    What the store learned of a collection it keeps in mind. Close it before
    another process drops a collection and makes one of the same name.

    Milvus Lite survives a killed process, but does not wait for the disk: a loss
    of power can cost it the last writes.

    Example:
        >>> store = MilvusVectorStore("http://localhost:19530")
        >>> store.ensure_collection(CollectionSpec("photos", 2, fingerprint="v1"))
    """

    metrics: ClassVar[frozenset[Metric]] = frozenset({Metric.L2, Metric.IP, Metric.COSINE})

    def __init__(
        self,
        uri: str | os.PathLike[str] | None = None,
        *,
        client: MilvusClient | None = None,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        db_name: str | None = None,
        timeout: float = 10.0,
        index: MilvusIndex | None = None,
        consistency: Consistency = Consistency.STRONG,
    ) -> None:
        """Connect to Milvus.

        Args:
            uri: Path of a Milvus Lite file, ending in `.db`, or `http://host:port`,
                or `https://host:port` for TLS.
            client: A client to use instead of `uri`; it is not closed. Not one of
                Milvus Lite.
            token: API key, or `user:password`.
            user: User name.
            password: Password.
            db_name: Database, where it isn't the default one.
            timeout: Seconds until a call gives up; connecting, after 4 at most.
            index: Index for collections that are made here; None is `FlatIndex()`.
            consistency: Which writes a search is sure to see.

        Raises:
            StoreUnavailableError: The server cannot be reached.
            StoreLockedError: Another process has the Milvus Lite file open.
            StoreCorruptError: That file is of the format of Milvus Lite 2.
            MissingExtraError: Milvus Lite is not installed.
            InvalidArgumentError: Not one of `uri` and `client` was given, or it is
                not as said.
        """
        if timeout <= 0:
            raise InvalidArgumentError(f"timeout {timeout}: expected seconds, more than 0")
        if uri is not None and client is None:
            self._connection = MilvusConnection.to(
                os.fspath(uri),
                token=token,
                user=user,
                password=password,
                db_name=db_name,
                timeout=timeout,
            )
        elif client is not None and uri is None:
            self._connection = MilvusConnection.over(client, timeout=timeout)
        else:
            raise InvalidArgumentError("expected one of uri and client, and not both")
        self._timeout = timeout
        self._index: MilvusIndex = index or FlatIndex()
        self._consistency = consistency.value
        self._specs: dict[str, CollectionSpec] = {}
        self._opening = threading.Lock()

    def _describe(self, name: str) -> CollectionSpec | None:
        with self._connection.call() as client:
            found = self._specs.get(name)
            if found is not None or not client.has_collection(name, timeout=self._timeout):
                return found
            spec = read_spec(client, name, timeout=self._timeout)
            if spec is None:
                raise StoreError(
                    f"Milvus at {self._connection.address} has a collection {name!r} that "
                    "onnxsearch did not make; choose another namespace, or database"
                )
            with self._opening:
                if name not in self._specs:
                    make_ready(client, spec, self._index, timeout=self._timeout)
                    if self._connection.lite is not None:
                        # What an earlier process wrote may not be flushed.
                        self._connection.lite.unflushed[name] += _FLUSH_ROWS
                    self._specs[name] = spec
        return spec

    def _create(self, spec: CollectionSpec) -> None:
        with self._connection.write() as client:
            create_collection(client, spec, consistency=self._consistency, timeout=self._timeout)

    def _collections(self) -> list[str]:
        with self._connection.call() as client:
            names = cast("list[str]", client.list_collections(timeout=self._timeout))
            return [
                name
                for name in names
                if name in self._specs or read_spec(client, name, timeout=self._timeout) is not None
            ]

    def _drop(self, name: str) -> None:
        with self._connection.write() as client:
            self._specs.pop(name, None)
            client.drop_collection(name, timeout=self._timeout)

    def _upsert(
        self, spec: CollectionSpec, keys: Sequence[str], vectors: Vectors, metadata: Sequence[str]
    ) -> None:
        documents = [document(text) for text in metadata]
        largest = max(len(json.dumps(row)) for row in documents)
        step = max(1, _BATCH_BYTES // (4 * spec.columns + largest + 100))
        for start in range(0, len(keys), step):
            end = min(start + step, len(keys))
            rows = [
                {"id": keys[n], "vector": vectors[n], "metadata": documents[n]}
                for n in range(start, end)
            ]
            with self._connection.write() as client:
                client.upsert(spec.name, rows, timeout=self._timeout)
                if self._connection.lite is not None:
                    self._connection.lite.unflushed[spec.name] += len(rows)

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        self._flush(spec.name)
        condition = "" if filter is None else expression(filter)
        rows = min(limit + _SPARE, _MOST_ROWS)
        step = self._queries_per_request(spec, len(queries))
        found: list[list[Match]] = []
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            found += self._nearest(spec, block, limit, condition, rows)
        return found

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        found: dict[str, Vectors] = {}
        step = max(1, _BATCH_BYTES // (4 * spec.columns + 100))
        for start in range(0, len(keys), step):
            with self._connection.call() as client:
                rows = client.get(
                    spec.name,
                    ids=list(keys[start : start + step]),
                    output_fields=["vector"],
                    timeout=self._timeout,
                    consistency_level=self._consistency,
                )
            found |= {row["id"]: np.asarray(row["vector"], np.float32) for row in rows}
        return found

    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), 1000):
            with self._connection.write() as client:
                client.delete(
                    spec.name, ids=list(keys[start : start + 1000]), timeout=self._timeout
                )

    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        last = ""
        while True:
            with self._connection.call() as client:
                page = client.query(
                    spec.name,
                    filter=f'id > "{last}"',
                    limit=_PAGE,
                    output_fields=["id"],
                    timeout=self._timeout,
                    consistency_level=self._consistency,
                    # In the order of keys, as pymilvus' own iterator asks for it; that one
                    # logs a warning for Lite, and for servers before 2.4, on every use.
                    iterator="True",
                    reduce_stop_for_best="True",
                )
            if not page:
                return
            for row in page:
                yield row["id"]
            last = page[-1]["id"]

    def _count(self, spec: CollectionSpec) -> int:
        with self._connection.call() as client:
            (row,) = client.query(
                spec.name,
                output_fields=["count(*)"],
                timeout=self._timeout,
                consistency_level=self._consistency,
            )
        return int(row["count(*)"])

    def close(self) -> None:
        """Close the connection, unless it was given; closing twice is harmless.

        The last store on a Milvus Lite file releases it, which may take seconds.
        """
        self._connection.close()

    def __repr__(self) -> str:
        return f"MilvusVectorStore({self._connection.address!r})"

    def _flush(self, name: str) -> None:
        lite = self._connection.lite
        if lite is not None and lite.unflushed[name] >= _FLUSH_ROWS:
            with self._connection.write() as client:
                lite.unflushed[name] = 0
                client.flush(name, timeout=LONG_SECONDS)

    def _queries_per_request(self, spec: CollectionSpec, queries: int) -> int:
        if self._connection.lite is None or queries == 1:
            return _BATCH_QUERIES
        bytes_per_query = 4 * spec.columns * max(1, self._count(spec))
        return min(_BATCH_QUERIES, max(1, _LITE_BYTES // bytes_per_query))

    def _nearest(
        self, spec: CollectionSpec, queries: Vectors, limit: int, condition: str, rows: int
    ) -> list[list[Match]]:
        with self._connection.call() as client:
            answers = client.search(
                spec.name,
                data=list(queries),
                anns_field="vector",
                limit=rows,
                filter=condition,
                # Lite would return every field, vectors included.
                output_fields=["id"],
                search_params={
                    "metric_type": metric_name(spec),
                    "params": dict(self._index.search(rows)),
                },
                timeout=self._timeout,
                consistency_level=self._consistency,
            )
        found: list[list[Match]] = []
        for query, hits in zip(queries, answers, strict=True):
            matches = [Match(hit["id"], _distance(spec.metric, hit["distance"])) for hit in hits]
            if _goes_on(matches, limit, rows):
                wider = min(4 * rows, _MOST_ROWS)
                found += self._nearest(spec, query[np.newaxis], limit, condition, wider)
            else:
                matches.sort(key=lambda match: (match.distance, match.key))
                found.append(matches[:limit])
        return found


def _goes_on(matches: Sequence[Match], limit: int, rows: int) -> bool:
    """Tell whether rows beyond those asked for may belong among the first `limit`."""
    if len(matches) < rows:
        return False
    if rows < _MOST_ROWS:
        return matches[-1].distance <= matches[limit - 1].distance
    if limit > _MOST_ROWS:
        raise InvalidArgumentError(
            f"limit {limit}: Milvus returns at most {_MOST_ROWS} rows, and the collection has more"
        )
    return False


def _distance(metric: Metric, value: float) -> float:
    """Make of what Milvus calls a distance one that `Metric` defines."""
    return math.sqrt(max(value, 0.0)) if metric is Metric.L2 else 1.0 - value
