"""Reader of the Protocol Buffers wire format, as far as ONNX files need it.

The format: https://protobuf.dev/programming-guides/encoding/. Files come from anywhere:
reading is linear in their size, lengths are checked before use, and nothing is copied.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TypeAlias

Data: TypeAlias = "bytes | mmap.mmap"

_VARINT, _FIXED_64, _LENGTH_DELIMITED, _FIXED_32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED_64: 8, _FIXED_32: 4}
_LONGEST_VARINT = 10
"""Bytes of a 64-bit number, seven bits each."""


def fields(data: Data, message: slice | None = None) -> Iterator[tuple[int, int | slice]]:
    """Yield number and value of each field of a message.

    Args:
        data: The file.
        message: Start and stop of the message in it; by default the whole file.

    Yields:
        The number of a field, and its value: an integer, or for every other type the
        slice of `data` that holds it.

    Raises:
        ValueError: The message is malformed.
    """
    position, stop = (0, len(data)) if message is None else (message.start, message.stop)
    while position < stop:
        key, position = _varint(data, position, stop)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position, stop)
            yield number, value
            continue
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(data, position, stop)
        elif wire_type in _FIXED_SIZES:
            length = _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"field {number} is of the unknown wire type {wire_type}")
        if length > stop - position:
            raise ValueError(f"field {number} is longer than the message that holds it")
        yield number, slice(position, position + length)
        position += length


def _varint(data: Data, position: int, stop: int) -> tuple[int, int]:
    """Return the number at `position`, and the position after it."""
    value = 0
    for index in range(min(_LONGEST_VARINT, stop - position)):
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)  # the lowest bits come first
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError(f"no number ends within {_LONGEST_VARINT} bytes of position {position}")
