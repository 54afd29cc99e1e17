"""A catalog in one portable file.

The file is a zip without compression, since vectors hardly shrink:

    manifest.json      format, version, number of images ("pictures") and of parts; of each
                       model its name, dimension, metric, fingerprint and folder; and the
                       root, if paths are stored relative to one
    models.json        how to make the models again, as an index remembers it
    00000.jsonl        records of the first images, one a line, as JSON: at most 256,
                       and at most 4 MiB
    0/00000.npy        their vectors of the first model, one a row: those of the records
                       that list it, in their order
    1/00000.npy        of the second model; and so on

A file from elsewhere can do no harm: sizes are checked before anything is read,
arrays are read as numbers only, and every value is checked.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.open_files import StoreFileError, is_store_file
from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.validation import integer
from onnxsearch.catalog.album_files import AlbumHeader, album_defects, new_album_file
from onnxsearch.catalog.batching import BATCH, BATCH_BYTES
from onnxsearch.catalog.catalog import NewImage
from onnxsearch.catalog.model_entries import decode_models, encode_models
from onnxsearch.catalog.root import Root
from onnxsearch.catalog.serialization import encode_record
from onnxsearch.catalog.snapshot_archive import (
    check_members,
    read_matrix,
    read_member,
    write_matrix,
    write_member,
)
from onnxsearch.catalog.transfer import ImageSource
from onnxsearch.types import Progress
from onnxsearch.vectors.base import CollectionSpec

if TYPE_CHECKING:
    from onnxsearch.embedders.description import ModelDescription
    from onnxsearch.vectors.base import Vectors

_VERSION = 1
_MANIFEST = "manifest.json"
_MODELS = "models.json"
_MAX_MANIFEST = 2**20
"""Bytes of a manifest, at most: thousands of models."""


def save_snapshot(source: ImageSource, path: Path, progress: ProgressSink) -> int:
    """Write the images of `source` to `path`; return how many.

    The file appears when it is whole. If several are saved to one path at the same time,
    the one that is finished last stays.

    Raises:
        InvalidArgumentError: `path` is a folder.
        StoreError: The file cannot be written, or a store failed.
    """
    with new_album_file(path, "snapshot") as file:
        return _write(source, file, path.parent, progress)


def _write(source: ImageSource, stream: BinaryIO, folder: Path, progress: ProgressSink) -> int:
    report, total, number, parts = reporter(progress), source.count(), 0, 0
    spaces: dict[str, CollectionSpec] = {}
    root = Root(source.root())
    with zipfile.ZipFile(stream, "w") as file:
        for batch in source.batches():
            for model in (model for item in batch for model in item.vectors):
                if model not in spaces:
                    spaces[model] = source.space(model)
            _write_part(file, parts, batch, list(spaces), root)
            number, parts = number + len(batch), parts + 1
            report(Progress(number, total))
        write_member(file, _MODELS, encode_models(source.descriptions(), folder))
        header = AlbumHeader("snapshot", _VERSION, spaces, root).as_json()
        values = header | {"pictures": number, "parts": parts}
        write_member(file, _MANIFEST, json.dumps(values, indent=2).encode("ascii"))
    return number


def _write_part(
    file: zipfile.ZipFile,
    part: int,
    batch: Sequence[NewImage],
    models: Sequence[str],
    root: Root,
) -> None:
    lines = b"\n".join(encode_record(item.record, root) for item in batch)
    write_member(file, f"{part:05}.jsonl", lines)
    for folder, model in enumerate(models):
        rows = [item.vectors[model] for item in batch if model in item.vectors]
        if rows:
            write_matrix(file, f"{folder}/{part:05}.npy", np.stack(rows))


class Snapshot(Closeable):
    """A snapshot to read; an `ImageSource`.

    Args:
        path: The file.

    Raises:
        StoreCorruptError: The file is not a snapshot, or damaged, or of a later version.
        StoreError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with album_defects(self._path, "snapshot"):
            if is_store_file(path):
                raise StoreFileError(str(path))
            self._file = zipfile.ZipFile(path)
        try:
            with album_defects(self._path, "snapshot"):
                check_members(self._file, os.path.getsize(path))
                self._read_manifest()
        except BaseException:
            self._file.close()
            raise

    def count(self) -> int:
        """Return the number of images that the manifest says."""
        return self._images

    def models(self) -> list[str]:
        """Return the models of the manifest."""
        return list(self._header.spaces)

    def space(self, model: str) -> CollectionSpec:
        """Return the specification of a collection for this model's vectors."""
        return self._header.spaces[model]

    def descriptions(self) -> list[ModelDescription]:
        """Return how to make the models again; of some, or all, it may not be known."""
        if _MODELS not in self._file.namelist():
            return []
        with album_defects(self._path, "snapshot"):
            data = read_member(self._file, _MODELS, _MAX_MANIFEST)
            return decode_models(data, self._path.parent)

    def root(self) -> str | None:
        """Return the root of the manifest."""
        return self._header.root.path

    def batches(self) -> Iterator[list[NewImage]]:
        """Yield all images."""
        images = 0
        for part in range(self._parts):
            with album_defects(self._path, "snapshot"):
                batch = self._part(part)
            images += len(batch)
            yield batch
        with album_defects(self._path, "snapshot"):
            if images != self._images:
                raise ValueError(f"it has {images} images, its manifest says {self._images}")

    def _read_manifest(self) -> None:
        values = json.loads(read_member(self._file, _MANIFEST, _MAX_MANIFEST))
        self._header = AlbumHeader.read(values, "snapshot", _VERSION, self._path)
        self._images = integer("pictures", values["pictures"], least=0)
        self._parts = integer("parts", values["parts"], least=0)
        parts = sum(name.endswith(".jsonl") for name in self._file.namelist())
        if self._parts != parts or not parts <= self._images <= BATCH * parts:
            raise ValueError(
                f"its manifest says {self._images} images in {self._parts} parts, and it has "
                f"{parts} parts"
            )

    def _part(self, part: int) -> list[NewImage]:
        name = f"{part:05}.jsonl"
        lines = read_member(self._file, name, BATCH_BYTES).split(b"\n")
        if len(lines) > BATCH:
            raise ValueError(f"{name} has {len(lines)} records")
        records = [self._header.record(line) for line in lines]
        vectors: list[dict[str, Vectors]] = [{} for _ in records]
        for folder, (model, space) in enumerate(self._header.spaces.items()):
            holders = [n for n, record in enumerate(records) if model in record.models]
            if holders:
                array = f"{folder}/{part:05}.npy"
                matrix = read_matrix(self._file, array, len(holders), space.columns, space.dtype)
                for n, vector in zip(holders, matrix, strict=True):
                    vectors[n][model] = vector
        return [
            NewImage(replace(record, models=tuple(found)), found)
            for record, found in zip(records, vectors, strict=True)
        ]

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()
