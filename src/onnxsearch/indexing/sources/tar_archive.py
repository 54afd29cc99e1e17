"""Tar archives, compressed or not, read once from their beginning to their end.

`tarfile` is not used: it reads headers of any size that a file declares, expands bzip2 and xz
without a bound, and looks for seconds at some headers (CVE-2024-6232, CVE-2025-8194).
The format: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html and
https://www.gnu.org/software/tar/manual/html_node/Standard.html.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from onnxsearch.errors import BrokenImageError, UnsupportedImageError
from onnxsearch.images.formats import HEAD, has_image_name, looks_like_image
from onnxsearch.indexing.sources.members import Budget, MemberSelection
from onnxsearch.types import Item, Outcome

_BLOCK = 512
_CHUNK = 2**18

_MOST_HEADER = 2**20
"""Bytes of an extended header or of a long name, at most: 1 MiB."""

_MOST_XZ_MEMORY = 2**27
"""Bytes that the dictionary of an xz stream may take: twice what `xz -9` needs."""

_FILES = (b"\0", b"0", b"7")
_FOLDER, _LONG_NAME, _LONG_LINK, _PAX, _GLOBAL_PAX, _SPARSE = b"5", b"L", b"K", b"x", b"g", b"S"
_KINDS: Mapping[bytes, str] = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
}

_DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Header:
    """Header of one member, with what extended headers before it say."""

    name: str
    size: int
    kind: bytes
    sparse: bool = False


def is_tar(head: bytes) -> bool:
    """Return whether a file is a tar archive, by its first 512 bytes."""
    return len(head) >= _BLOCK and _checksum_fits(head[:_BLOCK])


def compression(head: bytes) -> str | None:
    """Return how a file is compressed, by its first bytes; None if it is not."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def tar_members(
    file: BinaryIO, selection: MemberSelection, budget: Budget
) -> Iterator[Item | Outcome]:
    """Yield the members of a tar archive, in order, with their bytes.

    Args:
        file: The archive, at its beginning.
        selection: Decides which members are taken.
        budget: How much of the archive is read.

    Raises:
        BrokenImageError: The archive is damaged or cut short; the members before were yielded.
        ImageTooLargeError: There are too many members, or they are too large together.
    """
    tar = _Tar(_decompressed(file, selection.archive), selection.archive, budget)
    while (header := tar.next_header()) is not None:
        yield from _member(tar, header, selection, budget)
        tar.skip()


def _member(
    tar: _Tar, header: _Header, selection: MemberSelection, budget: Budget
) -> Iterator[Item | Outcome]:
    name = header.name
    if header.kind == _FOLDER or (header.kind in _FILES and name.endswith("/")):
        return
    kind = None if header.kind in _FILES else _KINDS.get(header.kind, "of an unknown type")
    outcomes = selection.left_out(name, kind=None if header.sparse else kind)
    if outcomes is not None:
        yield from outcomes
    elif header.sparse:
        yield selection.refused(name, "is stored as a sparse file: unpack the archive first")
    elif (reason := budget.too_large(header.size)) is not None:
        yield selection.too_large(name, reason)
    else:
        head = tar.read(min(header.size, HEAD))
        if not looks_like_image(head) and not has_image_name(name):
            yield selection.skipped(name, "is not an image, by its content and by its name")
        else:
            uri = selection.uri(name)
            yield Item(head + tar.read(header.size - len(head)), uri=uri)


