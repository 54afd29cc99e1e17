"""The rows of one collection of a local store, as searches see them.

Most rows of a large collection are in a mapped file, `onnxsearch.vectors.row_map`. Rows
that were stored since, and all rows of a small collection, are in memory. Rows of the
file that were removed or replaced since are marked. The database is what counts: the
file is only used if the database names it, and a new one is written when the rows that
it lacks have become many.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import numpy as np

from onnxsearch._internal.open_files import MAPPED
from onnxsearch._internal.sqlite import Database
from onnxsearch.errors import StoreCorruptError, StoreError
from onnxsearch.types import Metadata
from onnxsearch.vectors.base import CollectionSpec, Vectors
from onnxsearch.vectors.bounded_search import BoundedSearch
from onnxsearch.vectors.exact_search import Positions
from onnxsearch.vectors.local_view import LocalView
from onnxsearch.vectors.row_map import DamagedMapError, MapState, RowMap
from onnxsearch.vectors.row_map_writer import (
    Batch,
    RowMapWriter,
    SketchingRowMapWriter,
    write_row_map,
)
from onnxsearch.vectors.row_table import RowTable

_PAGE = 1000
_IN_MEMORY = 1 << 25
"""Bytes of vectors that need no file: SQLite reads as many in a tenth of a second."""
_PARTS_IN_MEMORY = 1 << 28
"""The same of rows that are searched by their parts: the regions of 6,800 images. Their file takes
as much space as most of the index. The whole images of so many have a file too."""
_GROWTH = 8
"""A new file is written when the vectors in memory are one for so many in the file."""
_MARKED = 4
"""A new file is written when one of so many rows in the file is gone."""
_FAILURES = 2
"""Damaged files after which none is used any more: the disk cannot be trusted."""
_LEFT = 3600.0
"""Seconds after which a file that the database does not name was left by a killed process."""
_TOKENS = (
    "CREATE TABLE IF NOT EXISTS row_files (collection INTEGER PRIMARY KEY, token BLOB NOT NULL)"
)
"""Not a column of `collections`: releases without files made that table, and ignore this one."""


class LocalRows:
    """The rows of a collection in a file and in memory, and the last change that they include.

    Args:
        database: The database; files are written beside it, unless it is read-only.
        number: Number of the collection in the database.
        spec: Specification of the collection.
    """

    _writer: ClassVar[type[RowMapWriter]] = SketchingRowMapWriter

    def __init__(self, database: Database, number: int, spec: CollectionSpec) -> None:
        # SQLite too puts its files beside what a link leads to.
        self._database = Path(os.path.realpath(database.path))
        self._number, self._spec = number, spec
        self._may_write = not database.is_read_only
        self._failures: set[bytes] = set()
        self._unpublished: list[RowMap] = []
        self._version: int | None = None
        self._file: _FileRows | None = None
        self._table = RowTable(spec)
        self._stored = self._removed = 0

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Read all changes since the last call, by all processes."""
        version = _data_version(connection)
        if version == self._version:
            return
        oldest, newest = _removals(connection)
        if self._version is None or oldest > self._removed + 1:
            self._use(self._named_file(connection, oldest), newest)
        self._read_removals(connection, newest)
        if self._lacks_many(connection):
            self._renew(connection, oldest, newest)
        self._read_vectors(connection)
        self._version = version

    def are_current(self, connection: sqlite3.Connection) -> bool:
        """Return whether nothing was written since the last refresh."""
        return self._version == _data_version(connection)

    def view(self, *, with_metadata: bool) -> LocalView:
        """Return the rows as they are now.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        recent = self._table.snapshot(with_metadata=with_metadata)
        if self._file is None:
            return LocalView(None, None, None, [], recent)
        metadata = self._file.metadata() if with_metadata else []
        file = self._file
        return LocalView(file.file, file.bounded, file.live(), metadata, recent)

    def fetch(self, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return copies of the vectors of the keys that exist, as of the last refresh.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        found = self._table.fetch(keys)
        if self._file is not None:
            found |= self._file.fetch([key for key in keys if key not in found])
        return found

    def publish(self, database: Database) -> None:
        """Let the database name the file that the last refresh wrote, if it wrote one."""
        files, self._unpublished = self._unpublished, []
        for file in files:
            try:
                replaced = self._name(database, file)
            except StoreError:
                # Only this object uses the file, as long as it is open.
                replaced = file.state.token
            if replaced is not None:
                _remove(self._path(replaced))
            _remove_abandoned(self._database, self._number, file.state.token)

    def distrust_file(self) -> None:
        """Use another file from now on, or none."""
        if self._file is not None:
            self._failures.add(self._file.token)
            self._may_write &= len(self._failures) < _FAILURES
            self._use(None, removed=0)
        self._version = None

    def _use(self, file: RowMap | None, removed: int) -> None:
        """Begin with the rows of a file, or with none and all removals up to a number."""
        self._file = None if file is None else _FileRows(file, self._spec)
        self._table = RowTable(self._spec)
        self._stored, self._removed = (0, removed) if file is None else file.state[2:]

    def _read_removals(self, connection: sqlite3.Connection, newest: int) -> None:
        # Removals first: a key that was removed and stored again has a row.
        gone = connection.execute(
            "SELECT key FROM removals WHERE change > ? AND collection = ?",
            (self._removed, self._number),
        )
        keys = [key for (key,) in gone]
        self._mark(keys)
        self._table.discard(keys)
        self._removed = newest

    def _read_vectors(self, connection: sqlite3.Connection) -> None:
        self._table.reserve(self._missing(connection))
        for keys, vectors, texts in self._batches(connection):
            self._mark(keys)
            self._table.put(keys, vectors, texts)

    def _missing(self, connection: sqlite3.Connection) -> int:
        (rows,) = connection.execute(
            "SELECT count(*) FROM vectors WHERE collection = ? AND change > ?",
            (self._number, self._stored),
        ).fetchone()
        return int(rows)

    def _batches(self, connection: sqlite3.Connection) -> Iterator[Batch]:
        """Yield the rows that were stored since the last change that is included."""
        cursor = connection.execute(
            "SELECT change, key, metadata, vector FROM vectors "
            "WHERE collection = ? AND change > ? ORDER BY change",
            (self._number, self._stored),
        )
        while page := cursor.fetchmany(_PAGE):
            changes, keys, texts, blobs = zip(*page, strict=True)
            yield keys, matrix_of(blobs, self._spec), texts
            self._stored = changes[-1]

    def _mark(self, keys: Sequence[str]) -> None:
        if self._file is not None:
            self._file.mark(keys)

    @property
    def _in_memory(self) -> int:
        """Bytes of vectors that need no file."""
        return _IN_MEMORY

    def _lacks_many(self, connection: sqlite3.Connection) -> bool:
        """Return whether a file should be written, for what the current one lacks or has lost."""
        if not self._may_write:
            return False
        rows, marked = (0, 0) if self._file is None else (self._file.rows, self._file.marked)
        recent = len(self._table) + self._missing(connection)
        width = self._spec.columns * self._spec.dtype.itemsize
        if recent * width > max(self._in_memory, rows * width // _GROWTH):
            return True
        return marked * width > max(self._in_memory, rows * width // _MARKED)

    def _renew(self, connection: sqlite3.Connection, oldest: int, newest: int) -> None:
        """Begin with the file of another process that lacks less, or write one."""
        if named := self._named_file(connection, oldest):
            self._use(named, newest)
            self._read_removals(connection, newest)
            if not self._lacks_many(connection):
                return
        self._use(None, newest)
        if rows := self._missing(connection):
            written = self._write(connection, rows, newest)
            if written is not None:
                self._unpublished.append(written)
            self._use(written, newest)

    def _write(self, connection: sqlite3.Connection, rows: int, removed: int) -> RowMap | None:
        (stored,) = connection.execute(
            "SELECT max(change) FROM vectors WHERE collection = ?", (self._number,)
        ).fetchone()
        state = MapState(secrets.token_bytes(16), self._number, stored, removed)
        path = self._path(state.token)
        try:
            batches = self._batches(connection)
            write_row_map(path, state, self._spec, rows, batches, self._writer)
            # SQLite gives its other files the permissions of the database, too.
            os.chmod(path, self._database.stat().st_mode & 0o777)
            return RowMap(path, state.token, self._number, self._spec)
        except (OSError, DamagedMapError):
            # There is no space, or no right to write. The rows fit in memory, or do not.
            self._may_write = False
            _remove(path)
            return None

    def _named_file(self, connection: sqlite3.Connection, oldest: int) -> RowMap | None:
        """Return a file that the database names, if it is whole and can be brought up to date.

        The file that is used already does not count.
        """
        token = _token(connection, self._number)
        if token is None or token in self._failures:
            return None
        if self._file is not None and token == self._file.token:
            return None
        try:
            file = RowMap(self._path(token), token, self._number, self._spec)
        except DamagedMapError:
            return None
        return file if oldest <= file.state.removed + 1 else None

    def _name(self, database: Database, file: RowMap) -> bytes | None:
        """Let the database name a file; return the token of a file that it no longer names."""
        with database.write() as connection:
            connection.execute(_TOKENS)
            before = _token(connection, self._number)
            connection.execute(
                "INSERT OR REPLACE INTO row_files SELECT number, ? FROM collections "
                "WHERE number = ?",
                (file.state.token, self._number),
            )
            now = _token(connection, self._number)
        # A collection that was dropped meanwhile has no token.
        return file.state.token if now is None else None if before == now else before

    def _path(self, token: bytes) -> str:
        return f"{self._database}{MAPPED}{self._number}-{token.hex()}"


class RowsOfParts(LocalRows):
    """Rows that are searched by their parts, for which sketches of whole rows are of no use."""

    _writer = RowMapWriter

    @property
    def _in_memory(self) -> int:
        return _PARTS_IN_MEMORY


class _FileRows:
    """The rows of a file, of which some are marked as gone."""

    def __init__(self, file: RowMap, spec: CollectionSpec) -> None:
        self.file = file
        self.token, self.rows = file.state.token, file.rows
        self.bounded = BoundedSearch(file, spec.metric)
        self.marked = 0
        self._marks = np.zeros(file.rows, np.bool_)
        self._live: Positions | None = None
        self._metadata: list[Metadata] | None = None

    def mark(self, keys: Sequence[str]) -> None:
        """Mark the rows of the keys that exist."""
        if len(places := self.file.places(keys)):
            self._marks[places] = True
            self.marked = int(np.count_nonzero(self._marks))
            self._live = None

    def fetch(self, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return copies of the vectors of the keys that exist and are not marked.

        Raises:
            DamagedMapError: The file is not what was written.
        """
        places = self.file.places(keys)
        places = places[~self._marks[places]]
        return dict(zip(self.file.keys.take(places), self.file.take(places), strict=True))

    def live(self) -> Positions | None:
        """Return the places of the rows that are not marked; None if none is."""
        if self._live is None and self.marked:
            self._live = np.flatnonzero(~self._marks)
        return self._live

    def metadata(self) -> list[Metadata]:
        """Return the metadata of every row."""
        if self._metadata is None:
            self._metadata = [json.loads(text) for text in self.file.texts()]
        return self._metadata


