"""Rows of a collection in a file that is mapped into memory.

The file is a copy of what the database held at one moment, and can be deleted at any
time. It is written once, under a name of its own, and never changed. It counts only if
the database names its token, which is written after the file. So a process that is
killed while it writes leaves a file that nobody opens.

The file has a header of one page, then regions that begin at pages: vectors, keys, the
order of the keys, lengths, sums, ends of texts, texts, basis, sketches. The header holds
a checksum of itself and of each region but the vectors, whose checksums are the sums.
All of these are compared before anything is used. Numbers are in the byte order of the
machine; a file of another machine has an unknown version, and is not used.
"""

from __future__ import annotations

import mmap
import os
import struct
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsearch.vectors.base import CollectionSpec, Vectors
from onnxsearch.vectors.exact_search import Floats, Positions, Ranks
from onnxsearch.vectors.sketch import Sketcher, directions

_MAGIC = b"onnxrows"
_VERSION = 1
_HEADER = struct.Struct("=8sI16s8q8I")
_CHECK = struct.Struct("=I")
_PAGE = 4096
_BLOCK = 1 << 22
"""Bytes that are checked at once."""
_FEW = 8192
"""Rows that are read one by one before rows are read through the mapping."""
CHECKED = ("keys", "order", "lengths", "sums", "ends", "texts", "basis", "sketches")
"""Regions of which the header holds a checksum, in this order."""


class DamagedMapError(Exception):
    """The file is not what was written, or is not there."""


class MapState(NamedTuple):
    """What a file holds: a collection, with all changes up to two numbers."""

    token: bytes
    """16 random bytes, which the database names if the file is complete."""
    collection: int
    stored: int
    """The last change of a row that is included."""
    removed: int
    """The last removal that is included."""


class MapSizes(NamedTuple):
    """The numbers on which the places of the regions depend."""

    rows: int
    text_bytes: int
    sketch_width: int
    """Numbers of a sketch; 0 if the file has none."""


