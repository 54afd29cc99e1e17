"""Indexes of words beside the cells of an SQLite file, by its module FTS5.

An index belongs to a table of cells and a reader, and is made by the first search that needs it:

    words_1           the words of each value: a table of FTS5
    word_keys_1       the key of each row of `words_1`
    word_changes_1    keys whose values have changed since their words were read, each once
    word_added_1 ...  triggers that write to `word_changes_1`
    word_indexes      the indexes of this file

The triggers run in the transaction of each commit, in every process and in every release, so
that no commit can be missed. The next search reads the words of what has changed. An index that
nobody has searched costs nothing, and no writer needs FTS5.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from onnxsearch._internal.sqlite import Database
from onnxsearch.errors import StoreError
from onnxsearch.metadata.bm25 import WordIndex
from onnxsearch.metadata.capabilities import MOST_INDEXES, RankedKey, WordReader
from onnxsearch.metadata.reading_log import ReadingLog

_BATCH = 1000
_BATCH_BYTES = 4 * 2**20
"""Values read in one transaction: other writers wait for less than half a second."""
_ATTEMPTS = 10
"""Searches for one call, if other processes delete the index at the same time."""

_INDEXES = """
    CREATE TABLE IF NOT EXISTS word_indexes (
        number INTEGER PRIMARY KEY AUTOINCREMENT, tab TEXT NOT NULL, reader TEXT NOT NULL,
        UNIQUE (tab, reader)
    )
"""
# The words are normalised, and the tokenizer "ascii" takes them as they are: every character
# beyond ASCII is part of a word. The one called "unicode61" knows the letters of 2012 only.
_TABLES = (
    "CREATE VIRTUAL TABLE words_{n} USING fts5(words, tokenize = 'ascii')",
    "CREATE TABLE word_keys_{n} (document INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE)",
    "CREATE TABLE word_changes_{n} (change INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE)",
)
_ALL = "INSERT INTO word_changes_{n} (key) SELECT key FROM cell WHERE tab = ?"
# What was never read need not be forgotten. So an index that is not searched any more notes at
# most one change for each value that there is, and for each that it has read.
_TRIGGERS = (
    ("added", "INSERT", "new", "VALUES (new.key)"),
    ("replaced", "UPDATE", "new", "VALUES (new.key)"),
    ("removed", "DELETE", "old", "SELECT key FROM word_keys_{n} WHERE key = old.key"),
)
_TRIGGER = """
    CREATE TRIGGER word_{name}_{n} AFTER {event} ON cell WHEN {row}.tab = {tab}
    BEGIN
        DELETE FROM word_changes_{n} WHERE key = {row}.key;
        INSERT INTO word_changes_{n} (key) {keys};
    END
"""

_HAS_FTS5 = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
_HAS_INDEXES = "SELECT 1 FROM sqlite_master WHERE name = 'word_indexes'"
_CHANGED = "SELECT EXISTS (SELECT 1 FROM word_changes_{n})"
_CHANGES = """
    SELECT changes.change, changes.key, cell.value FROM word_changes_{n} AS changes
    LEFT JOIN cell ON cell.tab = ? AND cell.key = changes.key
    ORDER BY changes.change LIMIT {batch}
"""
_RANK = """
    SELECT word_keys_{n}.key, -bm25(words_{n}) AS score FROM words_{n}
    JOIN word_keys_{n} ON word_keys_{n}.document = words_{n}.rowid
    WHERE words_{n} MATCH ? ORDER BY score DESC, key LIMIT ?
"""
_STALE = """
    WITH cells AS (SELECT key FROM cell WHERE tab = ?),
    documents AS (SELECT key FROM word_keys_{n} WHERE document IN (SELECT rowid FROM words_{n})),
    stale AS (
        SELECT key FROM cells EXCEPT SELECT key FROM documents
        UNION ALL SELECT * FROM (SELECT key FROM word_keys_{n} EXCEPT SELECT key FROM cells)
    )
    SELECT key FROM stale EXCEPT SELECT key FROM word_changes_{n}
