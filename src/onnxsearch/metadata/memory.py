"""Records in memory, for tests and for temporary engines."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from onnxsearch.errors import ClosedError
from onnxsearch.metadata.base import Cell, MetadataStore


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
        self._lock = threading.Lock()
        self._closed = False

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
