"""Tags of EXIF data, read from their bytes within bounds.

The layout is that of CIPA DC-008-2023 (Exif 3.0) and TIFF 6.0: directories of entries, each
with a tag, a type, a count and a value or its offset. Only three directories and the tags
that are asked for are read, so that no loop, size or count in hostile data costs anything.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import BinaryIO, TypeAlias

TagValue: TypeAlias = "bytes | tuple[int | float, ...]"
"""Bytes of text or of undefined meaning, or numbers; a fraction by zero is NaN."""

IMAGE, PHOTO, GPS = "image", "photo", "gps"
"""The directories: of the image, of how it was taken, of where."""

_POINTERS = {PHOTO: 0x8769, GPS: 0x8825}

_MOST_ENTRIES = 1000
_MOST_BYTES = 1024
"""Entries of a directory that are looked at, and bytes of a value; cameras write some 60
entries, and the values that are read here have at most 100 bytes."""

_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
_FRACTIONS = {5: "I", 10: "i"}
_BYTES = (2, 7, 129)
"""Types: text, bytes, and the text of Exif 3.0."""


def read_tags(
    file: BinaryIO, wanted: Mapping[str, frozenset[int]]
) -> dict[tuple[str, int], TagValue]:
    """Return tags by directory and number; those that are absent or damaged are left out.

    Args:
        file: EXIF data or a TIFF file, from its beginning on; its position changes.
        wanted: Numbers of the tags by directory.

    Raises:
        OSError: The file cannot be read.
    """
    file.seek(0)
    header = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(header[:4])
    if order is None or len(header) < 8:
        return {}
    (offset,) = struct.unpack(f"{order}I", header[4:])
    image = _directory(file, order, offset, wanted[IMAGE] | frozenset(_POINTERS.values()))
    found = {(IMAGE, tag): value for tag, value in image.items() if tag in wanted[IMAGE]}
    for name, pointer in _POINTERS.items():
        match image.get(pointer):
            case (int() as start,):
                tags = _directory(file, order, start, wanted[name])
                found |= {(name, tag): value for tag, value in tags.items()}
            case _:
                pass
    return found


def _directory(
    file: BinaryIO, order: str, offset: int, wanted: frozenset[int]
) -> dict[int, TagValue]:
    file.seek(offset)
    head = file.read(2)
    number = min(int.from_bytes(head, "little" if order == "<" else "big"), _MOST_ENTRIES)
    entries = file.read(12 * number)
    tags: dict[int, TagValue] = {}
    for start in range(0, len(entries) - 11, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", entries, start)
        if tag in wanted and tag not in tags:
            value = _value(file, order, kind, count, entries[start + 8 : start + 12])
            if value is not None:
                tags[tag] = value
    return tags


def _value(file: BinaryIO, order: str, kind: int, count: int, inline: bytes) -> TagValue | None:
    code = _NUMBERS.get(kind) or _FRACTIONS.get(kind) or ("s" if kind in _BYTES else None)
    if code is None:
        return None
    each = struct.calcsize(f"={code}") * (2 if kind in _FRACTIONS else 1)
    size = each * count
    if not 0 < size <= _MOST_BYTES:
        return None
    data = inline[:size]
    if size > len(inline):
        file.seek(struct.unpack(f"{order}I", inline)[0])
        data = file.read(size)
    if len(data) < size:
        return None
    if kind in _BYTES:
        return data
    numbers = struct.unpack(f"{order}{size // struct.calcsize(f'={code}')}{code}", data)
    return tuple(map(_quotient, numbers[::2], numbers[1::2])) if kind in _FRACTIONS else numbers


def _quotient(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else math.nan