"""


class WordTables:
    """The indexes of words in one file.

    Args:
        database: The file; it has the table `cell`.
        items: Returns the keys and values of a table of cells.
    """

    def __init__(
        self, database: Database, items: Callable[[str], Iterator[tuple[str, bytes]]]
    ) -> None:
        self._database = database
        self._items = items
        self._in_memory: dict[tuple[str, str], WordIndex] = {}
        """Indexes of a file that cannot be written, by table and reader."""

    def rank(
        self, table: str, reader: WordReader, words: Sequence[str], limit: int
    ) -> list[RankedKey]:
        """Return what `KeywordSearch.rank_by_words` returns.

        Raises:
            StoreError: This build of SQLite has no FTS5.
        """
        is_updated = False
        for _ in range(_ATTEMPTS):
            with self._database.read() as connection:
                _check_fts5(connection)
                number = _find(connection, table, reader)
                if number is not None and (is_updated or not _is_changed(connection, number)):
                    return _ranked(connection, number, words, limit)
            if self._database.is_read_only:
                return self._index_in_memory(table, reader).rank(words, limit)
            self._update(table, reader)
            is_updated = True
        raise StoreError(
            f"other processes deleted the index of words in {self._database.path} "
            f"{_ATTEMPTS} times during one search: search again"
        )

    def stale(self, table: str, *, repair: bool) -> list[str]:
        """Return what `KeywordSearch.stale_words` returns; a repair deletes the index."""
        with self._database.read() as connection:
            # Without FTS5, the words can be neither read nor searched.
            numbers = _numbers(connection, table) if _has_fts5(connection) else []
            stale = {number: _stale_keys(connection, number, table) for number in numbers}
        if numbers and not self._database.is_read_only:
            with self._database.write() as connection:
                for number in set(_numbers(connection, table)) & stale.keys():
                    if _is_damaged(connection, number):
                        stale[number] = _keys(connection, table)
                    if repair and stale[number]:
                        _drop(connection, number)
        return list(dict.fromkeys(key for keys in stale.values() for key in keys))

    def _index_in_memory(self, table: str, reader: WordReader) -> WordIndex:
        """Return an index of a file that nobody writes to."""
        place = table, reader.name
        if place not in self._in_memory:
            index = WordIndex(reader)
            index.update(self._items(table))
            self._in_memory[place] = index
        return self._in_memory[place]

    def _update(self, table: str, reader: WordReader) -> None:
        """Read the words of all values that have changed."""
        log, is_complete = ReadingLog(), False
        while not is_complete:
            with self._database.write() as connection:
                number = _find(connection, table, reader)
                if number is None:
                    number = _create(connection, table, reader)
                rows = list(_changes(connection, number, table))
                _read_words(connection, number, reader, rows)
                # No more than these had changed when the transaction began.
                is_complete = not _is_changed(connection, number)
            log.add(len(rows))
        log.finish()


def _has_fts5(connection: sqlite3.Connection) -> bool:
    return connection.execute(_HAS_FTS5).fetchone() is not None


def _check_fts5(connection: sqlite3.Connection) -> None:
    if not _has_fts5(connection):
        raise StoreError(
            f"this Python's SQLite {sqlite3.sqlite_version} was built without FTS5, which keyword "
            "searches need: use a Python whose sqlite3 has it, such as those of python.org"
        )


def _numbers(connection: sqlite3.Connection, table: str) -> list[int]:
    """Return the numbers of the indexes of a table of cells, oldest first."""
    if not connection.execute(_HAS_INDEXES).fetchone():
        return []
    found = connection.execute(
        "SELECT number FROM word_indexes WHERE tab = ? ORDER BY number", (table,)
    )
    return [number for (number,) in found]


def _find(connection: sqlite3.Connection, table: str, reader: WordReader) -> int | None:
    """Return the number of an index; None if there is none."""
    if not connection.execute(_HAS_INDEXES).fetchone():
        return None
    row: tuple[int] | None = connection.execute(
        "SELECT number FROM word_indexes WHERE tab = ? AND reader = ?", (table, reader.name)
    ).fetchone()
    return None if row is None else row[0]


def _create(connection: sqlite3.Connection, table: str, reader: WordReader) -> int:
    """Create an index in which all values count as changed."""
    number: int
    connection.execute(_INDEXES)
    for oldest in _numbers(connection, table)[: 1 - MOST_INDEXES]:
        _drop(connection, oldest)
    (number,) = connection.execute(
        "INSERT INTO word_indexes (tab, reader) VALUES (?, ?) RETURNING number",
        (table, reader.name),
    ).fetchone()
    for statement in _TABLES:
        connection.execute(statement.format(n=number))
    connection.execute(_ALL.format(n=number), (table,))
    # A trigger takes no parameters.
    literal = "'" + table.replace("'", "''") + "'"
    for name, event, row, keys in _TRIGGERS:
        noted = keys.format(n=number)
        connection.execute(
            _TRIGGER.format(n=number, tab=literal, name=name, event=event, row=row, keys=noted)
        )
    return number


def _drop(connection: sqlite3.Connection, number: int) -> None:
    for name, *_ in _TRIGGERS:
        connection.execute(f"DROP TRIGGER IF EXISTS word_{name}_{number}")
    for part in ("words", "word_keys", "word_changes"):
        connection.execute(f"DROP TABLE IF EXISTS {part}_{number}")
    connection.execute("DELETE FROM word_indexes WHERE number = ?", (number,))


def _keys(connection: sqlite3.Connection, table: str) -> list[str]:
    return [key for (key,) in connection.execute("SELECT key FROM cell WHERE tab = ?", (table,))]


def _stale_keys(connection: sqlite3.Connection, number: int, table: str) -> list[str]:
    """Return the keys of one index that are missing, or are there although they are gone."""
    return [key for (key,) in connection.execute(_STALE.format(n=number), (table,))]


def _is_damaged(connection: sqlite3.Connection, number: int) -> bool:
    """Return whether the table of FTS5 contradicts itself; it takes a write to find that out."""
    try:
        connection.execute(
            f"INSERT INTO words_{number} (words_{number}) VALUES ('integrity-check')"
        )
    except sqlite3.DatabaseError:
        return True
    return False


def _is_changed(connection: sqlite3.Connection, number: int) -> bool:
    """Return whether the words of some values have not been read."""
    (changed,) = connection.execute(_CHANGED.format(n=number)).fetchone()
    return bool(changed)


def _changes(
    connection: sqlite3.Connection, number: int, table: str
) -> Iterator[tuple[int, str, bytes | None]]:
    """Yield some changes, in order: number, key, and the value that the key has now."""
    size = 0
    statement = _CHANGES.format(n=number, batch=_BATCH)
    with closing(connection.execute(statement, (table,))) as rows:
        for change, key, value in rows:
            yield change, key, value
            size += len(value or b"")
            if size > _BATCH_BYTES:
                return


def _read_words(
    connection: sqlite3.Connection,
    number: int,
    reader: WordReader,
    changes: Sequence[tuple[int, str, bytes | None]],
) -> None:
    """Replace the words of keys whose values have changed."""
    if not changes:
        return
    values = {key: value for _, key, value in changes}
    documents = connection.execute(
        f"SELECT document FROM word_keys_{number} WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(values)),),
    ).fetchall()
    connection.executemany(f"DELETE FROM words_{number} WHERE rowid = ?", documents)
    connection.executemany(f"DELETE FROM word_keys_{number} WHERE document = ?", documents)
    present = {key: value for key, value in values.items() if value is not None}
    connection.executemany(
        f"INSERT INTO word_keys_{number} (key) VALUES (?)", ((key,) for key in present)
    )
    added = connection.execute(
        f"SELECT key, document FROM word_keys_{number} "
        "WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(present)),),
    ).fetchall()
    connection.executemany(
        f"INSERT INTO words_{number} (rowid, words) VALUES (?, ?)",
        ((document, " ".join(reader.read(present[key]))) for key, document in added),
    )
    connection.execute(f"DELETE FROM word_changes_{number} WHERE change <= ?", (changes[-1][0],))


def _ranked(
    connection: sqlite3.Connection, number: int, words: Sequence[str], limit: int
) -> list[RankedKey]:
    # Each word is quoted, so that none of them is an operator.
    query = " OR ".join(f'"{word}"' for word in sorted(set(words)))
    found = connection.execute(_RANK.format(n=number), (query, limit))
    return [RankedKey(key, score) for key, score in found]
