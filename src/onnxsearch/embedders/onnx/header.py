"""The header of an ONNX file, read without the package onnx; and what other files look like.

The numbers of the fields are those of `ModelProto` in onnx.proto.
"""

from __future__ import annotations

import codecs
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass

from onnxsearch._internal.open_files import open_to_read
from onnxsearch.embedders.onnx.protobuf import Data, fields
from onnxsearch.errors import ModelLoadError

_IR_VERSION, _PRODUCER, _PRODUCER_VERSION, _OPSET_IMPORT = 1, 2, 3, 8
_DOMAIN, _VERSION = 1, 2

_HEAD = 512
"""Bytes at the beginning of a file that show its format."""

_DOWNLOAD_AGAIN = "download the file itself (on Hugging Face the address has /resolve/, not /blob/)"
_EXPORT = "export the model to ONNX, see docs/how-to/exporting.md"
_FETCH_POINTER = "run `git lfs pull` in its repository, or download the file that it stands for"
_OTHER_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", f"a git-lfs pointer: {_FETCH_POINTER}"),
    (0, b"<!doctype html", f"an HTML page: {_DOWNLOAD_AGAIN}"),
    (0, b"<html", f"an HTML page: {_DOWNLOAD_AGAIN}"),
    (0, b"<?xml", f"an XML document: {_DOWNLOAD_AGAIN}"),
    (0, b"pk\x03\x04", f"a zip archive, perhaps a checkpoint of PyTorch or Keras: {_EXPORT}"),
    (0, b"\x89hdf", f"an HDF5 file, perhaps a Keras model: {_EXPORT}"),
    (4, b"tfl3", f"a TensorFlow Lite model: {_EXPORT}"),
    (0, b"gguf", f"a GGUF file: {_EXPORT}"),
)
"""Position, first bytes in lower case, and description of files that are not ONNX."""


@dataclass(frozen=True, slots=True)
class OnnxHeader:
    """What a model says about itself, apart from its graph."""

    ir_version: int
    producer: str
    """The program that wrote it, with its version."""
    opsets: Mapping[str, int]
    """Version of the operators, by domain; `ai.onnx` are ONNX's own."""


def read_header(path: str | os.PathLike[str]) -> OnnxHeader:
    """Return the header of the model at `path`; its graph is skipped.

    Raises:
        ModelLoadError: The file cannot be read, or is not an ONNX file.
    """
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    opsets: dict[str, int] = {}
    try:
        with (
            open_to_read(path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            for key, value in fields(data):
                if isinstance(value, int):
                    numbers[key] = value
                elif key in (_PRODUCER, _PRODUCER_VERSION):
                    texts[key] = data[value].decode(errors="replace")
                elif key == _OPSET_IMPORT:
                    domain, version = _opset(data, value)
                    opsets[domain] = version
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{os.fspath(path)!r} is not an ONNX file: {error}") from error
    if _IR_VERSION not in numbers:
        raise ModelLoadError(f"{os.fspath(path)!r} is not an ONNX file: it has no IR version")
    producer = " ".join(texts[key] for key in sorted(texts) if texts[key])
    return OnnxHeader(numbers[_IR_VERSION], producer, opsets)


def other_format(head: bytes) -> str | None:
    """Return what a file is that begins with `head` and is not a model, with the remedy.

    Downloads often go wrong in the same few ways. None if the beginning is that of
    none of the formats known here.
    """
    lowered = head[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for position, signature, description in _OTHER_FORMATS:
        if lowered[position:].startswith(signature):
            return description
    return None


def other_format_of(path: str | os.PathLike[str]) -> str | None:
    """Return what the file at `path` is, see `other_format`; None if it cannot be read."""
    return other_format(_head(path))


def text_instead(model: str | bytes) -> str | None:
    """Return what a model is that holds text only, such as a server's error, or nothing.

    Args:
        model: Path of a file, or its bytes.
    """
    head = model[:_HEAD] if isinstance(model, bytes) else _head(model)
    if not head:
        return f"empty: {_DOWNLOAD_AGAIN}"
    # A model begins with the version of its format, a byte that texts do not have.
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # it may end in a character
    except UnicodeDecodeError:
        return None
    if text and all(character.isprintable() or character.isspace() for character in text):
        return f"a text that begins with {text[:40]!r}: {_DOWNLOAD_AGAIN}"
    return None


def _head(path: str | os.PathLike[str]) -> bytes:
    try:
        with open_to_read(path) as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _opset(data: Data, message: slice) -> tuple[str, int]:
    domain, version = "", 0
    for key, value in fields(data, message):
        if key == _DOMAIN and isinstance(value, slice):
            domain = data[value].decode(errors="replace")
        elif key == _VERSION and isinstance(value, int):
            version = value
    return domain or "ai.onnx", version
