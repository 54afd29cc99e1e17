"""Which form an export has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from onnxsearch._internal.paths import target_path
from onnxsearch.catalog.exports.parquet_writer import save_parquet
from onnxsearch.catalog.exports.text_writer import save_csv, save_jsonl
from onnxsearch.catalog.listing import Records
from onnxsearch.catalog.transfer import CatalogSource
from onnxsearch.errors import InvalidArgumentError

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.filters import Filter


def save_export(
    catalog: Catalog, path: str | os.PathLike[str], filter: Filter | None, progress: ProgressSink
) -> int:
    """Write the images that match a filter in the form of the file's ending; return their number.

    Raises:
        InvalidArgumentError: The path is none, a folder, or has another ending.
        MissingExtraError: Parquet needs pyarrow, and it is not installed.
        StoreError: The file cannot be written, or a store failed.
    """
    target = target_path(path)
    records = Records(catalog.records, filter, "id")
    match target.suffix.lower():
        case ".parquet":
            return save_parquet(CatalogSource(catalog, filter), target, progress)
        case ".csv":
            return save_csv(records, target, progress)
        case ".jsonl":
            return save_jsonl(records, target, progress)
    raise InvalidArgumentError(
        f"path {str(target)!r}: expected a file that ends in .parquet (records and vectors), .csv "
        "or .jsonl (records)"
    )
