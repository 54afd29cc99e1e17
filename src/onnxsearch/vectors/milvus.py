"""Vectors in Milvus: Milvus Lite in a file, a server, a cluster or a cloud."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Self, cast

from pymilvus import MilvusClient

from onnxsearch.errors import CollectionNotFoundError, InvalidArgumentError, StoreError
from onnxsearch.filters import Filter
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore
from onnxsearch.vectors.milvus_collection import (
    LONG_SECONDS,
    create_collection,
    make_ready,
    read_spec,
    wait_for_index,
)
from onnxsearch.vectors.milvus_connection import MilvusConnection, TLSFiles
from onnxsearch.vectors.milvus_filter import document, expression
from onnxsearch.vectors.milvus_index import FlatIndex, MilvusIndex
from onnxsearch.vectors.milvus_search import (
    Consistency,
    Search,
    from_milvus,
    keys_after,
    to_milvus,
)
from onnxsearch.vectors.tunable import Variant

_BATCH_BYTES = 8 << 20
"""Servers refuse messages of 64 MiB, and a request should not take seconds."""
_FLUSH_ROWS = 1_000
"""Lite takes about 0.1 ms to search a row that is not flushed."""
_LITE_METRICS = frozenset({Metric.L2, Metric.IP, Metric.COSINE})


class MilvusVectorStore(VectorStore):
    """A vector store in Milvus.

    With the default index results are exact, and those of `LocalVectorStore`, save
    that among more than 16,384 rows at one distance Milvus chooses, and that by `ip`
    and `cosine` rows with the same vector may be a rounding error (1e-7) apart, and
    so come in another order than that of their keys.

    What the store learned of a collection it keeps in mind. Close it before
    another process drops a collection and makes one of the same name.

    Milvus Lite survives a killed process, but does not wait for the disk: a loss
    of power can cost it the last writes.

    Example:
        >>> store = MilvusVectorStore("http://localhost:19530")
        >>> store.ensure_collection(CollectionSpec("photos", 2, fingerprint="v1"))
    """

    def __init__(
        self,
        uri: str | os.PathLike[str] | None = None,
        *,
        client: MilvusClient | None = None,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        db_name: str | None = None,
        tls: TLSFiles | None = None,
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
            tls: Certificates, where those that the system trusts won't do.
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
                tls=tls,
                timeout=timeout,
            )
        elif client is not None and uri is None:
            self._connection = MilvusConnection.over(client, timeout=timeout)
        else:
            raise InvalidArgumentError("expected one of uri and client, and not both")
        self._timeout = timeout
        self._database = db_name or "default"
        self._index = index or FlatIndex()
        if self._connection.lite is not None:
            self.metrics = _LITE_METRICS
            if not self._index.on_lite:
                self.close()
                raise InvalidArgumentError(f"{self._index!r}: Milvus Lite has no such index")
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
        self._index.kind_for(spec.metric)
        with self._connection.write() as client:
            create_collection(client, spec, consistency=self._consistency, timeout=self._timeout)

    def _collections(self) -> list[str]:
        with self._connection.call() as client:
            names = cast("list[str]", client.list_collections(timeout=self._timeout))
        return [name for name in names if name in self._specs or self._is_ours(name)]

    def _is_ours(self, name: str) -> bool:
        with suppress(CollectionNotFoundError), self._connection.call() as client:
            return read_spec(client, name, timeout=self._timeout) is not None
        return False  # it was dropped since it was listed

    def _drop(self, name: str) -> None:
        with self._connection.write() as client:
            self._specs.pop(name, None)
            client.drop_collection(name, timeout=self._timeout)

    def _upsert(
        self, spec: CollectionSpec, keys: Sequence[str], vectors: Vectors, metadata: Sequence[str]
    ) -> None:
        documents = {text: document(text) for text in set(metadata)}
        values = to_milvus(vectors, spec)
        largest = max(stored.size for stored in documents.values())
        step = max(1, _BATCH_BYTES // (vectors[0].nbytes + largest + 100))
        for start in range(0, len(keys), step):
            end = min(start + step, len(keys))
            rows = [
                {"id": keys[n], "vector": values[n], "metadata": documents[metadata[n]].fields}
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
        lite = self._connection.lite
        search = Search(
            spec=spec,
            limit=limit,
            condition="" if filter is None else expression(filter, lite=lite is not None),
            index=self._index,
            consistency=self._consistency,
            timeout=self._timeout,
        )
        # Milvus Lite compares all queries of a request with all rows, in memory.
        counted = lite is not None and len(queries) > 1
        with self._connection.call() as client:
            return search.run(client, queries, self._count(spec) if counted else 0)

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        found: dict[str, Vectors] = {}
        step = max(1, _BATCH_BYTES // (spec.columns * spec.dtype.itemsize + 100))
        for start in range(0, len(keys), step):
            with self._connection.call() as client:
                rows = client.get(
                    spec.name,
                    ids=list(keys[start : start + step]),
                    output_fields=["vector"],
                    timeout=self._timeout,
                    consistency_level=self._consistency,
                )
            found |= {row["id"]: from_milvus(row["vector"], spec) for row in rows}
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
                page = keys_after(
                    client, spec.name, last, consistency=self._consistency, timeout=self._timeout
                )
            if not page:
                return
            yield from page
            last = page[-1]

    def _count(self, spec: CollectionSpec) -> int:
        with self._connection.call() as client:
            (row,) = client.query(
                spec.name,
                output_fields=["count(*)"],
                timeout=self._timeout,
                consistency_level=self._consistency,
            )
        return int(row["count(*)"])

    def variants(self, collection: str, limit: int) -> list[Variant]:
        """Return the ways to search the collection's index, cheapest first (see `Tunable`).

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        self.describe(collection)
        indexes = self._index.variants(limit)
        return [Variant(index, partial(self._with(index).search, collection)) for index in indexes]

    def _with(self, index: MilvusIndex) -> Self:
        view = copy(self)  # it shares the connection
        view._index = index  # noqa: SLF001
        return view

    def wait_until_indexed(self, collection: str, *, timeout: float = 600.0) -> None:
        """Return when the index holds every row that was stored before the call.

        Milvus indexes in the background. Searches before that are right, and slower.

        Args:
            collection: Name of an existing collection.
            timeout: Seconds to wait.

        Raises:
            CollectionNotFoundError: There is no such collection.
            StoreUnavailableError: It was not done in that time.
        """
        spec = self.describe(collection)
        with self._connection.write() as client:
            client.flush(spec.name, timeout=timeout)
        with self._connection.call() as client:
            if self._connection.lite is not None:
                self._connection.lite.wait_for_index(spec.name, self._database, timeout)
            else:
                wait_for_index(client, spec.name, timeout)

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
