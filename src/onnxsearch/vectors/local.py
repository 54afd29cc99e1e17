"""Vectors in one SQLite file, searched exactly in memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from onnxsearch._internal.paths import target_path
from onnxsearch._internal.sqlite import Database
from onnxsearch.errors import (
    CollectionNotFoundError,
    InvalidArgumentError,
    StoreCorruptError,
    StoreUnavailableError,
)
from onnxsearch.filters import Filter
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore
from onnxsearch.vectors.row_table import RowTable

_APPLICATION = 0x6F6E7876  # "onxv"; `file` and SQLite's own tools show it
_FORMAT = 1
_PAGE = 1000
_PAGE_BYTES = 16_384
"""Page size of the file: a vector of 1,280 numbers takes one such page, or two default pages."""
_REMEMBERED = 100_000
"""Removals that are kept for other processes; a process that missed more reads all rows."""

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

    A write is on disk when it returns, and survives a loss of power. A search compares
    the query with every row of a matrix in memory. The matrix is read from the file at
    the first search and kept up to date from then on; it takes `4 * dimension` bytes per
    row.

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
            application=_APPLICATION,
            version=_FORMAT,
            schema=_SCHEMA,
            page_bytes=_PAGE_BYTES,
        )
        self._loaded: dict[int, _Loaded] = {}

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
                self._loaded.pop(found.number, None)

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
        with self._database.read() as connection:
            number = _number(connection, spec)
            loaded = self._loaded.setdefault(number, _Loaded(number, spec))
            loaded.refresh(connection)
            snapshot = loaded.table.snapshot(with_metadata=filter is not None)
        return snapshot.search(queries, limit, filter)

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        found: dict[str, Vectors] = {}
        with self._database.read() as connection:
            number = _number(connection, spec)
            for key in keys:
                row = connection.execute(
                    "SELECT vector FROM vectors WHERE collection = ? AND key = ?", (number, key)
                ).fetchone()
                if row is not None:
                    found[key] = _matrix([row[0]], spec)[0].copy()
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

    def close(self) -> None:
        """Close the file and free the memory; closing twice is harmless."""
        self._database.close()
        self._loaded.clear()

    def __repr__(self) -> str:
        return f"LocalVectorStore({str(self._database.path)!r})"


class _Found(NamedTuple):
    """A collection, and its number in the rows."""

    number: int
    spec: CollectionSpec


class _Loaded:
    """The rows of a collection in memory, and the last change that they include."""

    def __init__(self, number: int, spec: CollectionSpec) -> None:
        self.table = RowTable(spec)
        self._number, self._spec = number, spec
        self._version: int | None = None
        self._stored = self._removed = 0

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Read all changes since the last call, by all processes."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        # Removals first: a key that was removed and stored again has a row.
        self._read_removals(connection)
        self._read_vectors(connection)
        self._version = version

    def _read_removals(self, connection: sqlite3.Connection) -> None:
        # The highest number in the table is not enough: its row may have been deleted with a
        # dropped collection.
        oldest, newest = connection.execute(
            "SELECT min(change), "
            "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'removals') "
            "FROM removals"
        ).fetchone()
        if (newest + 1 if oldest is None else oldest) > self._removed + 1:
            self.table = RowTable(self._spec)
            self._stored = 0
        else:
            gone = connection.execute(
                "SELECT key FROM removals WHERE change > ? AND collection = ?",
                (self._removed, self._number),
            )
            self.table.discard([key for (key,) in gone])
        self._removed = newest

    def _read_vectors(self, connection: sqlite3.Connection) -> None:
        (rows,) = connection.execute(
            "SELECT count(*) FROM vectors WHERE collection = ? AND change > ?",
            (self._number, self._stored),
        ).fetchone()
        self.table.reserve(rows)
        cursor = connection.execute(
            "SELECT change, key, metadata, vector FROM vectors "
            "WHERE collection = ? AND change > ? ORDER BY change",
            (self._number, self._stored),
        )
        while page := cursor.fetchmany(_PAGE):
            changes, keys, texts, blobs = zip(*page, strict=True)
            self.table.put(keys, _matrix(blobs, self._spec), texts)
            self._stored = changes[-1]


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


def _matrix(blobs: Sequence[bytes], spec: CollectionSpec) -> Vectors:
    width = spec.columns * spec.dtype.itemsize
    if any(len(blob) != width for blob in blobs):
        raise StoreCorruptError(
            f"collection {spec.name!r} holds a vector that is not {width} bytes long. Drop the "
            "collection and index again"
        )
    return np.frombuffer(b"".join(blobs), spec.dtype).reshape(len(blobs), spec.columns)
