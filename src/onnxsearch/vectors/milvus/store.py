"""Vectors in Milvus: Milvus Lite in a file, a server, a cluster or a cloud."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Self, TypeAlias, cast

from pymilvus import MilvusClient

from onnxsearch._internal.validation import seconds
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import Filter
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore
from onnxsearch.vectors.capabilities import Variant
from onnxsearch.vectors.milvus.collection import wait_for_index
from onnxsearch.vectors.milvus.connection import MilvusConnection, TLSFiles
from onnxsearch.vectors.milvus.database import FLUSH_ROWS, MilvusDatabase
from onnxsearch.vectors.milvus.documents import check_whole, document
from onnxsearch.vectors.milvus.filters import expression, undecided
from onnxsearch.vectors.milvus.index import MilvusIndex, checked_index
from onnxsearch.vectors.milvus.search import (
    MOST_ROWS,
    Consistency,
    Search,
    checked_consistency,
    count,
    from_milvus,
    keys_after,
    to_milvus,
)

_Row: TypeAlias = "dict[str, Any]"
"""What pymilvus takes and returns for a row: a value by field."""
_BATCH_BYTES = 8 << 20
"""Bytes of a request: servers refuse 64 MiB, and a request should not take seconds."""
_LITE_METRICS = frozenset({Metric.L2, Metric.IP, Metric.COSINE})


class MilvusVectorStore(VectorStore):
    """A vector store in Milvus.

    With the default index, results are exact and equal to those of `LocalVectorStore`,
    with two exceptions. Among more than 16,384 rows at the same distance, Milvus chooses.
    By `ip` and `cosine`, distances of equal vectors may differ by a rounding error (1e-7),
    so that their order differs from the order of their keys.

    The store caches what it knows of a collection on a server. Call `ensure_collection`
    after another client dropped the collection and created it again.

    Writes to Milvus Lite survive a killed process, but Milvus Lite does not wait for the
    disk: after a loss of power the last writes may be missing. When the disk is full,
    every store on the file raises `StoreUnavailableError` until all stores are closed and
    the file is opened again.

    Example:
        >>> store = MilvusVectorStore("http://localhost:19530")
        >>> store.ensure_collection(CollectionSpec("photos", 2, fingerprint="v1"))
    """

    max_rows = MOST_ROWS

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
            client: A client of a server to use instead of `uri`; it stays open. A client
                of Milvus Lite is refused.
            token: API key, or `user:password`.
            user: User name.
            password: Password.
            db_name: Database, if it is not the default one.
            tls: Certificates, if the ones that the system trusts are not sufficient.
            timeout: Seconds until a call gives up; at most 4 for connecting.
            index: Index of the collections that are created here; None for `FlatIndex()`.
            consistency: The writes that a search is guaranteed to see.

        Raises:
            StoreUnavailableError: The server cannot be reached.
            StoreLockedError: Another process has the Milvus Lite file open.
            StoreCorruptError: The file has the format of Milvus Lite 2.
            MissingExtraError: Milvus Lite is not installed.
            InvalidArgumentError: Both or neither of `uri` and `client` were given, or an
                argument is not as described.
        """
        self._timeout = seconds("timeout", timeout)
        self._index = checked_index(index)
        self._consistency = checked_consistency(consistency).value
        self._connection = MilvusConnection.open(
            uri,
            client,
            timeout=self._timeout,
            tls=tls,
            token=token,
            user=user,
            password=password,
            db_name=db_name,
        )
        self._database = MilvusDatabase(
            self._connection,
            db_name or "default",
            self._index,
            consistency=self._consistency,
            timeout=self._timeout,
        )
        if self._connection.lite is not None:
            self.metrics = _LITE_METRICS
            if not self._index.on_lite:
                self.close()
                raise InvalidArgumentError(f"{self._index!r}: Milvus Lite has no such index")

    def ensure_collection(self, spec: CollectionSpec) -> None:
        """Create the collection, or check that the one there is the same.

        See `VectorStore.ensure_collection`. Changes by other clients are noticed.
        """
        self._database.look_again(spec.name)
        super().ensure_collection(spec)

    def drop(self, collection: str) -> None:
        """Delete the collection with all its rows; if there is none, do nothing."""
        self._database.look_again(collection)
        super().drop(collection)

    def _describe(self, name: str) -> CollectionSpec | None:
        return self._database.describe(name)

    def _create(self, spec: CollectionSpec) -> None:
        self._database.create(spec)

    def _set_owner(self, spec: CollectionSpec) -> None:
        self._database.set_owner(spec)

    def _collections(self) -> list[str]:
        return self._database.names()

    def _drop(self, name: str) -> None:
        self._database.drop(name)

    def _check_whole(self, metadata: Sequence[str]) -> None:
        for text in set(metadata):
            check_whole(text)

    def _upsert(
        self, spec: CollectionSpec, keys: Sequence[str], vectors: Vectors, metadata: Sequence[str]
    ) -> None:
        documents = {text: document(text) for text in set(metadata)}
        if not all(stored.is_whole for stored in documents.values()):
            self._database.note_partial(spec.name)
        values = to_milvus(vectors, spec)
        largest = max(stored.size for stored in documents.values())
        step = max(1, _BATCH_BYTES // (vectors[0].nbytes + largest + 100))
        for start in range(0, len(keys), step):
            end = min(start + step, len(keys))
            rows = [
                {"id": keys[n], "vector": values[n], "metadata": documents[metadata[n]].fields}
                for n in range(start, end)
            ]
            self._database.change(spec.name, partial(self._put, spec.name, rows))

    def _put(self, name: str, rows: list[_Row], client: MilvusClient) -> None:
        client.upsert(name, rows, timeout=self._timeout)
        self._database.wrote(name, len(rows))

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        self._database.flush(spec.name, least=FLUSH_ROWS)
        lite = self._connection.lite
        if filter is not None:
            self._check_decided(spec.name, filter)
        search = Search(
            spec=spec,
            limit=limit,
            condition="" if filter is None else expression(filter, lite=lite is not None),
            index=self._index,
            consistency=self._consistency,
            timeout=self._timeout,
        )
        # Milvus Lite compares all queries of a request with all rows in memory.
        compared = self._count(spec) if lite is not None and len(queries) > 1 else 0
        return self._database.ask(spec.name, lambda client: search.run(client, queries, compared))

    def _check_decided(self, name: str, filter: Filter) -> None:
        if not self._database.is_partial(name):
            return
        rows = self._database.ask(name, partial(self._count_rows, name, undecided(filter)))
        if rows:
            raise InvalidArgumentError(
                f"{filter!r:.200} cannot be answered for {rows} rows of collection {name!r}: their "
                "metadata are larger than the 64 KiB that Milvus takes, so that it lacks their "
                "largest fields. Filter by smaller fields, or use LocalVectorStore"
            )

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        found: dict[str, Vectors] = {}
        step = max(1, _BATCH_BYTES // (spec.columns * spec.dtype.itemsize + 100))
        for start in range(0, len(keys), step):
            page = list(keys[start : start + step])
            rows = self._database.ask(spec.name, partial(self._get, spec.name, page))
            found |= {row["id"]: from_milvus(row["vector"], spec) for row in rows}
        return found

    def _get(self, name: str, keys: list[str], client: MilvusClient) -> list[_Row]:
        rows = client.get(
            name,
            ids=keys,
            output_fields=["vector"],
            timeout=self._timeout,
            consistency_level=self._consistency,
        )
        return cast("list[_Row]", rows)

    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), 1000):
            page = list(keys[start : start + 1000])
            self._database.change(spec.name, partial(self._remove, spec.name, page))

    def _remove(self, name: str, keys: list[str], client: MilvusClient) -> None:
        client.delete(name, ids=keys, timeout=self._timeout)

    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        last = ""
        while True:
            page = self._database.ask(spec.name, partial(self._page, spec.name, last))
            if not page:
                return
            yield from page
            last = page[-1]

    def _page(self, name: str, last: str, client: MilvusClient) -> list[str]:
        return keys_after(client, name, last, consistency=self._consistency, timeout=self._timeout)

    def _count(self, spec: CollectionSpec) -> int:
        return self._database.ask(spec.name, partial(self._count_rows, spec.name, ""))

    def _count_rows(self, name: str, condition: str, client: MilvusClient) -> int:
        return count(client, name, condition, consistency=self._consistency, timeout=self._timeout)

    def variants(self, collection: str, limit: int) -> list[Variant[MilvusIndex]]:
        """Return the ways to search the collection's index, cheapest first (see `Tunable`).

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        self.describe(collection)
        indexes = self._index.variants(limit)
        return [Variant(index, partial(self._with(index).search, collection)) for index in indexes]

    def _with(self, index: MilvusIndex) -> Self:
        view = copy(self)  # the copy shares the connection
        view._index = index  # noqa: SLF001
        return view

    def wait_until_indexed(self, collection: str, *, timeout: float = 600.0) -> None:
        """Wait until the index holds every row that was stored before the call.

        Milvus builds indexes in the background. Earlier searches are right, but slower.

        Args:
            collection: Name of an existing collection.
            timeout: Seconds to wait.

        Raises:
            CollectionNotFoundError: There is no such collection.
            StoreUnavailableError: The index was not complete in that time.
        """
        name, lite = self.describe(collection).name, self._connection.lite
        if lite is not None:
            self._database.flush(name, least=1)
            lite.wait_for_index(name, self._database.name, timeout)
            return
        with self._database.read(name) as client:
            client.flush(name, timeout=timeout)
            wait_for_index(client, name, timeout)

    def close(self) -> None:
        """Close the connection, except for a client that was passed in.

        Closing twice is harmless. The last store on a Milvus Lite file releases the file,
        which may take seconds.
        """
        self._connection.close()

    def __repr__(self) -> str:
        return f"MilvusVectorStore({self._connection.address!r})"
