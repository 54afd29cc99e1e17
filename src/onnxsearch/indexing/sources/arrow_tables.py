"""Tables of Apache Arrow: Parquet files, and data frames in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from onnxsearch.errors import BrokenImageError, InvalidArgumentError
from onnxsearch.indexing.sources.files import open_source
from onnxsearch.indexing.sources.table_rows import ArrowStream, TableRow

_BATCH = 64
"""TableRows at once: rows may hold images."""

_MOST_GROUP = 2**32
"""Bytes of a row group of a Parquet file, at most, 4 GiB: a column of it is read at once."""

_MOST_METADATA = 2**24
"""Bytes and entries of the metadata of a Parquet file, at most."""

_INDEX = re.compile(r"__index_level_\d+__")
"""Names of the index of a pandas data frame, where it has none."""


class ParquetRows:
    """The rows of a Parquet file, read a few at a time.

    Args:
        path: Absolute path of the file.
        wanted: The columns to read; None for all.

    Raises:
        ImageError: It is not a Parquet file, or cannot be read.
    """

    def __init__(self, path: str, wanted: Sequence[str] | None = None) -> None:
        self._path = path
        self._wanted = wanted
        with _parquet(path) as parquet:
            self._schema = parquet.schema_arrow

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns."""
        return _names(self._schema)

    @property
    def binary(self) -> Sequence[str]:
        """The columns that hold bytes."""
        return _binary(self._schema)

    def __iter__(self) -> Iterator[TableRow]:
        """Yield the rows.

        Raises:
            BrokenImageError: The file is damaged from there on.
        """
        with _parquet(self._path) as parquet:
            for number in range(parquet.metadata.num_row_groups):
                if parquet.metadata.row_group(number).total_byte_size > _MOST_GROUP:
                    raise BrokenImageError(
                        f"row group {number} of {self._path!r} has more than {_MOST_GROUP:,} "
                        "bytes: write the table with smaller row groups"
                    )
            yield from _rows(parquet.iter_batches(batch_size=_BATCH, columns=self._wanted))


class FrameRows:
    """The rows of a table in memory.

    Args:
        data: Anything that exports itself as an Arrow stream.

    Raises:
        InvalidArgumentError: Arrow has no types for it.
    """

    def __init__(self, data: ArrowStream) -> None:
        self._data = data
        # Opened once only, since some objects give their rows once.
        first = _stream(data)
        self._first: pa.RecordBatchReader | None = first
        self._schema = first.schema

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns."""
        return _names(self._schema)

    @property
    def binary(self) -> Sequence[str]:
        """The columns that hold bytes."""
        return _binary(self._schema)

    def __iter__(self) -> Iterator[TableRow]:
        """Yield the rows."""
        reader, self._first = self._first or _stream(self._data), None
        yield from _rows(reader)


@contextmanager
def _parquet(path: str) -> Iterator[pq.ParquetFile]:
    try:
        with open_source(path) as file:
            yield pq.ParquetFile(
                file,
                pre_buffer=False,
                thrift_string_size_limit=_MOST_METADATA,
                thrift_container_size_limit=_MOST_METADATA,
            )
    except pa.ArrowException as error:
        raise BrokenImageError(f"{path!r} cannot be read as a Parquet file: {error}") from error


def _stream(data: ArrowStream) -> pa.RecordBatchReader:
    try:
        return pa.RecordBatchReader.from_stream(data)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InvalidArgumentError(
            f"data of type {type(data).__name__} cannot become a table of Arrow: {error}"
        ) from error


def _names(schema: pa.Schema) -> Sequence[str]:
    names = [name for name in schema.names if not _INDEX.fullmatch(name)]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"several columns have one name: {', '.join(names):.300}")
    return names


def _binary(schema: pa.Schema) -> Sequence[str]:
    return [field.name for field in schema if _holds_bytes(field.type)]


def _holds_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type are bytes, or hold some."""
    if any(is_type(kind) for is_type in _BYTES):
        return True
    return any(_holds_bytes(kind.field(n).type) for n in range(kind.num_fields))


_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[TableRow]:
    number = 0
    for batch in batches:
        names = _names(batch.schema)
        for start in range(0, batch.num_rows, _BATCH):
            part = batch.slice(start, _BATCH)
            columns = [_values(part.column(name)) for name in names]
            for cells in zip(*columns, strict=True):
                number += 1
                yield TableRow(number, dict(zip(names, cells, strict=True)))


def _values(column: pa.Array) -> Sequence[object]:
    """Return the values of a column; times to the microsecond, as Python has them."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    elif pa.types.is_duration(kind) and kind.unit == "ns":
        column = column.cast(pa.duration("us"), safe=False)
    values: list[object] = column.to_pylist()
    return values