class Area(NamedTuple):
    """A part of the file: an array, and zeros up to the end of a page."""

    start: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        """Where the next region begins."""
        size = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        return self.start + -(-size // _PAGE) * _PAGE


class KeyColumn(Sequence[str]):
    """Keys, each kept as 16 bytes."""

    def __init__(self, raw: NDArray[np.uint8]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]  # single places only
        key: bytes = self._raw[place].tobytes()
        return key.hex()

    def take(self, places: Positions) -> KeyColumn:
        """Return the keys at some places."""
        return KeyColumn(self._raw[places])


class RowMap:
    """The rows of one collection in a file.

    A file that is deleted stays readable until the object is dropped.

    Raises:
        DamagedMapError: The file is missing, of another state, or damaged.
    """

    def __init__(self, path: str, token: bytes, collection: int, spec: CollectionSpec) -> None:
        try:
            self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            weakref.finalize(self, os.close, self._handle)
            header = os.read(self._handle, _PAGE)
            self._view = memoryview(mmap.mmap(self._handle, 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # ValueError: it is empty
            raise DamagedMapError(f"{path}: {error}") from error
        self.state, sizes, self._checks = _decode(header, spec)
        if (token, collection) != (self.state.token, self.state.collection):
            raise DamagedMapError(f"{path} is not the file that the database names")
        self._regions = regions(spec, sizes)
        if len(self._view) != self._regions["sketches"].end:
            raise DamagedMapError(f"{path} has {len(self._view)} bytes")
        self.rows = sizes.rows
        self._is_checked = False
        self._read_so_far = 0
        self._vectors: Vectors = self._unchecked("vectors")
        self._raw_keys = self._array("keys")
        self._sorted_by: Positions = self._array("order")
        self._sums = self._array("sums")
        self.keys = KeyColumn(self._raw_keys)
        self.lengths: Floats = self._array("lengths")
        self.sketches: Ranks = self._array("sketches")
        basis: Floats = self._array("basis")
        self.sketcher = Sketcher(spec.metric, basis) if len(basis) else None

    def take(self, places: Positions) -> Vectors:
        """Return copies of the vectors at some places, (len(places), columns).

        Raises:
            DamagedMapError: One is not what was written.
        """
        vectors = self._read(places)
        if not np.array_equal(row_sums(vectors), self._sums[places]):
            raise DamagedMapError("a vector in the file has changed")
        return vectors

    def _read(self, places: Positions) -> Vectors:
        self._read_so_far += len(places)
        if self._read_so_far > _FEW or not hasattr(os, "pread"):  # Windows has none
            return self._vectors.take(places, axis=0)
        # Each access through the mapping maps what the kernel holds around a row, up to 2 MiB, and
        # soon all of the file counts as memory of this process. Only many searches gain by it.
        width, start = self._vectors.strides[0], self._regions["vectors"].start
        try:
            rows = [os.pread(self._handle, width, at) for at in (start + width * places).tolist()]
            vectors: Vectors = np.frombuffer(b"".join(rows), self._vectors.dtype)
            return vectors.reshape(len(places), self._vectors.shape[1])
        except (OSError, ValueError) as error:
            raise DamagedMapError(f"the file cannot be read: {error}") from error

    def all_vectors(self) -> Vectors:
        """Return the vectors of all rows, (rows, columns), without a copy.

        Raises:
            DamagedMapError: One is not what was written.
        """
        if not self._is_checked:
            step = max(1, _BLOCK // self._vectors.strides[0])
            for start in range(0, self.rows, step):
                part = slice(start, start + step)
                if not np.array_equal(row_sums(self._vectors[part]), self._sums[part]):
                    raise DamagedMapError("a vector in the file has changed")
            self._is_checked = True
        return self._vectors

    def places(self, keys: Sequence[str]) -> Positions:
        """Return the places of the keys that the file holds, in any order."""
        wanted = comparable(key_bytes(keys))
        stored = comparable(self._raw_keys)
        ranks = np.searchsorted(stored, wanted, sorter=self._sorted_by)
        places = self._sorted_by[np.minimum(ranks, self.rows - 1)]
        found: Positions = places[stored[places] == wanted]
        return found

    def texts(self) -> Iterator[str]:
        """Yield the metadata of each row, as JSON text.

        Raises:
            DamagedMapError: They are not what was written.
        """
        ends = self._array("ends")
        texts = self._array("texts").tobytes()
        if len(ends) and (ends[-1] != len(texts) or (ends[1:] < ends[:-1]).any()):
            raise DamagedMapError("the metadata in the file have changed")
        start = 0
        for end in ends.tolist():
            yield texts[start:end].decode()
            start = end

    def _array(self, name: str) -> NDArray[Any]:
        region = self._regions[name]
        if checksum(self._view[region.start : region.end]) != self._checks[name]:
            raise DamagedMapError(f"the {name} in the file have changed")
        return self._unchecked(name)

    def _unchecked(self, name: str) -> NDArray[Any]:
        region = self._regions[name]
        count = int(np.prod(region.shape, dtype=np.int64))
        found = np.frombuffer(self._view[region.start : region.end], region.dtype, count)
        return found.reshape(region.shape)


def regions(spec: CollectionSpec, sizes: MapSizes) -> dict[str, Area]:
    """Return the regions of a file, in order."""
    rows, width = sizes.rows, sizes.sketch_width
    basis = (directions(width), spec.columns) if width else (0, 0)
    arrays: dict[str, tuple[type[np.generic] | np.dtype[Any], tuple[int, ...]]] = {
        "vectors": (spec.dtype, (rows, spec.columns)),
        "keys": (np.uint8, (rows, 16)),
        "order": (np.int64, (rows,)),
        "lengths": (np.float64, (rows,)),
        "sums": (np.uint64, (rows,)),
        "ends": (np.uint64, (rows,)),
        "texts": (np.uint8, (sizes.text_bytes,)),
        "basis": (np.float64, basis),
        "sketches": (np.float32, (rows, width)),
    }
    found: dict[str, Area] = {}
    start = _PAGE
    for name, (dtype, shape) in arrays.items():
        found[name] = Area(start, np.dtype(dtype), shape)
        start = found[name].end
    return found


def encode_header(
    state: MapState, spec: CollectionSpec, sizes: MapSizes, checks: Mapping[str, int]
) -> bytes:
    """Return the first page of a file."""
    numbers = (state.collection, state.stored, state.removed, spec.columns, spec.dtype.itemsize)
    sums = (checks[name] for name in CHECKED)
    header = _HEADER.pack(_MAGIC, _VERSION, state.token, *numbers, *sizes, *sums)
    return (header + _CHECK.pack(zlib.crc32(header))).ljust(_PAGE, b"\0")


def _decode(header: bytes, spec: CollectionSpec) -> tuple[MapState, MapSizes, dict[str, int]]:
    size = _HEADER.size
    if len(header) < _PAGE or _CHECK.unpack_from(header, size)[0] != zlib.crc32(header[:size]):
        raise DamagedMapError("the file has no whole header")
    magic, version, token, *numbers = _HEADER.unpack_from(header)
    kind = (magic, version, *numbers[3:5])
    if kind != (_MAGIC, _VERSION, spec.columns, spec.dtype.itemsize):
        raise DamagedMapError("the file is of another kind, version or collection")
    checks: dict[str, int] = dict(zip(CHECKED, numbers[8:], strict=True))
    return MapState(token, *numbers[:3]), MapSizes(*numbers[5:8]), checks


def checksum(pages: bytes | memoryview, before: int = 0) -> int:
    """Return a checksum of whole pages that follow others.

    The CRC of the pages' sums: as fast as memory, and it notices pages that are missing,
    empty or out of place.
    """
    sums = np.frombuffer(pages, np.uint64).reshape(-1, _PAGE // 8).sum(axis=1)
    return zlib.crc32(sums.tobytes(), before)


def row_sums(vectors: Vectors) -> NDArray[np.uint64]:
    """Return a checksum of each row: the sum of its bytes as numbers, 8 at a time if it can be."""
    width = vectors.shape[1] * vectors.dtype.itemsize
    whole = np.ascontiguousarray(vectors).view(np.uint64 if width % 8 == 0 else np.uint8)
    sums: NDArray[np.uint64] = whole.sum(axis=1, dtype=np.uint64)
    return sums


def key_bytes(keys: Sequence[str]) -> NDArray[np.uint8]:
    """Return keys as bytes, (n, 16)."""
    return np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(-1, 16)


def comparable(raw: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Return keys of 16 bytes as values that numpy sorts."""
    # numpy ignores zeros at the end, which makes no two keys equal, since all are as long.
    found: NDArray[np.bytes_] = raw.view("S16").reshape(len(raw))
    return found
