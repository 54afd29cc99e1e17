"""TableRows of tables, whatever the tables are stored as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table."""

    number: int
    """1 for the first row of data."""
    cells: Mapping[str, object]
    """Values by column; empty cells are None or absent."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read."""

    number: int
    reason: str


@runtime_checkable
class ArrowStream(Protocol):
    """A table in memory that exports itself by Arrow's PyCapsule interface.

    Data frames of pandas and polars do, tables of pyarrow, relations of duckdb, and others:
    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule with an `ArrowArrayStream`."""
        ...


class TableRows(Protocol):
    """The rows of one table. Each iteration begins at the first row."""

    @property
    def columns(self) -> Sequence[str] | None:
        """The names of all columns; None where each row names its own."""
        ...

    @property
    def binary(self) -> Sequence[str]:
        """The columns whose type is bytes, or holds some."""
        ...

    def __iter__(self) -> Iterator[TableRow | BadRow]: ...
