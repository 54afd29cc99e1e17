"""An SQLite file of our own, shared by threads and processes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxsearch.errors import ClosedError, StoreCorruptError, StoreError, StoreLockedError

_WAIT = 30.0
"""Seconds to wait for another process to finish its write."""
_PAGE_BYTES = 16_384


class Database:
    """An SQLite file with a write-ahead log, and two connections to it.

    Reads have a connection of their own, so that none waits for a write of the
    same process; readers never wait for other processes either. A write is on
    disk when its block is left (`synchronous=FULL`), or nothing of it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, application: int, version: int, schema: str
    ) -> None:
        """Open the file, or create it with the folders above it.

        Args:
            path: The file.
            application: What SQLite's `application_id` says in files of this kind.
            version: Version of the schema, kept in SQLite's `user_version`.
            schema: Statements that make the tables, each ended by a semicolon.

        Raises:
            StoreCorruptError: The file is none of this kind and version.
            StoreLockedError: Another process held it for half a minute.
            StoreError: It cannot be opened or written.
        """
        self.path = Path(path).absolute()
        self._application, self._version = application, version
        self._closed = False
        self._reading, self._writing = threading.Lock(), threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot create the folder of {self.path}: {error}") from error
        with self._errors():
            self._writer = self._connect()
            try:
                self._prepare(schema)
                self._reader = self._connect()
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A view of the file as it was at one moment."""
        with self._reading, self._errors():
            self._check_open()
            with _transaction(self._reader, "BEGIN"):
                yield self._reader

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A change of the file: all of it when the block is left, nothing if it raises."""
        with self._writing, self._errors():
            self._check_open()
            with _transaction(self._writer, "BEGIN IMMEDIATE"):
                yield self._writer

    def close(self) -> None:
        """Close both connections; closing twice is harmless."""
        with self._reading, self._writing:
            if not self._closed:
                self._closed = True
                self._reader.close()
                self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store in {self.path} is closed; open it again")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_WAIT, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        # Counts for new files only. A vector of 1,280 numbers takes two of the default
        # pages, with a chain from one to the next to be followed.
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        return connection

    def _prepare(self, schema: str) -> None:
        connection = self._writer
        if self._is_new():
            with _transaction(connection, "BEGIN IMMEDIATE"):
                # Another process may have been faster.
                if self._is_new():
                    for statement in schema.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {self._application}")
                    connection.execute(f"PRAGMA user_version = {self._version}")
        self._use_write_ahead_log()

    def _is_new(self) -> bool:
        (application,) = self._writer.execute("PRAGMA application_id").fetchone()
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        (tables,) = self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables and not application:
            return True
        if application != self._application:
            raise StoreCorruptError(
                f"{self.path} is another application's SQLite database; choose another path"
            )
        if version != self._version:
            raise StoreCorruptError(
                f"{self.path} is of format {version}, and this release of onnxsearch reads "
                f"format {self._version}. Use the release that wrote it, or another path"
            )
        return False

    def _use_write_ahead_log(self) -> None:
        # The switch wants the file for itself, and SQLite does not wait for that.
        deadline = time.monotonic() + _WAIT
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise StoreCorruptError(
                    f"{self.path} is damaged, or no SQLite database: {error}"
                ) from error
            if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreLockedError(
                    f"another process has been writing to {self.path} for {_WAIT:.0f} seconds"
                ) from error
            raise StoreError(
                f"cannot read or write {self.path}: {error}. Check that its folder is writable "
                "and the disk not full"
            ) from error


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code: https://www.sqlite.org/rescode.html. Errors
    # that Python's module raises on its own have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite ends some transactions itself when they fail, on a full disk say.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
