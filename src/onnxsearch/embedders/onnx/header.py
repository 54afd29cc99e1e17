"""What the head of an ONNX file says; read without the package onnx.

The format is Protocol Buffers' (https://protobuf.dev/programming-guides/encoding/), the
numbers of the fields are those of `ModelProto` in onnx.proto.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnxsearch.errors import ModelLoadError

_SIZES = {1: 8, 5: 4}  # of fixed numbers, in bytes, by the type of the field
_VARINT = 0
_IR_VERSION, _PRODUCER, _PRODUCER_VERSION, _OPSET_IMPORT = 1, 2, 3, 8
_DOMAIN, _VERSION = 1, 2


@dataclass(frozen=True, slots=True)
class OnnxHeader:
    """What a model says about itself, apart from its graph."""

    ir_version: int
    producer: str
    """The program that wrote it, with its version."""
    opsets: Mapping[str, int]
    """Version of the operators, by domain; `ai.onnx` are ONNX's own."""


def read_header(path: str | os.PathLike[str]) -> OnnxHeader:
    """Return the header of the model at `path`; its graph is passed over.

    Raises:
        ModelLoadError: It cannot be read, or is no ONNX file.
    """
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    opsets: dict[str, int] = {}
    try:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            for key, value in _fields(data):
                if isinstance(value, int):
                    numbers[key] = value
                elif key in (_PRODUCER, _PRODUCER_VERSION):
                    texts[key] = data[value].decode(errors="replace")
                elif key == _OPSET_IMPORT:
                    domain, version = _opset(data[value])
                    opsets[domain] = version
    except (OSError, ValueError, IndexError) as error:
        raise ModelLoadError(f"{os.fspath(path)!r} is no ONNX file: {error}") from error
    if _IR_VERSION not in numbers:
        raise ModelLoadError(f"{os.fspath(path)!r} is no ONNX file: it tells no IR version")
    producer = " ".join(texts[key] for key in sorted(texts) if texts[key])
    return OnnxHeader(numbers[_IR_VERSION], producer, opsets)


def varint(data: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    """Return the number at `position`, and where it ends."""
    value = shift = 0
    while True:  # seven bits a byte, the lowest first
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _fields(data: bytes | mmap.mmap) -> Iterator[tuple[int, int | slice]]:
    """Yield number and value of each field; of all but integers, where the value is."""
    position = 0
    while position < len(data):
        key, position = varint(data, position)
        if key & 7 == _VARINT:
            value, position = varint(data, position)
            yield key >> 3, value
            continue
        size = _SIZES.get(key & 7)
        if size is None:
            size, position = varint(data, position)
        yield key >> 3, slice(position, position + size)
        position += size


def _opset(data: bytes) -> tuple[str, int]:
    domain, version = "", 0
    for key, value in _fields(data):
        if key == _DOMAIN and isinstance(value, slice):
            domain = data[value].decode(errors="replace")
        elif key == _VERSION and isinstance(value, int):
            version = value
    return domain or "ai.onnx", version
