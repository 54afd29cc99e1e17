"""The seam between the engine and whatever keeps the records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Self

from onnxsearch.errors import InvalidArgumentError


class Cell(NamedTuple):
    """Where one value lives."""

    table: str
    """Printable ASCII, 1 to 200 characters."""
    key: str
    """Printable ASCII, 1 to 200 characters."""


_NOTHING: Mapping[Cell, bytes | None] = MappingProxyType({})


class MetadataStore(ABC):
    """Tables of keys and byte strings, written many at a time, all or nothing.

    What the bytes mean is the engine's business; a back end only has to keep
    them. Public methods check what they are given and then call the hook of the
    same name with an underscore; a back end writes the hooks. Every method may
    be called from several threads at once.

    A durable store has a commit on disk before `commit` returns.

    To write one, subclass it, implement the hooks, and run
    `onnxsearch.testing.MetadataStoreContract` over it.
    """

    def get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values under `keys`, in their order; None where there is none."""
        for key in keys:
            _check(Cell(table, key))
        return self._get_many(table, keys) if keys else []

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
        """
        for cell in (*writes, *expect):
            _check(cell)
        return self._commit(writes, expect)

    def items(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Yield every key of the table with its value, in bounded memory.

        In no particular order. What is there before the call and stays is
        yielded at least once; what is written meanwhile may or may not be.
        """
        _check(Cell(table, "any"))
        return self._items(table)

    def count(self, table: str) -> int:
        """Return how many keys the table has; an unknown table has none."""
        _check(Cell(table, "any"))
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

    @abstractmethod
    def close(self) -> None:
        """Release what this object opened itself; closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check(cell: Cell) -> None:
    for name, text in zip(Cell._fields, cell, strict=True):
        if not (0 < len(text) <= 200 and text.isascii() and text.isprintable()):
            raise InvalidArgumentError(
                f"{name} {text[:80]!r}: expected 1 to 200 printable ASCII characters"
            )
