"""Writing of an export as a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.tables import readable
from onnxsearch._internal.threads import batched
from onnxsearch.catalog.album_files import AlbumHeader, new_album_file
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.catalog import NewImage
from onnxsearch.catalog.exports.parquet_format import (
    KIND,
    RECORD,
    ROW_GROUP,
    VERSION,
    parquet_packages,
    schema_of,
    vector_column,
)
from onnxsearch.catalog.model_entries import encode_models
from onnxsearch.catalog.root import Root
from onnxsearch.catalog.serialization import encode_record
from onnxsearch.catalog.transfer import ImageSource
from onnxsearch.types import Metric, Progress

if TYPE_CHECKING:
    import pyarrow as pa

    from onnxsearch.vectors.base import CollectionSpec


def save_parquet(source: ImageSource, path: Path, progress: ProgressSink) -> int:
    """Write images with their vectors; return their number.

    Raises:
        InvalidArgumentError: `path` is a folder.
        MissingExtraError: pyarrow is not installed.
        StoreError: The file cannot be written, or a store failed.
    """
    _, pq = parquet_packages()
    report, total, number = reporter(progress), source.count(), 0
    spaces = {model: source.space(model) for model in sorted(source.models())}
    header = AlbumHeader(KIND, VERSION, spaces, Root(source.root()))
    schema = schema_of(header, encode_models(source.descriptions(), path.parent))
    # Vectors and records hardly repeat, so that a dictionary of them would only take time.
    with (
        new_album_file(path, KIND) as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        for batches in batched(source.batches(), ROW_GROUP // BATCH):
            items = list(chain.from_iterable(batches))
            writer.write_table(_table(items, header, schema))
            number += len(items)
            report(Progress(number, total))
    return number


def _table(items: Sequence[NewImage], header: AlbumHeader, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    records = [
        # A model that came while this was written has no column.
        replace(item.record, models=tuple(m for m in item.record.models if m in header.spaces))
        for item in items
    ]
    columns = [
        pa.array([readable(record.id) for record in records], pa.string()),
        pa.array([record.uri and readable(record.uri) for record in records], pa.string()),
        pa.array([json.dumps(record.metadata) for record in records], pa.string()),
        pa.array([encode_record(record, header.root).decode() for record in records], pa.string()),
        *(_vectors(items, model, space) for model, space in header.spaces.items()),
    ]
    assert schema.names == ["id", "uri", "metadata", RECORD, *map(vector_column, header.spaces)]
    return pa.Table.from_arrays(columns, schema=schema)


def _vectors(items: Sequence[NewImage], model: str, space: CollectionSpec) -> pa.Array:
    import pyarrow as pa

    if space.metric is Metric.HAMMING:
        rows = [item.vectors[model].tobytes() if model in item.vectors else None for item in items]
        return pa.array(rows, pa.binary(space.columns))
    matrix = np.zeros((len(items), space.columns), np.float32)
    missing = np.array([model not in item.vectors for item in items])
    for place, item in enumerate(items):
        if not missing[place]:
            matrix[place] = item.vectors[model]
    return pa.FixedSizeListArray.from_arrays(
        pa.array(matrix.ravel()), space.columns, mask=pa.array(missing)
    )
