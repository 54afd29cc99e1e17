"""What identifies a model: the bytes of its file, and of those that it refers to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from inspect import getattr_static
from pathlib import Path

import numpy as np

from onnxsearch._internal.open_files import open_to_read
from onnxsearch.embedders.onnx.external_data import external_data
from onnxsearch.errors import ModelLoadError
from onnxsearch.types import JSONValue


def model_digest(model: str | bytes) -> bytes:
    """Return the sha256 digests of a model's files, one after the other.

    Args:
        model: Absolute path of the model, or its bytes.

    Raises:
        ModelLoadError: The file is not a valid ONNX file.
    """
    if isinstance(model, bytes):
        return hashlib.sha256(model).digest()
    paths = [Path(model), *external_data(model).values()]
    return b"".join(map(file_digest, paths))


def file_digest(path: str | Path) -> bytes:
    """Return the sha256 digest of a file.

    Raises:
        ModelLoadError: It cannot be read.
    """
    try:
        with open_to_read(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise ModelLoadError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error


def fingerprint(digest: bytes, settings: Mapping[str, JSONValue]) -> str:
    """Return the sha256, in hex, of a model and of every setting that changes a vector.

    It depends on contents only, so it is the same on every machine.

    Args:
        digest: See `model_digest`.
        settings: The settings. A setting that has its default is left out if it is
            younger than the format, so that old fingerprints stay.
    """
    text = json.dumps(dict(settings), sort_keys=True)
    return hashlib.sha256(text.encode() + digest).hexdigest()


def subclass_parameters(instance: object, base: type) -> dict[str, JSONValue]:
    """Return the attributes that subclasses of `base` add, as far as JSON can hold them.

    Args:
        instance: Instance of a subclass. Its own attributes hide those of its classes.
        base: The class whose attributes do not count: those that it has, and those that
            its body annotates.
    """
    found: dict[str, JSONValue] = {}
    classes = type(instance).__mro__
    added = classes[: classes.index(base)]
    for namespace in (*(vars(cls) for cls in reversed(added)), vars(instance)):
        for name, value in namespace.items():
            special = name.startswith("__") and name.endswith("__")
            if special or hasattr(base, name) or name in base.__annotations__:
                continue
            # Its value would appear with its first use.
            if isinstance(getattr_static(type(instance), name, None), cached_property):
                continue
            try:
                found[name] = _as_json(value)
            except TypeError:  # a method, a lock, a session: nothing to compare
                continue
    return found


def _as_json(value: object) -> JSONValue:
    """Return a value as JSON has it; of an array its hash.

    Raises:
        TypeError: JSON has no such value.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, np.generic):
        return _as_json(value.item())
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), digest]
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(each) for key, each in value.items()}
    raise TypeError(f"{type(value).__name__}")
