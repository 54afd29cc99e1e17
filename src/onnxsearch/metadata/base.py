"""The seam between the engine and whatever keeps the records."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from onnxsearch._internal.closeable import Closeable
from onnxsearch.errors import InvalidArgumentError


class Cell(NamedTuple):
    """Where one value lives."""

    table: str
    """Printable ASCII, 1 to 200 characters."""
    key: str
    """Printable ASCII, 1 to 200 characters."""


_TEXT = re.compile(r"[ -~]{1,200}")

_NOTHING: Mapping[Cell, bytes | None] = MappingProxyType({})

MAX_CELLS = 50_000
"""Cells that one commit may name; Redis answers nobody else while it writes them."""

MAX_BYTES = 32 * 2**20
"""Bytes of values that one commit may name, about 4,000 vectors of 2048 numbers."""


class DurabilityWarning(UserWarning):
    """The store would lose acknowledged writes if its server or machine failed."""


class MetadataStore(Closeable):
    """Tables of keys and byte strings, written many at a time, all or nothing.

    What the bytes mean is the engine's business; a back end only has to keep
    them. Public methods check what they are given and then call the hook of the
    same name with an underscore; a back end writes the hooks. Every method may
    be called from several threads at once.

    A durable store has a commit on disk before `commit` returns. A commit is
    bounded (`MAX_CELLS`, `MAX_BYTES`), in every store alike, so that a program
    tested on one runs on the others.

    To write one, subclass it, implement the hooks, and run
    `onnxsearch.testing.MetadataStoreContract` over it.
    """

    def get_many(self, table: str, keys: Iterable[str]) -> list[bytes | None]:
        """Return the values under `keys`, in their order; None where there is none.

        All are of one moment: of a commit, either every cell is seen or none.
        A key that is given twice is answered twice.

        Raises:
            InvalidArgumentError: A key or the table's name is not as `Cell` says.
        """
        wanted = list(keys)
        for key in wanted:
            _check_cell(Cell(table, key))
        return self._get_many(table, wanted) if wanted else []

    def get(self, table: str, key: str) -> bytes | None:
        """Return the value under `key`, or None if there is none."""
        return self.get_many(table, [key])[0]

    def commit(
        self,
        writes: Mapping[Cell, bytes | None],
        *,
        expect: Mapping[Cell, bytes | None] = _NOTHING,
    ) -> bool:
        """Write all of `writes` at once, if every cell in `expect` is as told.

        Nobody ever sees a part of a commit, nor does a crash leave one.

        Args:
            writes: New value per cell; None deletes, and deleting what is not
                there does nothing.
            expect: Value that a cell must hold for anything to be written; None
                stands for absent.

        Returns:
            True if it was written, False if an expectation failed and nothing was.

        Raises:
            InvalidArgumentError: A cell is not as `Cell` says, a value is no
                `bytes`, or the commit is too large.
            StoreUnavailableError: The store did not answer. The commit may or may
                not have been written; it was not written in part.

        Example:
            >>> from onnxsearch import InMemoryMetadataStore
            >>> from onnxsearch.metadata.base import Cell
            >>> store = InMemoryMetadataStore()
            >>> counter = Cell("counters", "pictures")
            >>> store.commit({counter: b"1"}, expect={counter: None})
            True
            >>> store.commit({counter: b"1"}, expect={counter: None})
            False
        """
        _check_commit(writes, expect)
        return self._commit(writes, expect)

    def items(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Yield every key of the table with its value, in bounded memory.

        In no particular order. What is there before the call and stays is
        yielded at least once; what is written meanwhile may or may not be.
        """
        _check_cell(Cell(table, "any"))
        return self._items(table)

    def count(self, table: str) -> int:
        """Return how many keys the table has; an unknown table has none."""
        _check_cell(Cell(table, "any"))
        return self._count(table)

    @abstractmethod
    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of at least one key."""

    @abstractmethod
    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        """Write all or nothing; both mappings may be empty."""

    @abstractmethod
    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Yield every key with its value."""

    @abstractmethod
    def _count(self, table: str) -> int:
        """Count the keys."""


def _check_cell(cell: Cell) -> None:
    if not isinstance(cell, Cell):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"{cell!r:.80}: expected a Cell of a table and a key")
    for name, text in zip(Cell._fields, cell, strict=True):
        if not _is_text(text):
            raise InvalidArgumentError(
                f"{name} {text!r:.80}: expected 1 to 200 printable ASCII characters"
            )


def _is_text(text: object) -> bool:
    return isinstance(text, str) and _TEXT.fullmatch(text) is not None


def _check_commit(writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]) -> None:
    cells, size = 0, 0
    for cell, value in (*writes.items(), *expect.items()):
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
