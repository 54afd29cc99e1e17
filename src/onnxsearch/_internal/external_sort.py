"""Sorting of more values than memory should hold, in a temporary SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TypeAlias

from onnxsearch.errors import StoreError

SortKey: TypeAlias = str | float | None
"""What a name is sorted by; None, or a value that is neither text nor a number, comes last."""

_TEXT, _NUMBER, _TRUTH, _MISSING = 2, 1, 0, 3
"""Ranks of types: values of different types have no order of their own."""

# Every name once, also if it is given twice; text as bytes, since SQLite takes no half
# surrogate pairs. The bytes of UTF-8 sort as code points do.
_SCHEMA = "CREATE TABLE entry (name BLOB PRIMARY KEY, rank INTEGER, key) WITHOUT ROWID"
_ADD = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?)"
_UPWARDS = "SELECT name FROM entry ORDER BY rank, key, name"
_DOWNWARDS = f"SELECT name FROM entry ORDER BY rank = {_MISSING}, rank DESC, key DESC, name"


def sorted_names(
    entries: Iterable[tuple[str, SortKey]], *, descending: bool = False
) -> Iterator[str]:
    """Yield names in the order of their keys, each once, in bounded memory.

    False comes before True, these before numbers, numbers before text, and names without a
    key come last, in both directions. Names of equal keys come in ascending order.

    Raises:
        StoreError: The temporary database cannot be written.
    """
    # An empty name means a file that SQLite creates when memory does not suffice, in the
    # folder for temporary files, and deletes. The iterator may move to another thread.
    with closing(sqlite3.connect("", check_same_thread=False)) as database:
        try:
            database.execute(_SCHEMA)
            database.executemany(_ADD, (_row(name, key) for name, key in entries))
            for (name,) in database.execute(_DOWNWARDS if descending else _UPWARDS):
                yield name.decode("utf-8", "surrogatepass")
        except sqlite3.Error as error:
            raise StoreError(
                f"cannot sort: a temporary file cannot be written ({error}). Make room in the "
                "folder for temporary files, or name another one in SQLITE_TMPDIR"
            ) from error


def _row(name: str, key: SortKey) -> tuple[bytes, int, float | bytes | None]:
    data = name.encode("utf-8", "surrogatepass")
    if key is None:
        return data, _MISSING, None
    if isinstance(key, str):
        return data, _TEXT, key.encode("utf-8", "surrogatepass")
    return data, _TRUTH if isinstance(key, bool) else _NUMBER, key
