"""The files of a model: its own, and those with weights that it refers to."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from onnxsearch._internal.open_files import open_to_read
from onnxsearch.embedders.onnx.protobuf import Data, fields
from onnxsearch.errors import ModelLoadError

_UNFIT_FOR_NAMES = re.compile(r"[^A-Za-z0-9._-]+")

_MOST_FIELDS = 5_000_000
"""Fields that are read of one file. Graphs of large models have some 100,000."""

# Where tensors are in a model: the messages of onnx.proto that hold them, each with the
# numbers of the fields that lead to others.
_TENSOR = "TensorProto"
_NESTED: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
}
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_KEY, _VALUE = 1, 2


def model_name(model: str | bytes) -> str:
    """Return a model's default name: that of its file, or a hash of its bytes."""
    if isinstance(model, bytes):
        return f"onnx-{hashlib.sha256(model).hexdigest()[:12]}"
    stem = os.path.splitext(os.path.basename(model))[0]
    return _UNFIT_FOR_NAMES.sub("-", stem).strip("._-")[:100] or "model"


def external_data(model: str) -> dict[str, Path]:
    """Return the files with weights that the model at `model` refers to, by name, sorted.

    They are stored beside the model or in folders below. Where the model is a link,
    they are stored beside the file that it leads to; or beside the link, as links to
    files there, as in caches of Hugging Face models. Files outside that folder are left
    out: ONNX Runtime refuses such models.

    Raises:
        ModelLoadError: The model is not a valid ONNX file.
    """
    path, real = Path(model), Path(os.path.realpath(model))
    found = {}
    for name in weight_files(real):
        for folder in (real.parent, path.parent):
            if _is_file_below(folder / name, real.parent):
                found[name] = folder / name
                break
    return found


def weight_files(model: Path) -> list[str]:
    """Return the names of the files with weights that a model refers to, sorted.

    They need not exist, and a name can be anything.

    Raises:
        ModelLoadError: The model is not a valid ONNX file.
    """
    try:
        with (
            open_to_read(model) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _locations(data)
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{str(model)!r} is not a valid ONNX file: {error}") from error


def external_locations(model: bytes) -> list[str]:
    """Return the names of the files with weights that a model in memory refers to, sorted.

    Raises:
        ModelLoadError: It is not a valid ONNX model.
    """
    try:
        return _locations(model)
    except ValueError as error:
        raise ModelLoadError(
            f"the {len(model)} bytes are not a valid ONNX model: {error}"
        ) from error


def loadable_path(model: str) -> str:
    """Return the path under which ONNX Runtime takes `model`, and the weights beside it.

    ONNX Runtime follows links of weights only from beside a link to the model, and looks
    for weights beside the path that it is given.

    Raises:
        ModelLoadError: The model is a link, and what it leads to not a valid ONNX file.
    """
    real = os.path.realpath(model)
    if real == model:
        return real
    beside_real = all(
        path == Path(real).parent / name for name, path in external_data(model).items()
    )
    return real if beside_real else model


def _is_file_below(path: Path, folder: Path) -> bool:
    # A name can be anything: `isfile` takes NUL and lengths that the system refuses.
    return os.path.isfile(path) and Path(os.path.realpath(path)).is_relative_to(folder)


def _locations(data: Data) -> list[str]:
    """Return the names of the files that tensors of a model are stored in, sorted.

    Raises:
        ValueError: The model is malformed, or has too many fields.
    """
    if data.find(b"location") < 0:
        return []
    reader = _BoundedReader(data)
    names = {reader.location(tensor) for tensor in reader.tensors()}
    return sorted(name for name in names if name is not None)


class _BoundedReader:
    """Reads the tensors of a model, and no more than `_MOST_FIELDS` fields in all."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._left = _MOST_FIELDS

    def tensors(self) -> Iterator[slice]:
        """Yield the slice of each tensor, wherever in the graph it is."""
        # Messages nest as deep as a file likes: a list has no limit of recursion.
        waiting = [("ModelProto", slice(0, len(self._data)))]
        while waiting:
            kind, message = waiting.pop()
            nested = _NESTED[kind]
            for number, value in self._fields(message):
                child = nested.get(number)
                if child is None or isinstance(value, int):
                    continue
                if child == _TENSOR:
                    yield value
                else:
                    waiting.append((child, value))

    def location(self, tensor: slice) -> str | None:
        """Return the name of the file that holds a tensor; None if the model itself does."""
        external = False
        name = None
        for number, value in self._fields(tensor):
            if number == _DATA_LOCATION:
                external = value == _EXTERNAL
            elif number == _EXTERNAL_DATA and isinstance(value, slice):
                entry = {
                    key: self._data[text]
                    for key, text in self._fields(value)
                    if isinstance(text, slice)
                }
                if entry.get(_KEY) == b"location":
                    name = os.fsdecode(entry.get(_VALUE, b""))
        return name if external else None

    def _fields(self, message: slice) -> Iterator[tuple[int, int | slice]]:
        for field in fields(self._data, message):
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {_MOST_FIELDS} fields")
            yield field
