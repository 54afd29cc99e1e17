"""A catalog in one portable file.

It is a zip file, without compression, since vectors hardly shrink:

    manifest.json      format, version, number of pictures and of parts; of each model
                       its name, dimension, metric, fingerprint and folder
    00000.jsonl        records of the first 256 pictures, one a line, as JSON
    0/00000.npy        their vectors of the first model, one a row: those of the records
                       that list it, in their order
    1/00000.npy        of the second model; and so on

A file that comes from elsewhere can do no harm: sizes are looked at before anything
is read, arrays are read without pickle, and every value is checked.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch.closing import Closing
from onnxsearch.consistency import Item
from onnxsearch.embedders.base import check_name
from onnxsearch.errors import OnnxSearchError, StoreCorruptError, StoreError
from onnxsearch.progress import ProgressSink, reporter
from onnxsearch.records import check_id, check_metadata, decode_record, encode_record
from onnxsearch.transfer import BATCH, Source
from onnxsearch.types import Metric, Progress, Record
from onnxsearch.vectors.base import CollectionSpec

if TYPE_CHECKING:
    from onnxsearch.vectors.base import Vectors

_FORMAT = "onnxsearch snapshot"
_VERSION = 1
_MANIFEST = "manifest.json"
_MAX_TEXT = 64 * 2**20
"""Bytes of a manifest or of the records of a part, at most: 256 kB a record."""
_MAX_HEADER = 4096
"""Bytes that a .npy file may have beside its numbers."""


def save_snapshot(source: Source, path: Path, progress: ProgressSink) -> int:
    """Write the pictures of `source` to `path`; return how many.

    The file appears when it is whole.

    Raises:
        StoreError: The file cannot be written, or a store failed.
    """
    report, total, number, parts = reporter(progress), source.count(), 0, 0
    spaces: dict[str, CollectionSpec] = {}
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as file:
            for batch in source.batches():
                for model in (model for item in batch for model in item.vectors):
                    if model not in spaces:
                        spaces[model] = source.space(model)
                _write_part(file, parts, batch, list(spaces))
                number, parts = number + len(batch), parts + 1
                report(Progress(number, total))
            file.writestr(_MANIFEST, _manifest(spaces, number, parts))
        os.replace(unfinished, path)
    except OSError as error:
        raise StoreError(
            f"snapshot {str(path)!r} cannot be written ({error.strerror}): choose a place with "
            "room where this user may write"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return number


def _write_part(
    file: zipfile.ZipFile, part: int, batch: Sequence[Item], models: Sequence[str]
) -> None:
    file.writestr(f"{part:05}.jsonl", b"\n".join(encode_record(item.record) for item in batch))
    for folder, model in enumerate(models):
        rows = [item.vectors[model] for item in batch if model in item.vectors]
        if rows:
            buffer = io.BytesIO()
            np.save(buffer, np.stack(rows), allow_pickle=False)
            file.writestr(f"{folder}/{part:05}.npy", buffer.getbuffer())


def _manifest(spaces: Mapping[str, CollectionSpec], pictures: int, parts: int) -> str:
    models = [{**asdict(space), "name": name} for name, space in spaces.items()]
    values = {"format": _FORMAT, "version": _VERSION, "pictures": pictures, "parts": parts}
    return json.dumps({**values, "models": models}, indent=2)


class Snapshot(Closing):
    """A snapshot to read; a `Source`.

    Args:
        path: The file.

    Raises:
        StoreCorruptError: It is no snapshot, or damaged, or of a later version.
        StoreError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = zipfile.ZipFile(path)
        except OSError as error:
            raise StoreError(
                f"snapshot {str(path)!r} cannot be read: {error.strerror or error}"
            ) from error
        except zipfile.BadZipFile as error:
            raise self._corrupt("it is no zip file") from error
        try:
            with self._defects():
                self._read_manifest()
        except BaseException:
            self._file.close()
            raise

    def count(self) -> int:
        """Return how many pictures there are, as the manifest says."""
        return self._pictures

    def space(self, model: str) -> CollectionSpec:
        """Return what a collection for this model's vectors must hold."""
        return self._spaces[model]

    def batches(self) -> Iterator[list[Item]]:
        """Yield all pictures."""
        for part in range(self._parts):
            with self._defects():
                batch = self._part(part)
            yield batch

    def _read_manifest(self) -> None:
        values = json.loads(self._read(_MANIFEST, _MAX_TEXT))
        if values["format"] != _FORMAT:
            raise ValueError("its manifest is another format's")
        if values["version"] != _VERSION:
            raise StoreCorruptError(
                f"snapshot {str(self._path)!r} is of version {values['version']}, this "
                f"onnxsearch reads {_VERSION}: use the onnxsearch that wrote it"
            )
        self._pictures, self._parts = int(values["pictures"]), int(values["parts"])
        self._spaces: dict[str, CollectionSpec] = {}
        for model in values["models"]:
            self._spaces[check_name(model["name"])] = CollectionSpec(
                "snapshot", int(model["dimension"]), str(model["fingerprint"]),
                Metric(model["metric"]),
            )  # fmt: skip

    def _part(self, part: int) -> list[Item]:
        lines = self._read(f"{part:05}.jsonl", _MAX_TEXT).split(b"\n")
        if len(lines) > BATCH:
            raise ValueError(f"part {part} has {len(lines)} records")
        records = [self._checked(decode_record(line)) for line in lines]
        vectors: list[dict[str, Vectors]] = [{} for _ in records]
        for folder, (model, space) in enumerate(self._spaces.items()):
            holders = [n for n, record in enumerate(records) if model in record.models]
            if holders:
                matrix = self._matrix(f"{folder}/{part:05}.npy", space, len(holders))
                for n, vector in zip(holders, matrix, strict=True):
                    vectors[n][model] = vector
        return [
            Item(replace(record, models=tuple(found)), found)
            for record, found in zip(records, vectors, strict=True)
        ]

    def _checked(self, record: Record) -> Record:
        texts = (record.uri, record.content)
        numbers = (record.size, record.modified_ns)
        if not (
            all(text is None or isinstance(text, str) for text in texts)
            and all(number is None or type(number) is int for number in numbers)
            and set(record.models) <= self._spaces.keys()
        ):
            raise ValueError(f"its record of {record.id!r:.80} is not one of ours")
        if record.content is not None and len(bytes.fromhex(record.content)) != 16:
            raise ValueError(f"its record of {record.id!r:.80} has an unknown kind of hash")
        return replace(record, id=check_id(record.id), metadata=check_metadata(record.metadata))

    def _matrix(self, name: str, space: CollectionSpec, rows: int) -> Vectors:
        size = rows * space.columns * space.dtype.itemsize
        data = self._read(name, size + _MAX_HEADER)
        matrix: Vectors = np.load(io.BytesIO(data), allow_pickle=False)
        if matrix.shape != (rows, space.columns) or matrix.dtype != space.dtype:
            raise ValueError(f"{name} is {matrix.dtype} of shape {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise ValueError(f"{name} holds NaN or infinity")
        return matrix

    def _read(self, name: str, limit: int) -> bytes:
        # What a zip file says of a member's size is checked again by what is read.
        with self._file.open(name) as member:
            data = member.read(limit + 1)
        if len(data) > limit:
            raise ValueError(f"{name} is larger than {limit:,} bytes")
        return data

    @contextmanager
    def _defects(self) -> Iterator[None]:
        """Turn whatever a damaged or hostile file makes Python raise into our error."""
        try:
            yield
        except StoreCorruptError:
            raise
        except OSError as error:
            raise StoreError(f"snapshot {str(self._path)!r} cannot be read: {error}") from error
        except (
            ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError,
            OnnxSearchError, RecursionError, RuntimeError, TypeError, ValueError,
            zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise self._corrupt(str(error) or type(error).__name__) from error

    def _corrupt(self, why: str) -> StoreCorruptError:
        return StoreCorruptError(
            f"{str(self._path)!r} is no snapshot of onnxsearch, or a damaged one: {why}"
        )

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()
