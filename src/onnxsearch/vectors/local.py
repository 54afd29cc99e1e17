"""Vectors in one SQLite file, searched exactly."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from onnxsearch._internal.paths import target_path
from onnxsearch._internal.sqlite import Database
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer, number
from onnxsearch.errors import (
    CollectionNotFoundError,
    InvalidArgumentError,
    StoreCorruptError,
    StoreUnavailableError,
)
from onnxsearch.filters import Filter
from onnxsearch.types import Metric
from onnxsearch.vectors.base import (
    CollectionSpec,
    Match,
    Vectors,
    VectorStore,
    checked_matrix,
)
from onnxsearch.vectors.capabilities import Candidates, Parts
from onnxsearch.vectors.local_rows import (
    LocalRows,
    RowsOfParts,
    forget_file,
    matrix_of,
    remove_files,
)
from onnxsearch.vectors.local_view import LocalView
from onnxsearch.vectors.part_search import check_parts, nearest_parts
from onnxsearch.vectors.row_map import DamagedMapError

APPLICATION = 0x6F6E7876
"""The text "onxv" in the header of the file; `file` and SQLite's own tools show it."""
FORMAT = 1
"""The version of the tables."""
_PAGE = 1000
_PAGE_BYTES = 16_384
"""Page size of the file: a vector of 1,280 numbers takes one such page, or two default pages."""
_LOOKED_UP = 256
"""Keys, at most, whose vectors are taken from the rows that searches have read: a tenth of the
time that SQLite takes. More of them are no search's, and would map all of the file into memory."""
_REMEMBERED = 100_000
"""Removals that are kept for other processes; a process that missed more reads all rows."""

# One statement for many keys takes a third of the time that one for each takes. CROSS keeps SQLite
# from reading the table and looking for its keys in the list.
_FETCH = """
    SELECT vectors.key, vectors.vector FROM json_each(?) AS wanted
    CROSS JOIN vectors ON vectors.collection = ? AND vectors.key = wanted.value
"""

# Not a column of `collections`: releases without owners made that table, and ignore this one.
_OWNERS = "CREATE TABLE IF NOT EXISTS owners (collection INTEGER PRIMARY KEY, owner TEXT NOT NULL)"

# AUTOINCREMENT never gives a number twice, and a replaced row gets a new number. So the
# rows above the highest number that was read are the rows that changed since.
_SCHEMA = """
    CREATE TABLE collections (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
        dimension INTEGER NOT NULL, metric TEXT NOT NULL, fingerprint TEXT NOT NULL
    );
    CREATE TABLE vectors (
        change INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL,
        key TEXT NOT NULL, metadata TEXT NOT NULL, vector BLOB NOT NULL,
        UNIQUE (collection, key)
    );
    CREATE INDEX changes ON vectors (collection, change);
    CREATE TABLE removals (
        change INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, key TEXT NOT NULL
    );
"""


