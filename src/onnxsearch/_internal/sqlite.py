"""An SQLite file that threads and processes share."""

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

    Reads have their own connection, so that no read waits for a write, in this process
    or another one. When the block of a write ends, all of it is on disk
    (`synchronous=FULL`); when the block raises, nothing is written.

    A file that cannot be written is opened for reading. No other process may write to it
    meanwhile.
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
            application: SQLite's `application_id` in files of this kind.
            version: Version of the schema, stored as SQLite's `user_version`.
            schema: Statements that create the tables, each ending with a semicolon.
            page_bytes: Page size of a new file. A value that takes several pages is read
                page by page, so long values need larger pages.
            timeout: Seconds to wait for another process to finish its write.

        Raises:
            StoreCorruptError: The file is of another kind or version.
            StoreLockedError: Another process held the file longer than `timeout`.
            StoreUnavailableError: The file cannot be opened or written.
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

    @property
    def is_read_only(self) -> bool:
        """Whether the file is opened for reading only."""
        return self._is_read_only

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Return a connection that shows the file at one moment."""
        self._process.check(f"the store in {self.path}")
        with self._reading, self._errors():
            self._check_open()
            with _transaction(self._reader, "BEGIN"):
                yield self._reader

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Return a connection whose changes are written at the end, or not at all."""
        self._process.check(f"the store in {self.path}")
        if self._is_read_only:
            raise StoreUnavailableError(
                f"cannot write to {self.path}: the file or its folder is read-only. Make both "
                "writable and open the file again"
            )
        with self._writing, self._errors():
            self._check_open()
            with _transaction(self._writer, "BEGIN IMMEDIATE"):
                yield self._writer

    def bytes_on_disk(self) -> int:
        """Return the size of the file and of those beside it that are named after it."""
        name, size = self.path.name, 0
        with suppress(OSError), os.scandir(self.path.parent) as entries:
            for entry in entries:
                if entry.name == name or entry.name.startswith(f"{name}-"):
                    with suppress(OSError):  # it was deleted meanwhile
                        size += entry.stat(follow_symlinks=False).st_size
        return size

    def close(self) -> None:
        """Close both connections; closing twice is harmless."""
        with self._reading, self._writing:
            self._close()

    def pause(self) -> None:
        """Wait until no read or write is running, and let none begin."""
        self._reading.acquire()
        self._writing.acquire()

    def resume(self) -> None:
        """End a pause; in a forked process, close the connections.

        In the fork, SQLite assumes that the process has the locks of its parent, and would
        not lock the file for a connection that is opened later. It drops that assumption
        when the inherited connections are closed. Closing them does no harm here, since the
        parent holds its locks until the fork has returned.
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
        # To read beside a log, SQLite needs the log's file of shared memory. Without a log
        # it would have to create that file, unless it may take the database for constant.
        has_log = os.path.exists(f"{self.path}-wal")
        return f"{self.path.as_uri()}?mode=ro{'' if has_log else '&immutable=1'}"

    def _prepare(self, schema: str) -> None:
        connection = self._writer
        # Of one moment: another process may be creating it.
        with _transaction(connection, "BEGIN"):
            is_new = self._is_new()
        if self._is_read_only:
            return
        if is_new:
            with _transaction(connection, "BEGIN IMMEDIATE"):
                # Another process may have created it first.
                if self._is_new():
                    for statement in schema.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {self._application}")
                    connection.execute(f"PRAGMA user_version = {self._version}")
        self._use_write_ahead_log()

    def _is_new(self) -> bool:
        """Return whether nothing has been created yet; raise an error if it is none of ours."""
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
        # The switch needs exclusive access, and SQLite does not wait for it.
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
                return StoreCorruptError(
                    f"{self.path} is damaged, or not an SQLite database: {error}"
                )
            case (
                sqlite3.SQLITE_CANTOPEN
                | sqlite3.SQLITE_READONLY
                | sqlite3.SQLITE_PERM
                | sqlite3.SQLITE_IOERR
                | sqlite3.SQLITE_FULL
            ):
                return StoreUnavailableError(
                    f"cannot open or write {self.path}: {error}. Check that its folder exists "
                    "and is writable, and that the disk is not full"
                )
            case _:
                return StoreError(f"{self.path}: {error}")


def open_unchanged(path: Path) -> sqlite3.Connection:
    """Open a database to look at it, without creating or changing any file.

    No process waits for it. What a process has written but not closed is seen, unless that
    process was killed and its index of the log is gone: the file is then shown as it was
    before, until a store is opened on it.

    Raises:
        sqlite3.Error: It cannot be opened, or is none.
    """

    def connect(options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro&{options}",
            uri=True,
            timeout=1.0,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA application_id")
        except BaseException:
            connection.close()
            raise
        return connection

    if path.with_name(f"{path.name}-shm").exists():
        with suppress(sqlite3.OperationalError):
            return connect("readonly_shm=1")
    return connect("immutable=1")


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_registered = threading.Event()
_paused: list[Database] = []
_listing = threading.Lock()


def _close_in_forks(database: Database) -> None:
    """Let each process that is forked later close the connections that it inherits."""
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
    """Return whether an existing file, or its folder, cannot be written."""
    return path.exists() and not (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK))


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code: https://www.sqlite.org/rescode.html. Errors that
    # the sqlite3 module raises itself have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    try:
        connection.execute(begin)  # within the block: Ctrl-C may arrive as soon as it began
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself ends some transactions that fail, for example on a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