@dataclass(slots=True)
class _Tar:
    """Headers and contents of a tar archive, one after another."""

    stream: _Readable
    path: str
    budget: Budget
    _left: int = 0
    """Bytes of the current member that were not read yet, and its padding."""
    _global: dict[str, str] = field(default_factory=dict[str, str])

    def next_header(self) -> _Header | None:
        """Return the header of the next member; None at the end of the archive.

        Raises:
            BrokenImageError: There is no header where one has to be.
        """
        extended: dict[str, str] = {}
        while (block := self._take(_BLOCK, may_end=True)) and block.strip(b"\0"):
            if not _checksum_fits(block):
                raise self._damaged("a header has a wrong checksum")
            size, kind = self._number(block[124:136]), block[156:157]
            if kind in (_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL_PAX):
                self._extend(extended, kind, self._extension(size))
                continue
            header = self._header(block, {**self._global, **extended}, size)
            self._left = header.size + -header.size % _BLOCK
            return header
        return None

    def read(self, size: int) -> bytes:
        """Return the next bytes of the current member."""
        self._left -= size
        return self._take(size)

    def skip(self) -> None:
        """Go to the end of the current member."""
        while self._left:
            size = min(self._left, _CHUNK)
            self._left -= size
            self._take(size)

    def _header(self, block: bytes, extended: Mapping[str, str], size: int) -> _Header:
        name, prefix = _text(block[:100]), _text(block[345:500])
        if block[257:263] == b"ustar\0" and prefix:
            name = f"{prefix}/{name}"
        declared = extended.get("size")
        if declared is not None:
            if not declared.isdecimal() or len(declared) > 20:
                raise self._damaged(f"a size of {declared!r:.40}")
            size = int(declared)
        kind = block[156:157]
        # Links have a size in some archives, and no content.
        return _Header(
            name=extended.get("path", name),
            size=0 if kind in (b"1", b"2", b"3", b"4", _FOLDER, b"6") else size,
            kind=kind,
            sparse=kind == _SPARSE or any(key.startswith("GNU.sparse.") for key in extended),
        )

    def _extension(self, size: int) -> bytes:
        if size > _MOST_HEADER:
            raise self._damaged(f"a header of {size:,} bytes: expected at most {_MOST_HEADER:,}")
        return self._take(size + -size % _BLOCK)[:size]

    def _extend(self, extended: dict[str, str], kind: bytes, data: bytes) -> None:
        if kind == _LONG_NAME:
            extended["path"] = _text(data)
        elif kind != _LONG_LINK:
            (extended if kind == _PAX else self._global).update(self._pax(data))

    def _pax(self, data: bytes) -> Iterator[tuple[str, str]]:
        """Yield the records of an extended header: `length key=value`, ended by a line feed."""
        place = 0
        while place < len(data) and data[place]:
            digits, _, _ = data[place : place + 20].partition(b" ")
            length = int(digits) if digits.isdigit() else 0
            key, found, value = data[place + len(digits) + 1 : place + length - 1].partition(b"=")
            if not found or not 0 < length <= len(data) - place:
                raise self._damaged("an extended header cannot be read")
            yield key.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")
            place += length

    def _number(self, field: bytes) -> int:
        """Return a number: octal digits, or GNU's binary form for large ones."""
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        digits = field.strip(b" \0")
        if not all(digit in b"01234567" for digit in digits):
            raise self._damaged(f"a number of {digits!r:.40}")
        return int(digits or b"0", 8)

    def _take(self, size: int, *, may_end: bool = False) -> bytes:
        """Return exactly `size` bytes, or none at the end of the archive."""
        data = bytearray()
        try:
            while len(data) < size and (chunk := self.stream.read(min(size - len(data), _CHUNK))):
                data += chunk
        except _DAMAGE as error:
            raise self._damaged(str(error) or type(error).__name__) from error
        self.budget.spend(len(data))
        if len(data) < size and (data or not may_end):
            raise self._damaged("it is cut short")
        return bytes(data)

    def _damaged(self, reason: str) -> BrokenImageError:
        return BrokenImageError(f"{self.path!r} is damaged from here on: {reason}")


class _XZ:
    """An xz stream that is expanded in bounded memory; `lzma.LZMAFile` takes no limit."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = self._new()
        self._data = b""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end."""
        while True:
            if self._decoder.eof:
                # Further streams may follow, after padding.
                self._data = self._decoder.unused_data.lstrip(b"\0")
                while not self._data and (chunk := self._file.read(_CHUNK)):
                    self._data = chunk.lstrip(b"\0")
                if not self._data:
                    return b""
                self._decoder = self._new()
            if not self._data and self._decoder.needs_input:
                self._data = self._file.read(_CHUNK)
                if not self._data:
                    raise EOFError("the xz stream is cut short")
            expanded = self._decoder.decompress(self._data, size)
            self._data = b""
            if expanded:
                return expanded

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_MOST_XZ_MEMORY)


_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
)
_DECOMPRESSORS: Mapping[str, Callable[[BinaryIO], _Readable]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "bzip2": bz2.BZ2File,
    "xz": _XZ,
}


def _decompressed(file: BinaryIO, path: str) -> _Readable:
    head = file.read(_BLOCK)
    file.seek(0)
    method = compression(head)
    if method is None:
        return file
    if method not in _DECOMPRESSORS:
        raise UnsupportedImageError(
            f"{path!r} is compressed by {method}: expected gzip, bzip2, xz or none"
        )
    return _DECOMPRESSORS[method](file)


def _checksum_fits(block: bytes) -> bool:
    """Return whether the checksum in a header is the sum of its bytes, with blanks for it."""
    digits = block[148:156].strip(b" \0")
    if not digits or not all(digit in b"01234567" for digit in digits):
        return False
    return sum(block[:148]) + sum(block[156:]) + 8 * ord(" ") == int(digits, 8)


def _text(field: bytes) -> str:
    """Return a text that ends before its first NUL."""
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