class LocalVectorStore(VectorStore):
    """A durable, exact vector store in one file, without a server.

    A write is on disk when it returns, and survives a loss of power. A search finds what
    a comparison with every row finds, ties included, and reads few of the vectors.

    The vectors of a collection of more than 32 MiB are copied to a file beside this one,
    named after it and ending in `-rows-` and a number. A search maps that file, and keeps a
    fifth of it in memory. It may be deleted at any time: it is written again. If it cannot
    be written, all vectors are kept in memory. Do not change it while a store is open.

    Threads, objects and processes may share a file, and each finds the writes of the
    others. SQLite's locks need a local disk; do not put the file on a network share.

    Example:
        >>> with LocalVectorStore("album/vectors.sqlite") as store:
        ...     store.ensure_collection(CollectionSpec("photos", 2, fingerprint="v1"))
        ...     store.upsert("photos", ["0" * 32], np.float32([[0, 1]]))
        ...     store.search("photos", np.float32([[3, 5]]), limit=1)
        [[Match(key='00000000000000000000000000000000', distance=5.0)]]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the store in the file at `path`; create it and its folders if missing.

        Raises:
            StoreCorruptError: The file belongs to another application, or has an unknown
                format.
            StoreLockedError: Another process was writing to it for half a minute.
            StoreUnavailableError: It cannot be opened or written.
        """
        folder = target_path(path).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(f"cannot create the folder {folder}: {error}") from error
        self._database = Database(
            path,
            application=APPLICATION,
            version=FORMAT,
            schema=_SCHEMA,
            page_bytes=_PAGE_BYTES,
        )
        self._loaded: dict[int, LocalRows] = {}
        self._of_parts: set[str] = set()
        """Names of the collections that have been searched by parts."""

    def _describe(self, name: str) -> CollectionSpec | None:
        with self._database.read() as connection:
            found = _find(connection, name)
            owner = None if found is None else _owner(connection, found.number)
        return None if found is None else replace(found.spec, owner=owner)

    def _create(self, spec: CollectionSpec) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO collections (name, dimension, metric, fingerprint) "
                "VALUES (?, ?, ?, ?)",
                (spec.name, spec.dimension, spec.metric.value, spec.fingerprint),
            )
            _own(connection, spec)

    def _set_owner(self, spec: CollectionSpec) -> None:
        with self._database.write() as connection:
            _own(connection, spec)

    def _collections(self) -> list[str]:
        with self._database.read() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM collections")]

    def _drop(self, name: str) -> None:
        with self._database.write() as connection:
            found = _find(connection, name)
            if found is not None:
                connection.execute("DELETE FROM vectors WHERE collection = ?", (found.number,))
                connection.execute("DELETE FROM removals WHERE collection = ?", (found.number,))
                connection.execute("DELETE FROM collections WHERE number = ?", (found.number,))
                connection.execute(_OWNERS)
                connection.execute("DELETE FROM owners WHERE collection = ?", (found.number,))
                forget_file(connection, found.number)
        self._of_parts.discard(name)
        if found is not None:
            self._loaded.pop(found.number, None)
            remove_files(self._database.path, found.number)

    def _upsert(
        self, spec: CollectionSpec, keys: Sequence[str], vectors: Vectors, metadata: Sequence[str]
    ) -> None:
        with self._database.write() as connection:
            number = _number(connection, spec)
            connection.executemany(
                "INSERT OR REPLACE INTO vectors (collection, key, metadata, vector) "
                "VALUES (?, ?, ?, ?)",
                (
                    (number, key, text, vector.tobytes())
                    for key, text, vector in zip(keys, metadata, vectors, strict=True)
                ),
            )

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        while True:
            view = self._view(spec, with_metadata=filter is not None)
            try:
                return view.search(queries, limit, filter)
            except DamagedMapError:
                self._distrust(spec)

    def candidates(self, collection: str, queries: Vectors, limit: int) -> list[Candidates]:
        """Return rows that are roughly the nearest of each query; see `CandidateSearch`.

        Of vectors in a mapped file, sketches are compared instead of the vectors.

        Raises:
            CollectionNotFoundError: The collection does not exist.
            InvalidArgumentError: `limit` or `queries` is not valid.
        """
        limit = integer("limit", limit, least=1)
        spec = self.describe(collection)
        matrix = checked_matrix("queries", queries, spec)
        while True:
            try:
                return self._view(spec, with_metadata=False).candidates(matrix, limit)
            except DamagedMapError:
                self._distrust(spec)

    def search_parts(
        self,
        collection: str,
        queries: Vectors,
        parts: Parts,
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[list[Match]]:
        """Return the nearest rows by the nearest of their parts; see `LateInteraction`.

        Every row is compared, in the mapped file if there is one. Pages of that file count as
        memory of this process, but the system can take them back at any time.
        """
        spec = self.describe(collection)
        queries, limit = check_parts(spec, queries, parts, limit, filter)
        self._of_parts.add(spec.name)
        while True:
            view = self._view(spec, with_metadata=filter is not None)
            try:
                rows = view.searched_by_parts(filter)
                return nearest_parts(spec, rows, queries, parts, limit)
            except DamagedMapError:
                self._distrust(spec)

    def pairs_within(
        self,
        collection: str,
        max_distance: float,
        *,
        compared: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[str, str]] | None:
        """Return the keys of all pairs of rows that are at most `max_distance` apart.

        See `RangeJoin.pairs_within`. Pairs are those of the moment of the call.

        Raises:
            CollectionNotFoundError: The collection does not exist.
            InvalidArgumentError: `max_distance` is not a number, or NaN, or `compared` is not a
                function.
        """
        max_distance = number("max_distance", max_distance)
        if compared is not None and not callable(compared):
            raise InvalidArgumentError(f"compared {compared!r:.80}: expected a function")
        spec = self.describe(collection)
        try:
            pairs = self._view(spec, with_metadata=False).pairs_within(max_distance, compared)
        except DamagedMapError:
            self._distrust(spec)
            return self.pairs_within(collection, max_distance, compared=compared)
        again = partial(self.pairs_within, spec.name, max_distance, compared=compared)
        return None if pairs is None else self._whole(pairs, spec, again)

    def _whole(
        self,
        pairs: Iterator[tuple[str, str]],
        spec: CollectionSpec,
        restart: Callable[[], Iterator[tuple[str, str]] | None],
    ) -> Iterator[tuple[str, str]]:
        """Yield the pairs; begin again if the mapped file turns out to be damaged."""
        try:
            yield from pairs
        except DamagedMapError:
            self._distrust(spec)
            again = restart()
            if again is None:
                raise StoreUnavailableError(
                    f"the copy of {spec.name!r} beside {self._database.path} was damaged while it "
                    "was read. It is not used any more; call again"
                ) from None
            yield from again

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        found: dict[str, Vectors] = {}
        with self._database.read() as connection:
            number = _number(connection, spec)
            loaded = self._loaded.get(number)
            if loaded is not None and len(keys) <= _LOOKED_UP and loaded.are_current(connection):
                # Where the file turns out to be damaged, the next search reads it anew.
                with suppress(DamagedMapError):
                    return loaded.fetch(keys)
            for some in batched(keys, _PAGE):
                if rows := connection.execute(_FETCH, (json.dumps(some), number)).fetchall():
                    present, blobs = zip(*rows, strict=True)
                    found.update(zip(present, matrix_of(blobs, spec).copy(), strict=True))
        return found

    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        with self._database.write() as connection:
            number = _number(connection, spec)
            rows = [(number, key) for key in keys]
            connection.executemany("DELETE FROM vectors WHERE collection = ? AND key = ?", rows)
            connection.executemany("INSERT INTO removals (collection, key) VALUES (?, ?)", rows)
            connection.execute(
                "DELETE FROM removals WHERE change <= (SELECT max(change) FROM removals) - ?",
                (_REMEMBERED,),
            )

    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        # A new query for each page: a query that stays open would keep SQLite from copying
        # the write-ahead log into the file.
        last = ""
        while True:
            with self._database.read() as connection:
                page = connection.execute(
                    "SELECT key FROM vectors WHERE collection = ? AND key > ? ORDER BY key LIMIT ?",
                    (_number(connection, spec), last, _PAGE),
                ).fetchall()
            if not page:
                return
            for (last,) in page:
                yield last

    def _count(self, spec: CollectionSpec) -> int:
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT count(*) FROM vectors WHERE collection = ?", (_number(connection, spec),)
            ).fetchone()
        return int(row[0])

    def bytes_on_disk(self) -> int:
        return self._database.bytes_on_disk()

    def close(self) -> None:
        """Close the file and free the memory; closing twice is harmless."""
        self._database.close()
        self._loaded.clear()

    def _view(self, spec: CollectionSpec, *, with_metadata: bool) -> LocalView:
        """Return the rows as they are now, all writes of other processes included.

        Args:
            spec: Specification of the collection.
            with_metadata: Whether the rows will be filtered.
        """
        while True:
            with self._database.read() as connection:
                rows = self._rows(connection, spec)
                try:
                    rows.refresh(connection)
                    view = rows.view(with_metadata=with_metadata)
                except DamagedMapError:
                    rows.distrust_file()
                    continue
            rows.publish(self._database)
            return view

    def _distrust(self, spec: CollectionSpec) -> None:
        with self._database.read() as connection:
            self._rows(connection, spec).distrust_file()

    def _rows(self, connection: sqlite3.Connection, spec: CollectionSpec) -> LocalRows:
        number = _number(connection, spec)
        if number not in self._loaded:
            kind = RowsOfParts if spec.name in self._of_parts else LocalRows
            self._loaded[number] = kind(self._database, number, spec)
        return self._loaded[number]

    def __repr__(self) -> str:
        return f"LocalVectorStore({str(self._database.path)!r})"


