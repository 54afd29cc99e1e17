"""The abstraction of the stores that keep records."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.telemetry.observation import ObservedStep
from onnxsearch._internal.validation import instance, items
from onnxsearch.errors import InvalidArgumentError


class Cell(NamedTuple):
    """Address of one value."""

    table: str
    """Printable ASCII, 1 to 200 characters."""
    key: str
    """Printable ASCII, 1 to 200 characters."""


_READ, _COMMIT = (
    ObservedStep(f"records.{name}", "onnxsearch.metadata") for name in ("read", "commit")
)

_LONGEST = 200
"""Characters in the name of a table or in a key, at most."""

_NOTHING: Mapping[Cell, bytes | None] = MappingProxyType({})

MAX_CELLS = 50_000
"""Cells in one commit at most; Redis serves no other client while it writes them."""

MAX_BYTES = 32 * 2**20
"""Bytes of values in one commit at most, about 4,000 vectors of 2048 numbers."""


class DurabilityWarning(UserWarning):
    """Warning that a store may lose acknowledged writes if its server or machine fails."""


class MetadataStore(Closeable):
    """Tables of keys and byte strings, written in atomic commits of many cells.

    The engine decides what the bytes mean; a store only keeps them. The public methods
    check their arguments and call the hook of the same name with a leading underscore; a
    subclass implements the hooks. Every method may be called from several threads at once.

    In a durable store, a commit is on disk before `commit` returns. The size of a commit
    has the same limits in every store (`MAX_CELLS`, `MAX_BYTES`), so that a program that
    was tested with one store runs with the others.

    To write a store, subclass this class, implement the hooks, and run
    `onnxsearch.testing.MetadataStoreContract` on it.
    """

    @property
    def folder(self) -> str | None:
        """Folder of the file that holds the tables; None for a store without a file.

        An index remembers its album's folder and its models by their paths from here, so that
        all can move.
        """
        return None

    def get_many(self, table: str, keys: Iterable[str]) -> list[bytes | None]:
        """Return the values under `keys`, in their order; None for an absent key.

        All values are of one moment: either all cells of a commit are seen or none. A key
        that is given twice is returned twice.

        Raises:
            InvalidArgumentError: A key or the table's name is not valid for a `Cell`.
        """
        wanted = items("keys", keys, "an iterable of keys")
        # The plain test first: whole tables are read this way.
        if wanted and not (_is_text(table) and all(map(_is_text, wanted))):
            for key in wanted:
                _check_cell(Cell(table, key))
        if not wanted:
            return []
        with _READ(len(wanted)):
            return self._get_many(table, wanted)

    def get(self, table: str, key: str) -> bytes | None:
        """Return the value under `key`, or None if the key is absent."""
        return self.get_many(table, [key])[0]

    def commit(
        self,
        writes: Mapping[Cell, bytes | None],
        *,
        expect: Mapping[Cell, bytes | None] = _NOTHING,
    ) -> bool:
        """Write all of `writes` in one step, if every cell in `expect` has its value.

        No reader sees a part of a commit, and no crash leaves a part.

        Args:
            writes: New value by cell. None deletes the cell; deleting an absent cell does
                nothing.
            expect: Value that each cell must have, or nothing is written. None means
                absent.

        Returns:
            True if the commit was written; False if an expectation failed and nothing was
            written.

        Raises:
            InvalidArgumentError: A cell or a value is not valid, or the commit is too large.
            StoreUnavailableError: The store did not reply. The commit was written completely
                or not at all.

        Example:
            >>> from onnxsearch import InMemoryMetadataStore
            >>> from onnxsearch.metadata.base import Cell
            >>> store = InMemoryMetadataStore()
            >>> counter = Cell("counters", "images")
            >>> store.commit({counter: b"1"}, expect={counter: None})
            True
            >>> store.commit({counter: b"1"}, expect={counter: None})
            False
        """
        _check_commit(writes, expect)
        with _COMMIT(len(writes)):
            return self._commit(writes, expect)

    def items(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Yield every key of the table with its value, in bounded memory.

        The order is undefined. A key that exists before the call and stays is yielded at
        least once. A key that is written during the iteration may be yielded or not.
        """
        check_table(table)
        return self._items(table)

    def count(self, table: str) -> int:
        """Return the number of keys in the table; an unknown table has none."""
        check_table(table)
        return self._count(table)

    def bytes_on_disk(self) -> int | None:
        """Return the size of the store's files; None, the default, for one without files."""
        return None

    @abstractmethod
    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of at least one key."""

    @abstractmethod
    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        """Write all cells or none; both mappings may be empty."""

    @abstractmethod
    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Yield every key with its value."""

    @abstractmethod
    def _count(self, table: str) -> int:
        """Count the keys."""


def check_table(table: str) -> None:
    """Check the name of a table.

    Raises:
        InvalidArgumentError: It is not valid for a `Cell`.
    """
    _check_cell(Cell(table, "any"))


def _check_cell(cell: Cell) -> None:
    if not isinstance(cell, Cell):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(
            f"writes and expect: {cell!r:.80}, expected a Cell of a table and a key"
        )
    for name, text in zip(Cell._fields, cell, strict=True):
        if not _is_text(text):
            raise InvalidArgumentError(
                f"{name} {text!r:.80}: expected 1 to 200 printable ASCII characters"
            )


def _is_text(text: object) -> bool:
    # Takes half the time of a regular expression.
    return (
        isinstance(text, str)
        and 0 < len(text) <= _LONGEST
        and text.isascii()
        and text.isprintable()
    )


def _check_commit(writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]) -> None:
    instance("writes", writes, Mapping, "a mapping from cells to bytes")
    instance("expect", expect, Mapping, "a mapping from cells to bytes")
    cells, size = 0, 0
    for cell, value in (*writes.items(), *expect.items()):
        # The plain test first, as in `get_many`.
        if not (type(cell) is Cell and _is_text(cell.table) and _is_text(cell.key)):
            _check_cell(cell)
        cells += 1
        if value is not None:
            # A bytearray may change while it is written, so it is refused.
            if not isinstance(value, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(
                    f"value of {cell}: expected bytes or None, got {type(value).__name__}"
                )
            size += len(value)
    if cells > MAX_CELLS or size > MAX_BYTES:
        raise InvalidArgumentError(
            f"a commit of {cells:,} cells and {size:,} bytes: expected at most {MAX_CELLS:,} "
            f"cells and {MAX_BYTES:,} bytes. Write it in several commits"
        )
