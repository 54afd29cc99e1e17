"""The Parquet file of an export: its columns, and what its schema says of itself.

    id, uri          the id and the path of an image; what is not UTF-8 is escaped
    metadata         the metadata as JSON
    record           the record as JSON, which is all that is read back of these
    vector.NAME      the vector of the model NAME, or null: a list of float32, or for
                     `Metric.HAMMING` packed bits

The metadata of the schema are an `AlbumHeader` as JSON ("onnxsearch"), and how to make the
models again ("onnxsearch.models"). A row group has at most 1,024 images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from onnxsearch.errors import MissingExtraError
from onnxsearch.types import Metric

if TYPE_CHECKING:
    import pyarrow as pa

    from onnxsearch.catalog.album_files import AlbumHeader
    from onnxsearch.vectors.base import CollectionSpec

KIND, VERSION = "export", 1
HEADER, MODELS = b"onnxsearch", b"onnxsearch.models"
RECORD = "record"
ROW_GROUP = 1024
"""Images in a row group, at most: some 10 MB of vectors are in memory at once."""


def parquet_packages() -> tuple[ModuleType, ModuleType]:
    """Return `pyarrow` and `pyarrow.parquet`.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_package("pyarrow", extra="arrow") from error
    return pa, pq


def vector_column(model: str) -> str:
    """Return the name of the column that holds the vectors of a model."""
    return f"vector.{model}"


def schema_of(header: AlbumHeader, models: bytes) -> pa.Schema:
    """Return the schema of an export."""
    pa, _ = parquet_packages()
    columns = {
        "id": pa.string(),
        "uri": pa.string(),
        "metadata": pa.string(),
        RECORD: pa.string(),
        **vector_types(header.spaces),
    }
    metadata = {HEADER: json.dumps(header.as_json()).encode("ascii"), MODELS: models}
    return pa.schema(list(columns.items()), metadata)


def vector_types(spaces: Mapping[str, CollectionSpec]) -> dict[str, pa.DataType]:
    """Return the type of each column of vectors."""
    pa, _ = parquet_packages()
    return {
        vector_column(model): pa.binary(space.columns)
        if space.metric is Metric.HAMMING
        else pa.list_(pa.float32(), space.columns)
        for model, space in spaces.items()
    }
