"""PNG files with more text or a larger ICC profile than Pillow accepts.

Pillow refuses a PNG whose text or ICC profile exceeds 1 MiB. Its limits are global to the
process and belong to the application. So Pillow reads such a file without these chunks,
and the data in them that the conversion needs are added to `Image.info`.
"""

from __future__ import annotations

import io
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, chain, pairwise
from typing import BinaryIO, NamedTuple, cast

from PIL import Image, PngImagePlugin

_MOST = 1 << 20  # Pillow's own limit for a chunk, unless the application changed it
_MOST_KEPT = 16 << 20
"""Bytes of an ICC profile or XMP packet, at most; larger ones are ignored."""

_MOST_OMITTED = 10_000  # separate ranges of chunks

_SIGNATURE = 8
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    """Offset of the chunk: its length, kind, data and checksum."""
    length: int
    """Bytes of data."""

    @property
    def stop(self) -> int:
        return self.start + 8 + self.length + 4


def open_png(file: BinaryIO) -> Image.Image:
    """Open a PNG file without decoding it, however much text or ICC profile it has."""
    limit = min(_MOST, PngImagePlugin.MAX_TEXT_CHUNK)
    left = limit
    kept: dict[str, bytes | str] = {}
    omitted: list[tuple[int, int]] = []
    for chunk in _chunks(file):
        if chunk.kind == b"iCCP":
            if _size(file, chunk, limit) is None:
                _omit(omitted, chunk)
                kept["icc_profile"] = _content(file, chunk, _MOST_KEPT)
        elif chunk.kind in _TEXTS:
            size = _size(file, chunk, left)
            if size is not None:
                left -= size
                continue
            _omit(omitted, chunk)
            if _data(file, chunk, len(_XMP)).startswith(_XMP):
                # As text under the name that every version of Pillow looks for.
                kept[_XMP.decode()] = _content(file, chunk, _MOST_KEPT).decode("utf-8", "replace")
    file.seek(0)
    source = cast("BinaryIO", _Buffered(_Without(file, omitted))) if omitted else file
    image = Image.open(source)
    image.info.update({key: value for key, value in kept.items() if value})
    return image


def _omit(omitted: list[tuple[int, int]], chunk: _Chunk) -> None:
    """Add a chunk to the ranges (start, stop) to leave out, which follow one another."""
    if omitted and omitted[-1][1] == chunk.start:
        omitted[-1] = omitted[-1][0], chunk.stop
        return
    if len(omitted) == _MOST_OMITTED:
        raise OSError("the PNG is all text")
    omitted.append((chunk.start, chunk.stop))


def _chunks(file: BinaryIO) -> Iterator[_Chunk]:
    """Yield the chunks of a PNG, as far as they are there. The file may be moved meanwhile."""
    start = _SIGNATURE
    while True:
        file.seek(start)
        header = file.read(8)
        if len(header) < 8:
            return
        chunk = _Chunk(header[4:], start, int.from_bytes(header[:4], "big"))
        yield chunk
        if chunk.kind == b"IEND":
            return
        start = chunk.stop


def _size(file: BinaryIO, chunk: _Chunk, most: int) -> int | None:
    """Return how many bytes a text or profile has in memory, None if more than `most`."""
    content = _content(file, chunk, most + 1)
    # A chunk that cannot be read has no content: Pillow reports or ignores it.
    return len(content) if len(content) <= most else None


def _content(file: BinaryIO, chunk: _Chunk, most: int) -> bytes:
    """Return the first `most` bytes of a text or profile, decompressed."""
    # Where even the compressed data exceed the limit, its beginning is all that is needed.
    data = _data(file, chunk, most + 4096)
    _keyword, _, rest = data.partition(b"\0")
    if chunk.kind == b"tEXt":
        return rest[:most]
    if chunk.kind != b"iTXt":
        return _inflated(rest[1:], most)  # after the method of compression
    compressed = rest[:1] == b"\1"
    _language, _, rest = rest[2:].partition(b"\0")
    _translated, _, text = rest.partition(b"\0")
    return _inflated(text, most) if compressed else text[:most]


def _data(file: BinaryIO, chunk: _Chunk, most: int) -> bytes:
    file.seek(chunk.start + 8)
    return file.read(min(chunk.length, most))


def _inflated(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""


class _Buffered(io.BufferedReader):
    """A reader that allocates memory for the bytes of the file, not for the length in a chunk."""

    def __init__(self, file: _Without) -> None:
        super().__init__(file)
        self._length = file.length

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(0, self._length - self.tell())
        return super().read(rest if size is None or size < 0 else min(size, rest))


class _Without(io.RawIOBase):
    """A file to read, without some ranges (start, stop) of its bytes."""

    def __init__(self, file: BinaryIO, omitted: list[tuple[int, int]]) -> None:
        self._file = file
        end = file.seek(0, io.SEEK_END)
        edges = [0, *chain.from_iterable(omitted), end]
        self._parts = [
            (start, min(stop, end)) for start, stop in list(pairwise(edges))[::2] if start < end
        ]
        lengths = (stop - start for start, stop in self._parts)
        self._offsets = list(accumulate(lengths, initial=0))
        self._position = 0
        self.length = self._offsets[-1]
        """Bytes of the file without the ranges."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = bisect_right(self._offsets, self._position) - 1
        if part >= len(self._parts):
            return 0
        start, _stop = self._parts[part]
        self._file.seek(start + self._position - self._offsets[part])
        rest = self._offsets[part + 1] - self._position
        data = self._file.read(min(len(buffer), rest))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
