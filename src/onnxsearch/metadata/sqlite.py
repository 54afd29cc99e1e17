"""Records in one SQLite file, the default without a server."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from onnxsearch._internal.sqlite import Database
from onnxsearch._internal.validation import seconds
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.metadata.capabilities import (
    RankedKey,
    WordReader,
    check_ranking,
    check_stale,
)
from onnxsearch.metadata.sqlite_words import WordTables

APPLICATION = 0x6F6E7873
"""The text "onxs" in the header of the file; `file` and SQLite's own tools show it."""
FORMAT = 1
"""The version of the tables."""
_PAGE_ROWS = 1000
_PAGE_BYTES = 4 * 2**20

# An ordinary table with an index beside it, rather than WITHOUT ROWID: values may
# be megabytes, and counting then reads the small index only.
_SCHEMA = """
    CREATE TABLE cell (
        tab TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tab, key)
    );
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


def read_cell(connection: sqlite3.Connection, cell: Cell) -> bytes | None:
    """Return the value of a cell in a file that is open already; None if there is none."""
    row: tuple[bytes] | None = connection.execute(_GET, cell).fetchone()
    return None if row is None else row[0]


def _values(connection: sqlite3.Connection, table: str, keys: Sequence[str]) -> dict[str, bytes]:
    """Return the values of the keys that are present."""
    return dict(connection.execute(_GET_MANY, (json.dumps(list(keys)), table)))


def _holds(connection: sqlite3.Connection, expect: Mapping[Cell, bytes | None]) -> bool:
    """Return whether every cell has the value that is expected of it."""
    tables: dict[str, dict[str, bytes | None]] = {}
    for cell, told in expect.items():
        tables.setdefault(cell.table, {})[cell.key] = told
    for table, cells in tables.items():
        found = _values(connection, table, list(cells))
        if any(found.get(key) != told for key, told in cells.items()):
            return False
    return True


class SQLiteMetadataStore(MetadataStore):
    """A `MetadataStore` in one SQLite file, shared by threads and processes.

    A commit is on disk when `commit` returns, and survives a loss of power
    (`synchronous=FULL`). It costs one fsync: about 350 commits a second one by one, and
    over 100,000 rows a second in commits of 1,000. With the write-ahead log, readers
    never wait for a writer.

    SQLite's locks need a local disk; do not put the file on a network share.

    Args:
        path: The file, created if it does not exist. Its folder must exist.
        timeout: Seconds to wait while another process writes, before
            `StoreLockedError`. The default is a hundred times the duration of a commit.

    Raises:
        StoreCorruptError: The file is not a database, belongs to another application, or
            has a format that this release does not know.
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
        self._database = Database(
            path,
            application=APPLICATION,
            version=FORMAT,
            schema=_SCHEMA,
            timeout=seconds("timeout", timeout, zero=True),
        )
        self._words = WordTables(self._database, self._items)

    @property
    def folder(self) -> str:
        return str(self._database.path.parent)

    def bytes_on_disk(self) -> int:
        return self._database.bytes_on_disk()

    def rank_by_words(
        self, table: str, reader: WordReader, words: Sequence[str], limit: int
    ) -> list[RankedKey]:
        """Rank the values of a table by their words; see `KeywordSearch.rank_by_words`.

        The first call for a table and a reader makes an index with FTS5: about 4 s for 100,000
        records. Later calls read the words of what has changed since. A file that is read-only
        and has no such index is read into memory.

        Raises:
            InvalidArgumentError: An argument is not as described.
            StoreError: This build of SQLite has no FTS5, or the store failed.
        """
        check_ranking(table, reader, words, limit)
        return self._words.rank(table, reader, words, limit)

    def stale_words(self, table: str, *, repair: bool) -> list[str]:
        """Return the keys whose words are out of date; see `KeywordSearch.stale_words`.

        Raises:
            StoreError: The store failed.
        """
        check_stale(table, repair)
        return self._words.stale(table, repair=repair)

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        with self._database.read() as connection:
            found = _values(connection, table, keys)
        return [found.get(key) for key in keys]

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        with self._database.write() as connection:
            if not _holds(connection, expect):
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
            self._database.read() as connection,
            closing(connection.execute(_PAGE, (table, after))) as rows,
        ):
            for key, value in rows:
                page.append((key, value))
                size += len(value)
                if size > _PAGE_BYTES:
                    break
        return page

    def _count(self, table: str) -> int:
        with self._database.read() as connection:
            return int(connection.execute(_COUNT, (table,)).fetchone()[0])

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._database.close()

    def __repr__(self) -> str:
        return f"<SQLiteMetadataStore {str(self._database.path)!r}>"