def matrix_of(blobs: Sequence[bytes], spec: CollectionSpec) -> Vectors:
    """Return vectors as SQLite holds them in one matrix.

    Raises:
        StoreCorruptError: One has another length.
    """
    width = spec.columns * spec.dtype.itemsize
    if any(len(blob) != width for blob in blobs):
        raise StoreCorruptError(
            f"collection {spec.name!r} holds a vector that is not {width} bytes long. Drop the "
            "collection and index again"
        )
    return np.frombuffer(b"".join(blobs), spec.dtype).reshape(len(blobs), spec.columns)


def _remove_abandoned(database: Path, number: int, token: bytes) -> None:
    """Delete the files of a collection that were left by processes that were killed.

    A file that was written lately may be another process's, which has not yet named it.
    """
    for path in _files(database, number):
        with suppress(OSError):
            if not path.name.endswith(token.hex()) and time.time() - path.stat().st_mtime > _LEFT:
                _remove(path)


def _files(database: Path, number: int) -> list[Path]:
    prefix = f"{database.name}{MAPPED}{number}-"
    return [path for path in database.parent.iterdir() if path.name.startswith(prefix)]


def forget_file(connection: sqlite3.Connection, number: int) -> None:
    """Delete the token of the file of a collection that is dropped."""
    connection.execute(_TOKENS)
    connection.execute("DELETE FROM row_files WHERE collection = ?", (number,))


def remove_files(database: Path, number: int) -> None:
    """Delete the files of a collection that was dropped."""
    for path in _files(Path(os.path.realpath(database)), number):
        _remove(path)


def _data_version(connection: sqlite3.Connection) -> int:
    """Return a number that differs once another connection has written to the database."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _removals(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the oldest removal that is remembered, and the newest of all.

    The highest number in the table is not enough: its row may have been deleted with a
    dropped collection. If none is remembered, the oldest is the next one.
    """
    oldest, newest = connection.execute(
        "SELECT min(change), "
        "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'removals') "
        "FROM removals"
    ).fetchone()
    return (newest + 1 if oldest is None else oldest), newest


def _token(connection: sqlite3.Connection, number: int) -> bytes | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'row_files'").fetchone():
        return None
    row = connection.execute(
        "SELECT token FROM row_files WHERE collection = ?", (number,)
    ).fetchone()
    return row[0] if row is not None and isinstance(row[0], bytes) else None


def _remove(path: str | Path) -> None:
    """Delete a file, unless it is gone, or Windows keeps it since it is open."""
    with suppress(OSError):
        os.unlink(path)
