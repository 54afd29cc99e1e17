"""Records in memory, for tests and for temporary engines."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from onnxsearch.errors import ClosedError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.metadata.bm25 import WordIndex
from onnxsearch.metadata.capabilities import (
    RankedKey,
    WordReader,
    check_ranking,
    check_stale,
)


class InMemoryMetadataStore(MetadataStore):
    """A `MetadataStore` whose data exist as long as the object.

    It checks its arguments like the durable stores, so a test that passes with it is also
    valid for them.

    Example:
        >>> from onnxsearch import InMemoryMetadataStore
        >>> from onnxsearch.metadata.base import Cell
        >>> store = InMemoryMetadataStore()
        >>> store.commit({Cell("pets", "a"): b"cat", Cell("pets", "b"): b"dog"})
        True
        >>> store.get_many("pets", ["b", "x"])
        [b'dog', None]
    """

    def __init__(self) -> None:
        self._tables: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        self._words: defaultdict[str, dict[str, WordIndex]] = defaultdict(dict)
        """Indexes of words, by table and by the name of the reader."""
        self._lock = threading.Lock()
        self._closed = False

    def rank_by_words(
        self, table: str, reader: WordReader, words: Sequence[str], limit: int
    ) -> list[RankedKey]:
        """Rank the values of a table by their words; see `KeywordSearch.rank_by_words`."""
        check_ranking(table, reader, words, limit)
        with self._lock:
            values, indexes = self._table(table), self._words[table]
            if reader.name not in indexes:
                indexes[reader.name] = WordIndex(reader)
                indexes[reader.name].update(values.items())
            return indexes[reader.name].rank(words, limit)

    def stale_words(self, table: str, *, repair: bool) -> list[str]:
        """Return no keys: the indexes of words are changed with each commit."""
        check_stale(table, repair)
        return []

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        with self._lock:
            values = self._table(table)
            return [values.get(key) for key in keys]

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        with self._lock:
            if any(
                self._table(cell.table).get(cell.key) != value for cell, value in expect.items()
            ):
                return False
            for cell, value in writes.items():
                if value is None:
                    self._table(cell.table).pop(cell.key, None)
                else:
                    self._table(cell.table)[cell.key] = value
                for index in self._words[cell.table].values():
                    index.set(cell.key, value)
            return True

    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        # A snapshot of references: the values themselves are not copied.
        with self._lock:
            return iter(list(self._table(table).items()))

    def _count(self, table: str) -> int:
        with self._lock:
            return len(self._table(table))

    def _table(self, name: str) -> dict[str, bytes]:
        if self._closed:
            raise ClosedError(f"{self!r} was closed; open a new one")
        return self._tables[name]

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._closed = True
            self._tables.clear()

    def __repr__(self) -> str:
        return "<InMemoryMetadataStore>"
