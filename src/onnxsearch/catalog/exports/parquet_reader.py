"""Reading of an export back, without trust in the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.open_files import StoreFileError, is_store_file
from onnxsearch.catalog.album_files import AlbumHeader, album_defects
from onnxsearch.catalog.batching import BATCH, BATCH_BYTES, record_batches
from onnxsearch.catalog.catalog import NewImage
from onnxsearch.catalog.exports.parquet_format import (
    HEADER,
    KIND,
    MODELS,
    RECORD,
    ROW_GROUP,
    VERSION,
    parquet_packages,
    vector_column,
    vector_types,
)
from onnxsearch.catalog.model_entries import decode_models
from onnxsearch.types import Metric

if TYPE_CHECKING:
    import pyarrow as pa

    from onnxsearch.embedders.description import ModelDescription
    from onnxsearch.vectors.base import CollectionSpec, Vectors

_MAX_HEADER = 2**20
"""Bytes of the header, at most: thousands of models."""
_MAX_COLUMNS = 2**18
"""Numbers that the vectors of one image have together, at most: a batch of 256 takes 256 MiB."""
_MAX_RECORDS = ROW_GROUP // BATCH * BATCH_BYTES + 2**20
"""Bytes of the records of one row group, at most."""


class ParquetExport(Closeable):
    """An export to read; an `ImageSource`.

    The file may come from an untrusted source: sizes are checked before anything is read, and
    then every value.

    Args:
        path: The file.

    Raises:
        MissingExtraError: pyarrow is not installed.
        StoreCorruptError: The file is not an export, is damaged, or has a later version.
        StoreError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        _, pq = parquet_packages()
        self._path = path
        with album_defects(path, KIND):
            if is_store_file(path):
                raise StoreFileError(str(path))
            if not os.path.isfile(path):
                open(path, "rb").close()  # raises what is wrong with it
            # A text that repeats stays one text, however many rows have it.
            self._file = pq.ParquetFile(path, read_dictionary=[RECORD])
        try:
            with album_defects(path, KIND):
                self._header = self._read_header()
                self._check_columns()
                self._check_sizes()
        except BaseException:
            self._file.close()
            raise

    def count(self) -> int:
        """Return the number of images."""
        return int(self._file.metadata.num_rows)

    def models(self) -> list[str]:
        """Return the models whose vectors the file has."""
        return list(self._header.spaces)

    def space(self, model: str) -> CollectionSpec:
        """Return the specification of a collection for this model's vectors."""
        return self._header.spaces[model]

    def descriptions(self) -> list[ModelDescription]:
        """Return how to make the models again; of some, or all, it may not be known."""
        data = self._schema_metadata().get(MODELS)
        if data is None:
            return []
        with album_defects(self._path, KIND):
            _check_length("its models", len(data), _MAX_HEADER)
            return decode_models(data, self._path.parent)

    def root(self) -> str | None:
        """Return the folder that stored paths are relative to."""
        return self._header.root.path

    def batches(self) -> Iterator[list[NewImage]]:
        """Yield all images."""
        columns = [RECORD, *map(vector_column, self._header.spaces)]
        groups = range(self._file.metadata.num_row_groups)
        parts = chain.from_iterable(
            self._file.iter_batches(BATCH, [group], columns, use_threads=False) for group in groups
        )
        batches = chain.from_iterable(record_batches(self._images(part)) for part in parts)
        while True:
            with album_defects(self._path, KIND):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()

    def _schema_metadata(self) -> dict[bytes, bytes]:
        return self._file.schema_arrow.metadata or {}

    def _read_header(self) -> AlbumHeader:
        data = self._schema_metadata().get(HEADER)
        if data is None:
            raise ValueError(
                "its schema does not say what the vectors are. A program that writes the file "
                "again may lose that; a table of images is indexed with add_many()"
            )
        _check_length("its header", len(data), _MAX_HEADER)
        return AlbumHeader.read(json.loads(data), KIND, VERSION, self._path)

    def _check_columns(self) -> None:
        pa, _ = parquet_packages()
        _check_length(
            "its vectors", sum(s.columns for s in self._header.spaces.values()), _MAX_COLUMNS
        )
        expected = {
            RECORD: pa.dictionary(pa.int32(), pa.string()),
            **vector_types(self._header.spaces),
        }
        schema = self._file.schema_arrow
        for name, kind in expected.items():
            if schema.names.count(name) != 1:
                raise ValueError(f"it has {schema.names.count(name)} columns {name!r}")
            if schema.field(name).type != kind:
                raise ValueError(
                    f"column {name!r} is of type {schema.field(name).type}, not {kind}"
                )

    def _check_sizes(self) -> None:
        metadata = self._file.metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            _check_length("a row group", group.num_rows, ROW_GROUP)
            for column in map(group.column, range(group.num_columns)):
                name = column.path_in_schema.removesuffix(".list.element")
                if name == RECORD:
                    _check_length("the records", column.total_uncompressed_size, _MAX_RECORDS)
                elif name.startswith(vector_column("")):
                    space = self._header.spaces.get(name.removeprefix(vector_column("")))
                    columns = 1 if space is None else space.columns
                    _check_length(name, column.num_values, group.num_rows * columns)

    def _images(self, part: pa.RecordBatch) -> Iterator[NewImage]:
        """Yield the images of a part one by one, because their records may be large."""
        vectors: list[dict[str, Vectors]] = [{} for _ in range(part.num_rows)]
        for model, space in self._header.spaces.items():
            for place, vector in _vectors(part.column(vector_column(model)), space):
                vectors[place][model] = vector
        for text, found in zip(_texts(part.column(RECORD)), vectors, strict=True):
            record = self._header.record(text.encode())
            if set(record.models) != found.keys():
                raise ValueError(f"its record of {record.id!r:.80} lists other models than it has")
            yield NewImage(record, found)


def _texts(column: pa.DictionaryArray) -> list[str]:
    """Return the texts of a column; a text that repeats is one object."""
    import pyarrow.compute as pc

    known = column.dictionary
    longest = pc.max(pc.binary_length(known)).as_py() or 0
    _check_length("a record", longest, BATCH_BYTES)
    if column.null_count or known.null_count:
        raise ValueError("a record is missing")
    texts: list[str] = known.to_pylist()
    return [texts[place] for place in column.indices.to_pylist()]


def _vectors(column: pa.Array, space: CollectionSpec) -> Iterator[tuple[int, Vectors]]:
    """Yield the vectors of a column with their places; null is left out."""
    present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    if space.metric is Metric.HAMMING:
        packed = b"".join(value.as_py() for value in column if value.is_valid)
        matrix: Vectors = np.frombuffer(packed, np.uint8).reshape(-1, space.columns)
    else:
        numbers = column.flatten()  # without those of null
        if numbers.null_count:
            raise ValueError("a vector has no number in a place")
        matrix = numbers.to_numpy(zero_copy_only=False).reshape(-1, space.columns)
        if not np.isfinite(matrix).all():
            raise ValueError("a vector holds NaN or infinity")
    yield from zip(present.tolist(), matrix, strict=True)


def _check_length(name: str, length: int, most: int) -> None:
    if length > most:
        raise ValueError(f"{name}: {length:,} of at most {most:,}")
