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
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.new_file import new_file
from onnxsearch._internal.open_files import StoreFileError, is_store_file
from onnxsearch._internal.paths import target_path
from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.validation import check_name, integer
from onnxsearch.catalog.batching import BATCH, BATCH_BYTES
from onnxsearch.catalog.catalog import NewImage
from onnxsearch.catalog.keys import check_id
from onnxsearch.catalog.model_entries import decode_models, encode_models
from onnxsearch.catalog.root import NO_ROOT, Root
from onnxsearch.catalog.serialization import check_metadata, decode_record, encode_record
from onnxsearch.catalog.snapshot_archive import (
    check_members,
    read_matrix,
    read_member,
    write_matrix,
    write_member,
)
from onnxsearch.catalog.transfer import ImageSource
from onnxsearch.errors import InvalidArgumentError, OnnxSearchError, StoreCorruptError, StoreError
from onnxsearch.types import Metric, Progress, Record
from onnxsearch.vectors.base import CollectionSpec

if TYPE_CHECKING:
    from onnxsearch.embedders.description import ModelDescription
    from onnxsearch.vectors.base import Vectors

_FORMAT = "onnxsearch snapshot"
_VERSION = 1
_MANIFEST = "manifest.json"
_MODELS = "models.json"
_MAX_MANIFEST = 2**20
"""Bytes of a manifest, at most: thousands of models."""
_MAX_PATH = 2**15
"""Characters of a path, at most: the longest that an operating system has."""
_CONTENT = re.compile("[0-9a-f]{32}")


def save_snapshot(source: ImageSource, path: Path, progress: ProgressSink) -> int:
    """Write the images of `source` to `path`; return how many.

    The file appears when it is whole. If several are saved to one path at the same time,
    the one that is finished last stays.

    Raises:
        InvalidArgumentError: `path` is a folder.
        StoreError: The file cannot be written, or a store failed.
    """
    if os.path.isdir(path):
        raise InvalidArgumentError(f"snapshot {str(path)!r} is a folder: expected a file's path")
    try:
        with new_file(path) as file:
            return _write(source, file, path.parent, progress)
    except OSError as error:
        raise StoreError(
            f"snapshot {str(path)!r} cannot be written ({error.strerror or error}): choose a "
            "place with room where this user may write"
        ) from error


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
        write_member(file, _MANIFEST, _manifest(spaces, root, number, parts))
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


def _manifest(spaces: Mapping[str, CollectionSpec], root: Root, images: int, parts: int) -> bytes:
    models = [
        {
            "name": name,
            "dimension": space.dimension,
            "fingerprint": space.fingerprint,
            "metric": space.metric.value,
        }
        for name, space in spaces.items()
    ]
    values: dict[str, object] = {
        "format": _FORMAT,
        "version": _VERSION,
        "pictures": images,
        "parts": parts,
    }
    values |= {} if root.path is None else {"root": root.path}
    return json.dumps({**values, "models": models}, indent=2).encode("ascii")


def _root_of(path: object) -> Root:
    """Return the root of a manifest; it may be a path of another operating system."""
    if path is None:
        return NO_ROOT
    if not isinstance(path, str) or len(path) > _MAX_PATH:
        raise ValueError("its root is not a path")
    target_path(path, "root")
    return Root(path)


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
        with self._defects():
            if is_store_file(path):
                raise StoreFileError(str(path))
            self._file = zipfile.ZipFile(path)
        try:
            with self._defects():
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
        return list(self._spaces)

    def space(self, model: str) -> CollectionSpec:
        """Return the specification of a collection for this model's vectors."""
        return self._spaces[model]

    def descriptions(self) -> list[ModelDescription]:
        """Return how to make the models again; of some, or all, it may not be known."""
        if _MODELS not in self._file.namelist():
            return []
        with self._defects():
            data = read_member(self._file, _MODELS, _MAX_MANIFEST)
            return decode_models(data, self._path.parent)

    def root(self) -> str | None:
        """Return the root of the manifest."""
        return self._root.path

    def batches(self) -> Iterator[list[NewImage]]:
        """Yield all images."""
        images = 0
        for part in range(self._parts):
            with self._defects():
                batch = self._part(part)
            images += len(batch)
            yield batch
        if images != self._images:
            raise self._corrupt(f"it has {images} images, its manifest says {self._images}")

    def _read_manifest(self) -> None:
        values = json.loads(read_member(self._file, _MANIFEST, _MAX_MANIFEST))
        if values["format"] != _FORMAT:
            raise ValueError("its manifest is of another format")
        if values["version"] != _VERSION:
            raise StoreCorruptError(
                f"snapshot {str(self._path)!r} is of version {values['version']!r:.20}, this "
                f"onnxsearch reads {_VERSION}: use the onnxsearch that wrote it"
            )
        self._root = _root_of(values.get("root"))
        self._images = integer("pictures", values["pictures"], least=0)
        self._parts = integer("parts", values["parts"], least=0)
        parts = sum(name.endswith(".jsonl") for name in self._file.namelist())
        if self._parts != parts or not parts <= self._images <= BATCH * parts:
            raise ValueError(
                f"its manifest says {self._images} images in {self._parts} parts, and it has "
                f"{parts} parts"
            )
        self._spaces: dict[str, CollectionSpec] = {}
        for model in values["models"]:
            name = check_name(model["name"])
            if name in self._spaces:
                raise ValueError(f"its manifest names model {name!r} twice")
            self._spaces[name] = CollectionSpec(
                "snapshot",
                integer("dimension", model["dimension"], least=1),
                str(model["fingerprint"]),
                Metric(model["metric"]),
            )

    def _part(self, part: int) -> list[NewImage]:
        name = f"{part:05}.jsonl"
        lines = read_member(self._file, name, BATCH_BYTES).split(b"\n")
        if len(lines) > BATCH:
            raise ValueError(f"{name} has {len(lines)} records")
        records = [self._record(name, line) for line in lines]
        vectors: list[dict[str, Vectors]] = [{} for _ in records]
        for folder, (model, space) in enumerate(self._spaces.items()):
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

    def _record(self, name: str, line: bytes) -> Record:
        try:
            record = decode_record(line, self._root.absolute)
        except StoreCorruptError as error:
            raise ValueError(f"{name} has {line[:60]!r} where a record was expected") from error
        if not set(record.models) <= self._spaces.keys():
            raise ValueError(f"its record of {record.id!r:.80} lists a model without vectors")
        if record.content is not None and not _CONTENT.fullmatch(record.content):
            raise ValueError(f"its record of {record.id!r:.80} has an unknown kind of hash")
        return replace(record, id=check_id(record.id), metadata=check_metadata(record.metadata))

    @contextmanager
    def _defects(self) -> Iterator[None]:
        """Turn whatever a damaged or hostile file makes Python raise into one of our errors."""
        try:
            yield
        except StoreCorruptError:
            raise
        except OSError as error:
            raise StoreError(
                f"snapshot {str(self._path)!r} cannot be read: {error.strerror or error}"
            ) from error
        except (
            ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError,
            OnnxSearchError, RecursionError, RuntimeError, TypeError, ValueError,
            zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise self._corrupt(str(error) or type(error).__name__) from error

    def _corrupt(self, why: str) -> StoreCorruptError:
        return StoreCorruptError(
            f"{str(self._path)!r} is not a snapshot of onnxsearch, or is damaged: {why}"
        )

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()
