"""Zip archives: their members in the order of the directory, each read on its own.

`zipfile` reads the directory. The members are inflated here, so that any thread reads one from
a descriptor of its own, and none is inflated beyond its declared size.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import BinaryIO

from onnxsearch.errors import BrokenImageError, ImageError, ImageTooLargeError
from onnxsearch.images.formats import has_image_name
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.sources.files import check_head, open_source
from onnxsearch.indexing.sources.members import MOST_MEMBERS, Budget, MemberSelection
from onnxsearch.types import Item, Outcome

_LOCAL_HEADER = 30
"""Bytes of a local file header without its two variable fields, APPNOTE.TXT 4.3.7."""
_SIGNATURE = b"PK\x03\x04"
_ENTRY = b"PK\x01\x02"

_MOST_DIRECTORY = 2**27
"""Bytes of a central directory, at most: 128 MiB hold a million members with names of 88."""

_ENCRYPTED = 0x1
_UNIX = 3
_CHUNK = 2**18

_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}

_DAMAGE = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,  # also of names in no encoding
    NotImplementedError,  # a version to come
    struct.error,
)


@dataclass(frozen=True, slots=True)
class _Member:
    """Where the bytes of a member are."""

    archive: str
    archive_size: int
    uri: str
    offset: int
    stored: int
    """Bytes in the archive."""
    size: int
    crc: int
    deflated: bool


def zip_members(
    file: BinaryIO, selection: MemberSelection, budget: Budget
) -> Iterator[Item | Outcome]:
    """Yield the members of a zip archive; a worker reads each when it is needed.

    Args:
        file: The archive; only its directory is read.
        selection: Decides which members are taken.
        budget: How much of the archive is read.

    Raises:
        BrokenImageError: The directory is damaged.
        ImageTooLargeError: There are too many members, or they are too large together.
    """
    entries = [entry for entry in _directory(file, selection.archive) if not entry.is_dir()]
    overlapping = _overlapping(entries)
    for entry in entries:
        name = entry.filename
        outcomes = selection.left_out(name, kind=_kind(entry))
        if outcomes is not None:
            yield from outcomes
        elif (reason := _unreadable(entry, overlaps=id(entry) in overlapping)) is not None:
            yield selection.refused(name, reason)
        elif (reason := budget.too_large(entry.file_size, entry.compress_size)) is not None:
            yield selection.too_large(name, reason)
        else:
            budget.spend(entry.file_size)
            yield _entry(file, _member(entry, selection, budget))


def _member(entry: zipfile.ZipInfo, selection: MemberSelection, budget: Budget) -> _Member:
    return _Member(
        archive=selection.archive,
        archive_size=budget.archive_size,
        uri=selection.uri(entry.filename),
        offset=entry.header_offset,
        stored=entry.compress_size,
        size=entry.file_size,
        crc=entry.CRC,
        deflated=entry.compress_type == zipfile.ZIP_DEFLATED,
    )


def _entry(file: BinaryIO, member: _Member) -> Item | Outcome:
    """Return the item of a member, or an outcome if it is not an image."""
    if not has_image_name(member.uri):
        try:
            head = next(_content(file, member), b"")
            check_head(head, member.uri, member.uri)
        except ImageError as error:
            return failure(member.uri, error, named=False)
    return Item(partial(_read, member), uri=member.uri)


class _DirectoryFile(io.BufferedIOBase):
    """A zip archive for `zipfile`, which reads the directory at once, whatever its size."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        left = os.fstat(self._file.fileno()).st_size - self._file.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        data = self._file.read(min(wanted, _MOST_DIRECTORY))
        if wanted > _MOST_DIRECTORY or data.count(_ENTRY) > MOST_MEMBERS:
            raise ImageTooLargeError(
                f"the directory of {self._path!r} has more than {_MOST_DIRECTORY:,} bytes or "
                f"{MOST_MEMBERS:,} members: the archive is not read"
            )
        return data


def _directory(file: BinaryIO, path: str) -> Sequence[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(_DirectoryFile(file, path)) as archive:
            return archive.infolist()
    except _DAMAGE as error:
        raise BrokenImageError(f"the directory of {path!r} is damaged: {error}") from error


def _overlapping(entries: Sequence[zipfile.ZipInfo]) -> set[int]:
    """Return the identities (`id`) of entries whose bytes belong to another one too.

    A bomb refers to the same bytes many times: https://www.bamsoftware.com/hacks/zipbomb/
    """
    found: set[int] = set()
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            found.add(id(entry))
        end = max(end, entry.header_offset + _LOCAL_HEADER + entry.compress_size)
    return found


def _kind(entry: zipfile.ZipInfo) -> str | None:
    """Return what an entry is, None for a file."""
    mode = entry.external_attr >> 16 if entry.create_system == _UNIX else 0
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return None if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "a device, pipe or socket"


def _unreadable(entry: zipfile.ZipInfo, *, overlaps: bool) -> str | None:
    """Return why an entry cannot be read; None if it can."""
    if overlaps:
        return "shares its bytes with another member, as in a bomb"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted: decrypt the archive first"
    method = entry.compress_type
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by {_METHODS.get(method, f'method {method}')}: expected deflate"
    return None


def _read(member: _Member) -> bytes:
    """Return the bytes of a member.

    Raises:
        ImageError: It cannot be read.
    """
    with open_source(member.archive) as file:
        chunks = list(_content(file, member))
    size = sum(map(len, chunks))
    crc = reduce(lambda before, chunk: zlib.crc32(chunk, before), chunks, 0)
    if size != member.size or crc != member.crc:
        raise BrokenImageError(f"member {member.uri!r} is damaged: its size or checksum is wrong")
    return b"".join(chunks)


def _content(file: BinaryIO, member: _Member) -> Iterator[bytes]:
    """Yield the content of a member, at most one byte more than it should have."""
    if os.fstat(file.fileno()).st_size != member.archive_size:
        raise BrokenImageError(f"{member.archive!r} changed while it was read: read it again")
    file.seek(member.offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(_SIGNATURE):
        raise BrokenImageError(f"member {member.uri!r} is damaged: it has no header")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(names, io.SEEK_CUR)
    left, room = member.stored, member.size + 1
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    while left and room:
        chunk = file.read(min(left, _CHUNK))
        left -= len(chunk)
        if not chunk:
            return
        if member.deflated:
            try:
                chunk = decoder.decompress(chunk, room)
            except zlib.error as error:
                raise BrokenImageError(f"member {member.uri!r} is damaged: {error}") from error
        room -= min(room, len(chunk))
        yield chunk
