"""An SQLite file of our own, shared by threads and processes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onnxsearch._internal.open_files import DatabaseFiles
from onnxsearch._internal.paths import target_path
from onnxsearch._internal.process import HomeProcess
from onnxsearch.errors import (
    ClosedError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)


class Database:
    """An SQLite file with a write-ahead log, and two connections to it.

    Reads have a connection of their own, so that none waits for a write of the
    same process; readers never wait for other processes either. A write is on
    disk when its block is left (`synchronous=FULL`), or nothing of it.

    A file that cannot be written is opened to read. Nobody may write to it meanwhile.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        application: int,
        version: int,
        schema: str,
        page_bytes: int = 4096,
        timeout: float = 30.0,
    ) -> None:
        """Open the file, or create it; its folder must exist.

        Args:
            path: The file.
            application: What SQLite's `application_id` says in files of this kind.
            version: Version of the schema, kept in SQLite's `user_version`.
            schema: Statements that make the tables, each ended by a semicolon.
            page_bytes: Of a new file: more than SQLite's default where values are
                longer, since one that takes several pages is a chain to be followed.
            timeout: Seconds to wait for another process to finish its write.

        Raises:
            StoreCorruptError: The file is none of this kind and version.
            StoreLockedError: Another process held it longer than `timeout`.
            StoreUnavailableError: It cannot be opened or written.
        """
        self.path = target_path(path)
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a folder: expected the path of a file in it")
        if not self.path.parent.is_dir():
            raise StoreUnavailableError(
                f"cannot open {self.path}: there is no folder {self.path.parent}; create it first"
            )
        self._application, self._version = application, version
        self._page_bytes, self._timeout = page_bytes, timeout
        self._closed = True
        self._is_read_only = _is_read_only(self.path)
        self._process = HomeProcess()
        self._reading, self._writing = threading.Lock(), threading.Lock()
        _close_in_forks(self)
        with self._reading, self._writing:
            self._files = DatabaseFiles(self.path)
            try:
                with self._errors():
                    self._open(schema)
            except BaseException:
                self._files.release()
                raise
            self._files.look()
            self._closed = False

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A view of the file as it was at one moment."""
        self._process.check(f"the store in {self.path}")
        with self._reading, self._errors():
            self._check_open()
            with _transaction(self._reader, "BEGIN"):
                yield self._reader

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A change of the file: all of it when the block is left, nothing if it raises."""
        self._process.check(f"the store in {self.path}")
        if self._is_read_only:
            raise StoreUnavailableError(
                f"cannot write to {self.path}: the file or its folder is read-only, so it was "
                "opened to read only. Make both writable and open it again"
            )
        with self._writing, self._errors():
            self._check_open()
            with _transaction(self._writer, "BEGIN IMMEDIATE"):
                yield self._writer

    def close(self) -> None:
        """Close both connections; closing twice is harmless."""
        with self._reading, self._writing:
            self._close()

    def pause(self) -> None:
        """Wait until nothing is read or written, and let nothing begin."""
        self._reading.acquire()
        self._writing.acquire()

    def resume(self) -> None:
        """Go on after a pause, in a forked process without the connections.

        SQLite believes there that the process holds the locks of its parent, and would
        take none for a connection that is opened later. Closing what was inherited is
        what makes it forget them. It does no harm while the parent, which does hold
        them, waits for its fork to return.
        """
        if not self._process.is_here:
            with suppress(sqlite3.Error):
                self._close()
        self._writing.release()
        self._reading.release()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._reader.close()
            self._writer.close()
            self._files.release()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store in {self.path} is closed; open it again")

    def _open(self, schema: str) -> None:
        self._writer = self._connect()
        try:
            self._prepare(schema)
            self._reader = self._connect()
        except BaseException:
            self._writer.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._address(),
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA page_size = {self._page_bytes}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _address(self) -> str:
        """Return the URI that SQLite opens."""
        if not self._is_read_only:
            return self.path.as_uri()
        # Reading takes the log's file of shared memory, which SQLite cannot make here. If
        # there is no log, nobody writes, and SQLite can do without.
        has_log = os.path.exists(f"{self.path}-wal")
        return f"{self.path.as_uri()}?mode=ro{'' if has_log else '&immutable=1'}"

    def _prepare(self, schema: str) -> None:
        connection = self._writer
        if self._is_read_only:
            self._is_new()  # raises if it is not one of ours
            return
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
        deadline = time.monotonic() + self._timeout
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
            raise self._mapped(error) from error

    def _mapped(self, error: sqlite3.Error) -> StoreError:
        match _code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreLockedError(
                    f"{self.path} is being written by another process, and was not free "
                    f"within {self._timeout:g} s"
                )
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return StoreCorruptError(f"{self.path} is damaged, or no SQLite database: {error}")
            case (
                sqlite3.SQLITE_CANTOPEN
                | sqlite3.SQLITE_READONLY
                | sqlite3.SQLITE_PERM
                | sqlite3.SQLITE_IOERR
                | sqlite3.SQLITE_FULL
            ):
                return StoreUnavailableError(
                    f"cannot open or write {self.path}: {error}. Check that its folder is "
                    "there and writable, and that the disk is not full"
                )
            case _:
                return StoreError(f"{self.path}: {error}")


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_registered = threading.Event()
_paused: list[Database] = []
_listing = threading.Lock()


def _close_in_forks(database: Database) -> None:
    """Have every process that is forked from now on close what it inherits."""
    with _listing:
        if hasattr(os, "register_at_fork") and not _registered.is_set():
            os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_resume)
            _registered.set()
        _databases.add(database)


def _pause() -> None:
    _listing.acquire()
    for database in list(_databases):
        database.pause()
        _paused.append(database)


def _resume() -> None:
    while _paused:
        _paused.pop().resume()
    _listing.release()


def _is_read_only(path: Path) -> bool:
    """Return whether a file exists that can be read, and not written beside it or in it."""
    return path.exists() and not (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK))


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code: https://www.sqlite.org/rescode.html. Errors
    # that Python's module raises on its own have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    try:
        connection.execute(begin)  # here, for Ctrl-C may strike as soon as it has begun
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite ends some transactions itself when they fail, on a full disk say.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
