"""Tables as sources of images: one image a row, the other columns its metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import ModuleType

from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.validation import instance, items, optional, text
from onnxsearch.errors import (
    BrokenImageError,
    ImageError,
    ImageNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
    UnsupportedImageError,
)
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.sources.cell_values import is_empty, metadata_of
from onnxsearch.indexing.sources.files import source_file
from onnxsearch.indexing.sources.remote import RemoteReader
from onnxsearch.indexing.sources.remote_policy import RemotePolicy
from onnxsearch.indexing.sources.table_rows import ArrowStream, BadRow, TableRow, TableRows
from onnxsearch.indexing.sources.text_tables import CsvRows, JsonRows
from onnxsearch.indexing.sources.urls import public_url
from onnxsearch.types import Item, Metadata, Outcome

_MOST_COLUMNS = 10_000

_CSV = frozenset({".csv", ".tsv", ".tab"})
_JSON = frozenset({".jsonl", ".ndjson"})
_PARQUET = frozenset({".parquet", ".pq", ".parq"})


class Table:
    """The images that a table lists: one a row, with the other columns as metadata.

    A table is a CSV, JSON Lines (`.jsonl`, `.ndjson`) or Parquet file, or a table in memory that
    exports itself to Arrow: a data frame of pandas or polars, a table of pyarrow. Parquet files
    and tables in memory need the extra `[arrow]`. Files are read a few rows at a time.

    An image is a path, a URL, the bytes of a file, or a struct of `bytes` and `path` as
    Hugging Face datasets have it. Metadata are typed: a column of a CSV file whose values all are
    numbers, or all are `true` or `false`, has such values; dates and times become ISO 8601
    text, durations seconds. Empty values and NaN are left out.

    A row that cannot be used gives an outcome, which names the row: its `uri` is the path of
    the table and `#row=`, counted from 1. So is the `uri` of an image that is given as bytes.

    Args:
        data: The path of a table, or a table in memory.
        image: The column of the images.
        id: The column of the ids. By default an id is the path or URL of the image, and
            for bytes the `uri` of the row.
        metadata: The columns that become metadata; by default all others.
        root: The folder that paths are relative to, and that they may not lead out of:
            `root="/"` permits all. By default the folder of the table. Paths in a table in
            memory are relative to the current folder, and may lead anywhere unless a root is
            given.
        remote: Which URLs are downloaded, see `Remote`. By default none are.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value, a column does not exist, or
            a column of metadata holds bytes.
        ImageNotFoundError: There is no such file.
        ImageError: The file cannot be read as a table.
        MissingExtraError: A package is not installed.

    Example:
        >>> engine.add_many(Table("products.csv", image="photo", id="sku"))
        >>> engine.add_many(Table(frame, image="url", remote=RemotePolicy()))
    """

    def __init__(
        self,
        data: str | os.PathLike[str] | ArrowStream,
        *,
        image: str = "image",
        id: str | None = None,
        metadata: Sequence[str] | None = None,
        root: str | os.PathLike[str] | None = None,
        remote: RemotePolicy | None = None,
    ) -> None:
        self._image = text("image", image, "the name of a column")
        self._id = optional(text, "id", id)
        self._columns = None if metadata is None else _column_names(metadata)
        self._path = source_file(data, "data") if isinstance(data, str | os.PathLike) else None
        self._root = _root(root, self._path)
        self._remote = None if remote is None else _reader(remote)
        self._rows = _frame(data) if self._path is None else self._open(self._path)
        self._check_columns()

    def __iter__(self) -> Iterator[Item | Outcome]:
        """Yield an item for each row, and an outcome for each that cannot be used."""
        try:
            for row in self._rows:
                yield self._entry(row)
        except ImageError as error:
            yield failure(self._path or "table", error)

    def _open(self, path: str) -> TableRows:
        suffix = os.path.splitext(path)[1].lower()
        if suffix in _CSV:
            return CsvRows(path, [self._image, *([self._id] if self._id else [])])
        if suffix in _JSON:
            return JsonRows(path)
        if suffix in _PARQUET:
            rows: TableRows = _arrow().ParquetRows(path, self._wanted())
            return rows
        raise InvalidArgumentError(
            f"data {path!r} is not a table by its name: expected .csv, .tsv, .jsonl, .ndjson or "
            ".parquet"
        )

    def _wanted(self) -> list[str] | None:
        """Return the columns to read; None for all."""
        if self._columns is None:
            return None
        return [self._image, *([self._id] if self._id else []), *self._columns]

    def _check_columns(self) -> None:
        known = self._rows.columns
        if known is None:
            return
        if len(known) > _MOST_COLUMNS:
            raise InvalidArgumentError(
                f"the table has {len(known):,} columns: expected at most {_MOST_COLUMNS:,}"
            )
        for name, column in self._named():
            if column not in known:
                shown = ", ".join(map(repr, known))
                raise InvalidArgumentError(
                    f"{name} {column!r:.80}: the table has no such column, its columns are "
                    f"{shown:.500}"
                )
        kept = set(known if self._columns is None else self._columns) - {self._image, self._id}
        for column in self._rows.binary:
            if column in kept:
                raise InvalidArgumentError(
                    f"column {column!r:.80} holds bytes, which metadata cannot hold: name the "
                    "columns that become metadata, as in metadata=['title']"
                )

    def _named(self) -> Iterator[tuple[str, str]]:
        """Yield the columns that the caller named, with the arguments that name them."""
        yield "image", self._image
        if self._id is not None:
            yield "id", self._id
        yield from (("metadata", column) for column in self._columns or ())

    def _entry(self, row: TableRow | BadRow) -> Item | Outcome:
        place = f"{self._path or 'table'}#row={row.number}"
        try:
            if isinstance(row, BadRow):
                raise BrokenImageError(row.reason)
            return self._item(row, place)
        except (ImageError, InvalidArgumentError) as error:
            outcome = failure(place, error)
            where = f"row {row.number} of {self._path!r}" if self._path else f"row {row.number}"
            return replace(outcome, error=f"{where}: {outcome.error}")

    def _item(self, row: TableRow, place: str) -> Item | Outcome:
        id = None if self._id is None else _id(row.cells, self._id)
        item = self._open_image(_image(row.cells, self._image), place)
        if isinstance(item, Outcome):
            return item
        return replace(item, id=id, metadata=self._metadata(row.cells))

    def _metadata(self, cells: Mapping[str, object]) -> Metadata:
        left_out = (self._image, self._id)
        if self._columns is None:
            kept = {name: cell for name, cell in cells.items() if name not in left_out}
        else:
            kept = {name: cells.get(name) for name in self._columns}
        return metadata_of(kept)

    def _open_image(self, image: object, place: str) -> Item | Outcome:
        match image:
            case bytes() | bytearray() | memoryview():
                return Item(bytes(image), uri=place if self._path else None)
            case str() if "://" in image:
                if self._remote is None:
                    raise UnsupportedImageError(
                        f"{public_url(image)!r:.300} is a URL: pass remote=RemotePolicy() to "
                        "download images"
                    )
                return self._remote.item(image)
            case str():
                return Item(self._located(image))
        raise UnsupportedImageError(
            f"column {self._image!r} holds {type(image).__name__}: expected a path, a URL, bytes, "
            "or a struct of bytes and path"
        )

    def _located(self, path: str) -> str:
        """Return the absolute path of an image.

        Raises:
            UnsupportedImageError: It leads out of the root.
        """
        if "\0" in path:
            raise UnsupportedImageError(f"{path!r:.80} holds a NUL: expected a file's path")
        if self._root is None:
            return absolute_path(path)
        absolute = os.path.abspath(os.path.join(self._root, path))
        if not absolute.startswith(os.path.join(self._root, "")):
            raise UnsupportedImageError(
                f"{path!r:.300} leads out of {self._root!r}: pass as root= the folder that all "
                "images are in"
            )
        return absolute


def _root(root: str | os.PathLike[str] | None, table: str | None) -> str | None:
    if root is not None:
        return absolute_path(root, "root")
    return None if table is None else os.path.dirname(table)


def _column_names(metadata: Sequence[str]) -> list[str]:
    expected = "a list of columns, such as ['title']"
    return [text("metadata", each, expected) for each in items("metadata", metadata, expected)]


def _reader(remote: RemotePolicy) -> RemoteReader:
    return RemoteReader(instance("remote", remote, RemotePolicy, "a RemotePolicy, or None"))


def _image(cells: Mapping[str, object], column: str) -> object:
    """Return what a row says of its image.

    Raises:
        ImageNotFoundError: Nothing.
    """
    value = cells.get(column)
    if isinstance(value, Mapping) and {"bytes", "path"} & value.keys():
        value = value.get("bytes") or value.get("path")
    if is_empty(value):
        names = ", ".join(map(repr, cells))
        raise ImageNotFoundError(f"no image in column {column!r:.80}; it has {names:.300}")
    return value


def _id(cells: Mapping[str, object], column: str) -> str:
    """Return the id of a row: text or an integer.

    Raises:
        InvalidArgumentError: It has none.
    """
    value = cells.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas makes floats of integers where some are missing
    if is_empty(value) or isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidArgumentError(
            f"column {column!r:.80} holds {value!r:.80}: expected an id, as text or an integer"
        )
    return str(value)


def _arrow() -> ModuleType:
    try:
        from onnxsearch.indexing.sources import arrow_tables
    except ImportError as error:
        raise MissingExtraError.for_package("pyarrow", extra="arrow") from error
    return arrow_tables


def _frame(data: object) -> TableRows:
    if not isinstance(data, ArrowStream):
        raise InvalidArgumentError(
            f"data {data!r:.80} is not a table: expected a path, or a table in memory that exports "
            "itself to Arrow, such as a data frame"
        )
    rows: TableRows = _arrow().FrameRows(data)
    return rows