class _Found(NamedTuple):
    """A collection, and its number in the rows."""

    number: int
    spec: CollectionSpec


def _find(connection: sqlite3.Connection, name: str) -> _Found | None:
    row = connection.execute(
        "SELECT number, dimension, fingerprint, metric FROM collections WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        return None
    number, dimension, fingerprint, metric = row
    try:
        return _Found(number, CollectionSpec(name, dimension, fingerprint, Metric(metric)))
    except (ValueError, InvalidArgumentError) as error:
        raise StoreCorruptError(
            f"collection {name!r} is of dimension {dimension!r} and metric {metric!r}, which "
            "onnxsearch did not write. Restore the file, or index again into another one"
        ) from error


def _owner(connection: sqlite3.Connection, number: int) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'owners'").fetchone():
        return None
    row = connection.execute("SELECT owner FROM owners WHERE collection = ?", (number,)).fetchone()
    return None if row is None else str(row[0])


def _own(connection: sqlite3.Connection, spec: CollectionSpec) -> None:
    """Write the owner of a collection of this space, unless it has one."""
    found = _find(connection, spec.name)
    if spec.owner is not None and found is not None and found.spec == spec:
        connection.execute(_OWNERS)
        connection.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (found.number, spec.owner))


def _number(connection: sqlite3.Connection, spec: CollectionSpec) -> int:
    found = _find(connection, spec.name)
    if found is None or found.spec != spec:
        raise CollectionNotFoundError(f"collection {spec.name!r} was dropped meanwhile")
    return found.number
