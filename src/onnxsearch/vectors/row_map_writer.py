"""Writes the file of `onnxsearch.vectors.row_map`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch.errors import StoreCorruptError
from onnxsearch.vectors.base import CollectionSpec, Vectors
from onnxsearch.vectors.exact_search import Floats, euclidean_lengths
from onnxsearch.vectors.row_map import (
    CHECKED,
    Area,
    MapSizes,
    MapState,
    checksum,
    comparable,
    encode_header,
    key_bytes,
    regions,
    row_sums,
)
from onnxsearch.vectors.sketch import WIDE, Sketcher, sketcher_of

Batch: TypeAlias = "tuple[Sequence[str], Vectors, Sequence[str]]"
"""Keys, vectors and metadata of some rows."""

_BLOCK = 1 << 22
"""Bytes that are read at once."""
_SAMPLE = 4096
"""Rows of which the principal directions are computed."""
_WIDTH = 256
"""Numbers of a sketch of a row of more than `WIDE` numbers: to see how many it takes, all principal
directions would have to be found."""


class RowMapWriter:
    """Writes one file. Only keys and numbers of the rows are in memory, no vectors or texts."""

    def __init__(self, file: BinaryIO, state: MapState, spec: CollectionSpec, rows: int) -> None:
        self._file, self._state, self._spec, self._rows = file, state, spec, rows
        self._keys = np.empty((rows, 16), np.uint8)
        self._lengths: Floats = np.zeros(rows)
        self._sums = np.empty(rows, np.uint64)
        self._ends = np.empty(rows, np.uint64)

    def write(self, batches: Iterable[Batch]) -> None:
        """Write everything; the header comes last."""
        text_bytes = self._write_rows(batches)
        sketcher = self._sketcher()
        width = 0 if sketcher is None else sketcher.width
        sizes = MapSizes(self._rows, text_bytes, width)
        places = regions(self._spec, sizes)
        order = np.argsort(comparable(self._keys), kind="stable").astype(np.int64)
        columns: dict[str, NDArray[Any]] = {
            "keys": self._keys,
            "order": order,
            "lengths": self._lengths,
            "sums": self._sums,
            "ends": self._ends,
        }
        for name, column in columns.items():
            self._put(places[name].start, column)
        if sketcher is not None:
            self._put(places["basis"].start, sketcher.basis)
            self._write_sketches(sketcher, places)
        self._file.truncate(places["sketches"].end)
        checks = {name: self._checksum(places[name]) for name in CHECKED}
        self._put(0, np.frombuffer(encode_header(self._state, self._spec, sizes, checks), np.uint8))

    def _write_rows(self, batches: Iterable[Batch]) -> int:
        """Write vectors and texts; return the bytes of all texts."""
        places = regions(self._spec, MapSizes(self._rows, 0, 0))
        start = text_bytes = 0
        for keys, vectors, texts in batches:
            end = start + len(keys)
            if end > self._rows:
                break
            encoded = [text.encode() for text in texts]
            self._put(places["vectors"].start + start * vectors.strides[0], vectors)
            self._put(
                places["texts"].start + text_bytes, np.frombuffer(b"".join(encoded), np.uint8)
            )
            self._keys[start:end] = key_bytes(keys)
            self._sums[start:end] = row_sums(vectors)
            self._ends[start:end] = text_bytes + np.cumsum([len(text) for text in encoded])
            if self._spec.dtype == np.float32:
                self._lengths[start:end] = euclidean_lengths(vectors)
            self._look_at(start, vectors)
            text_bytes += sum(map(len, encoded))
            start = end
        if start != self._rows:
            raise StoreCorruptError(
                f"collection {self._spec.name!r} has another number of rows than its index says. "
                "Drop the collection and index again"
            )
        return text_bytes

    def _look_at(self, start: int, vectors: Vectors) -> None:
        """Look at the rows from a place on, for `_sketcher`."""

    def _sketcher(self) -> Sketcher | None:
        """Return what sketches the rows that were written; None if they have no sketches."""
        return None

    def _write_sketches(self, sketcher: Sketcher, places: dict[str, Area]) -> None:
        width = self._spec.columns * self._spec.dtype.itemsize
        step = max(1, _BLOCK // width)
        for start in range(0, self._rows, step):
            lengths = self._lengths[start : start + step]
            self._file.seek(places["vectors"].start + start * width)
            block = np.frombuffer(self._file.read(len(lengths) * width), self._spec.dtype)
            vectors = block.reshape(len(lengths), self._spec.columns)
            sketches = sketcher.of_rows(vectors, lengths)
            self._put(places["sketches"].start + start * sketches.strides[0], sketches)

    def _put(self, start: int, array: NDArray[Any]) -> None:
        self._file.seek(start)
        self._file.write(np.ascontiguousarray(array).data)

    def _checksum(self, region: Area) -> int:
        found = 0
        for block in self._read(region):
            found = checksum(block, found)
        return found

    def _read(self, region: Area) -> Iterator[bytes]:
        self._file.seek(region.start)
        left = region.end - region.start
        while left:
            block = self._file.read(min(left, _BLOCK))
            left -= len(block)
            yield block


class SketchingRowMapWriter(RowMapWriter):
    """Writes one file with sketches. A sample of the vectors is in memory too."""

    def __init__(self, file: BinaryIO, state: MapState, spec: CollectionSpec, rows: int) -> None:
        super().__init__(file, state, spec, rows)
        self._every = -(-rows // _SAMPLE)
        self._sample: list[Vectors] = []

    def _look_at(self, start: int, vectors: Vectors) -> None:
        self._sample.append(vectors[-start % self._every :: self._every].copy())

    def _sketcher(self) -> Sketcher | None:
        width = _WIDTH if self._spec.columns > WIDE else None
        return sketcher_of(self._spec.metric, self._lengths, np.concatenate(self._sample), width)


def write_row_map(
    path: str,
    state: MapState,
    spec: CollectionSpec,
    rows: int,
    batches: Iterable[Batch],
    writer: type[RowMapWriter] = SketchingRowMapWriter,
) -> None:
    """Write a new file that only its owner may read.

    Nobody waits until it is on disk: what a loss of power leaves out, the checksums show.

    Args:
        path: Where it is written; nothing may be there.
        state: What the rows are.
        spec: Specification of the collection.
        rows: Number of rows, at least 1.
        batches: The rows, each once.
        writer: Writes it; by default with sketches, where bounds are proved for them.

    Raises:
        OSError: It cannot be written. Nothing is left.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(handle, "w+b") as file:
            writer(file, state, spec, rows).write(batches)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
