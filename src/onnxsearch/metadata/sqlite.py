"""Records in one SQLite file: the embedded default."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from onnxsearch.errors import (
    ClosedError,
    InvalidArgumentError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)
from onnxsearch.metadata.base import Cell, MetadataStore

_APPLICATION_ID = 0x6F6E7873  # "onxs"; `file` and SQLite's own tools show it
_FORMAT = 1
_PAGE_ROWS = 1000
_PAGE_BYTES = 4 * 2**20

# An ordinary table with an index beside it, rather than WITHOUT ROWID: values may
# be megabytes, and counting then reads the small index only.
_SCHEMA = f"""
    CREATE TABLE cell (
        tab TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tab, key)
    );
    PRAGMA application_id = {_APPLICATION_ID};
    PRAGMA user_version = {_FORMAT};
"""
_PUT = """
    INSERT INTO cell (tab, key, value) VALUES (?, ?, ?)
    ON CONFLICT (tab, key) DO UPDATE SET value = excluded.value
"""
_DELETE = "DELETE FROM cell WHERE tab = ? AND key = ?"
_GET = "SELECT value FROM cell WHERE tab = ? AND key = ?"
_COUNT = "SELECT count(*) FROM cell WHERE tab = ?"
# One statement however many keys, hence one moment; CROSS keeps SQLite from
# scanning the table and looking for its keys in the list.
_GET_MANY = """
    SELECT cell.key, cell.value FROM json_each(?) AS wanted
    CROSS JOIN cell ON cell.tab = ? AND cell.key = wanted.value
"""
_PAGE = f"""
    SELECT key, value FROM cell WHERE tab = ? AND key > ? ORDER BY key LIMIT {_PAGE_ROWS}
"""


class SQLiteMetadataStore(MetadataStore):
    """A `MetadataStore` in one SQLite file, shared by threads and processes.

    A commit is on disk when `commit` returns, also if the machine loses power
    (`synchronous=FULL`). That costs one fsync per commit, so about 350 commits a
    second one by one, and over 100,000 rows a second in commits of 1,000. With
    the write-ahead log, readers never wait for a writer.

    SQLite's locks need a local disk; don't put the file on a network share.

    Args:
        path: The file; made if absent. Its folder must exist.
        timeout: Seconds to wait while another process writes, before
            `StoreLockedError`. The default is a hundred times what a commit takes.

    Raises:
        StoreCorruptError: The file is no database, another application's, or of
            a format that this release does not know.
        StoreUnavailableError: The file cannot be opened or written.

    Example:
        >>> from onnxsearch import SQLiteMetadataStore
        >>> from onnxsearch.metadata.base import Cell
        >>> with SQLiteMetadataStore("records.sqlite") as store:
        ...     store.commit({Cell("pets", "a"): b"cat"})
        ...     store.get("pets", "a")
        True
        b'cat'
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        if timeout < 0:
            raise InvalidArgumentError(f"timeout {timeout}: expected seconds, 0 or more")
        self._path = Path(path).absolute()
        if self._path.is_dir():
            raise StoreError(f"{self._path} is a folder: expected the path of a file in it")
        if not self._path.parent.is_dir():
            raise StoreUnavailableError(
                f"cannot open {self._path}: there is no folder {self._path.parent}; create it first"
            )
        self._timeout = timeout
        self._closed = False
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        # SQLite itself lets writers wait by polling; in one process a lock is quicker.
        self._write_lock = threading.Lock()
        try:
            with self._connection() as connection:
                self._prepare(connection)
        except BaseException:
            self.close()
            raise

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        with self._connection() as connection:
            found = dict(connection.execute(_GET_MANY, (json.dumps(list(keys)), table)))
        return [found.get(key) for key in keys]

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        with (
            self._write_lock,
            self._connection() as connection,
            _transaction(connection, "IMMEDIATE"),
        ):
            for cell, told in expect.items():
                row = connection.execute(_GET, cell).fetchone()
                if told != (row[0] if row else None):
                    return False
            connection.executemany(
                _DELETE, (cell for cell, value in writes.items() if value is None)
            )
            connection.executemany(
                _PUT, ((*cell, value) for cell, value in writes.items() if value is not None)
            )
            return True

    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        # A new query per page: one that stays open while the caller works would keep
        # the write-ahead log from being folded into the file.
        last = ""
        while page := self._page(table, last):
            yield from page
            last = page[-1][0]

    def _page(self, table: str, after: str) -> list[tuple[str, bytes]]:
        page: list[tuple[str, bytes]] = []
        size = 0
        with (
            self._connection() as connection,
            closing(connection.execute(_PAGE, (table, after))) as rows,
        ):
            for key, value in rows:
                page.append((key, value))
                size += len(value)
                if size > _PAGE_BYTES:
                    break
        return page

    def _count(self, table: str) -> int:
        with self._connection() as connection:
            return int(connection.execute(_COUNT, (table,)).fetchone()[0])

    def close(self) -> None:
        """Close the file; connections still at work are closed as they finish."""
        with self._idle_lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to one caller at a time; map what SQLite raises."""
        with self._idle_lock:
            if self._closed:
                raise ClosedError(f"{self!r} was closed; open a new one")
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                connection = self._connect()
            yield connection
        except sqlite3.Error as error:
            raise self._mapped(error) from error
        finally:
            if connection is not None:
                self._give_back(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._idle_lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table in a new file; check that another one is ours."""
        with _transaction(connection, "DEFERRED"):
            new = self._is_empty(connection)
        if new:
            with _transaction(connection, "IMMEDIATE"):
                # Another process may have been faster.
                if self._is_empty(connection):
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
        self._use_write_ahead_log(connection)

    def _is_empty(self, connection: sqlite3.Connection) -> bool:
        """Return False for a file of ours and True for an empty one; refuse others."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application == _APPLICATION_ID:
            if version != _FORMAT:
                raise StoreCorruptError(
                    f"{self._path} is of format {version}; this release of onnxsearch reads "
                    f"format {_FORMAT}. Open it with the release that wrote it"
                )
            return False
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application or tables:
            raise StoreCorruptError(
                f"{self._path} is another application's database; choose another path"
            )
        return True

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        # The switch wants the file for itself, and SQLite does not wait for that.
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _mapped(self, error: sqlite3.Error) -> StoreError:
        match _code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreLockedError(
                    f"{self._path} is being written by another process, and was not free "
                    f"within {self._timeout} s"
                )
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return StoreCorruptError(f"{self._path} cannot be read as a database: {error}")
            case (
                sqlite3.SQLITE_CANTOPEN
                | sqlite3.SQLITE_READONLY
                | sqlite3.SQLITE_PERM
                | sqlite3.SQLITE_IOERR
                | sqlite3.SQLITE_FULL
            ):
                return StoreUnavailableError(
                    f"cannot open or write {self._path}: {error}. Check that its folder is "
                    "there and writable, and that the disk is not full"
                )
            case _:
                return StoreError(f"{self._path}: {error}")

    def __repr__(self) -> str:
        return f"<SQLiteMetadataStore {str(self._path)!r}>"


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code: https://www.sqlite.org/rescode.html. Errors
    # that Python's module raises on its own have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite ends some transactions itself when they fail, on a full disk say.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
