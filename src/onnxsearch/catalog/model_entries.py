"""Descriptions of models as the JSON that the manifest of an index holds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TypeAlias, cast

from onnxsearch._internal.validation import check_name, integer
from onnxsearch.embedders.description import (
    ModelDescription,
    ModelFile,
    ModelSource,
    SourceKind,
    TextModelDescription,
)
from onnxsearch.errors import InvalidArgumentError, StoreCorruptError
from onnxsearch.types import JSONValue, Metric

_Values: TypeAlias = "Mapping[str, JSONValue]"

_FORMAT = 1
_MAX_BYTES = 2**20
"""Bytes of a manifest, at most: a model takes about two thousand."""
_MAX_TEXT = 2**15
"""Characters of a path or another text, at most: the longest path that a system takes."""
_MAX_WEIGHTS = 1000
"""Files with weights that a model refers to, at most."""
_SHA256 = re.compile("[0-9a-f]{64}")
_KINDS: Sequence[SourceKind] = ("bundled", "hub")


class LaterManifestError(StoreCorruptError):
    """A later release wrote the manifest."""


def encode_models(models: Sequence[ModelDescription], folder: Path | None) -> bytes:
    """Return descriptions as bytes.

    Args:
        models: The models, the default one first.
        folder: Where the index is on this machine. Of a file in it or beside it, the path
            relative to it is stored too, so that both can move.

    Raises:
        InvalidArgumentError: An embedder describes itself by what JSON cannot hold, or at
            too great length.
    """
    values = {"format": _FORMAT, "models": [_model(model, folder) for model in models]}
    try:
        data = json.dumps(values, separators=(",", ":"), sort_keys=True).encode("ascii")
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"describe() gave what JSON cannot hold: {error}") from error
    if len(data) > _MAX_BYTES:
        raise InvalidArgumentError(
            f"the descriptions of {len(models)} models take {len(data):,} bytes: expected at "
            f"most {_MAX_BYTES:,}"
        )
    return data


def decode_models(data: bytes, folder: Path | None) -> list[ModelDescription]:
    """Return what `encode_models` wrote, with absolute paths.

    Raises:
        LaterManifestError: A later release wrote it.
        StoreCorruptError: It wrote something else.
    """
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError(f"it has {len(data):,} bytes, more than {_MAX_BYTES:,}")
        values = _object(json.loads(data))
        if _whole(values["format"], least=1) > _FORMAT:
            raise LaterManifestError(
                f"a later onnxsearch described the models of the index, in format "
                f"{values['format']!r:.20}: use that one, or open the index with its models as "
                "embedders=..."
            )
        models = [_read_model(_object(each), folder) for each in _list(values["models"])]
        if len({model.name for model in models}) < len(models):
            raise ValueError("it names a model twice")
    except (
        ArithmeticError, InvalidArgumentError, LookupError, RecursionError, TypeError, ValueError
    ) as error:  # fmt: skip
        raise _unreadable(str(error) or type(error).__name__) from error
    return models


def _unreadable(why: str) -> StoreCorruptError:
    """Return the error for a manifest that cannot be read."""
    return StoreCorruptError(
        f"what the index says of its models cannot be read: {why:.200}. Another program writes "
        "under the same prefix, or the store is damaged. Open the index with its models as "
        "embedders=..., and it remembers them anew"
    )


def _model(model: ModelDescription, folder: Path | None) -> _Values:
    return _set_only(
        name=model.name,
        class_name=model.class_name,
        dimension=model.dimension,
        metric=model.metric.value,
        fingerprint=model.fingerprint,
        version=model.version,
        settings=dict(model.settings),
        file=None if model.file is None else _file(model.file, folder),
        source=None if model.source is None else _source(model.source),
        text=None if model.text is None else _text_model(model.text, folder),
    )


def _file(file: ModelFile, folder: Path | None) -> dict[str, JSONValue]:
    return _set_only(
        sha256=file.sha256,
        size=file.size,
        name=file.name,
        path=file.path,
        beside=_relative(file.beside or file.path, folder),
        weights=list(file.weights) or None,
    )


def _source(source: ModelSource) -> dict[str, JSONValue]:
    return _set_only(kind=source.kind, name=source.name, revision=source.revision, file=source.file)


def _text_model(text: TextModelDescription, folder: Path | None) -> dict[str, JSONValue]:
    return _set_only(
        file=_file(text.file, folder),
        tokenizer=_file(text.tokenizer, folder),
        settings=dict(text.settings),
        source=None if text.source is None else _source(text.source),
    )


def _set_only(**values: JSONValue) -> dict[str, JSONValue]:
    return {name: value for name, value in values.items() if value is not None}


def _read_model(values: _Values, folder: Path | None) -> ModelDescription:
    metric = Metric(_text(values["metric"]))
    text, source = values.get("text"), values.get("source")
    return ModelDescription(
        name=check_name(values["name"]),
        class_name=_text(values["class_name"]),
        dimension=_whole(values["dimension"], least=1),
        metric=metric,
        fingerprint=_any_text(values["fingerprint"]),
        version=_text(values["version"]),
        settings=_object(values["settings"]),
        file=None if "file" not in values else _read_file(_object(values["file"]), folder),
        source=None if source is None else _read_source(_object(source)),
        text=None if text is None else _read_text_model(_object(text), folder),
    )


def _read_file(values: _Values, folder: Path | None) -> ModelFile:
    name, path = _optional_text(values.get("name")), _optional_text(values.get("path"))
    weights = [_hash(each) for each in _list(values.get("weights", []))]
    if len(weights) > _MAX_WEIGHTS:
        raise ValueError(f"a model has {len(weights)} files with weights")
    return ModelFile(
        sha256=_hash(values["sha256"]),
        size=_whole(values["size"], least=0),
        name=name,
        path=path if path is not None and _is_local(path) else None,
        beside=_absolute(_optional_text(values.get("beside")), folder),
        weights=tuple(weights),
    )


def _read_source(values: _Values) -> ModelSource:
    kind = values["kind"]
    if kind not in _KINDS:
        raise ValueError(f"{kind!r:.80} is not a kind of source")
    return ModelSource(
        kind=cast("SourceKind", kind),
        name=_text(values["name"]),
        revision=_optional_text(values.get("revision")),
        file=_optional_text(values.get("file")),
    )


def _read_text_model(values: _Values, folder: Path | None) -> TextModelDescription:
    source = values.get("source")
    return TextModelDescription(
        file=_read_file(_object(values["file"]), folder),
        tokenizer=_read_file(_object(values["tokenizer"]), folder),
        settings=_object(values["settings"]),
        source=None if source is None else _read_source(_object(source)),
    )


def _relative(path: str | None, folder: Path | None) -> str | None:
    """Return a path relative to `folder`; None if it is neither in it nor beside it."""
    if path is None or folder is None or not Path(path).is_relative_to(folder.parent):
        return None
    return PurePath(os.path.relpath(path, folder)).as_posix()


def _absolute(path: str | None, folder: Path | None) -> str | None:
    """Return the absolute path that `_relative` shortened; None if it cannot be told."""
    if path is None or folder is None:
        return None
    absolute = os.path.normpath(folder / path)
    return absolute if _is_local(absolute) else None


def _is_local(path: str) -> bool:
    """Return whether a path is absolute, and surely leads to no other machine."""
    # Windows connects to the machine that such a path names, and sends it the user's name.
    return os.path.isabs(path) and not path.startswith(("\\\\", "//"))


def _object(value: JSONValue) -> dict[str, JSONValue]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.80} is not an object")
    return value


def _list(value: JSONValue) -> list[JSONValue]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.80} is not a list")
    return value


def _text(value: JSONValue) -> str:
    text = _any_text(value)
    if not 0 < len(text) <= _MAX_TEXT:
        raise ValueError(f"a text has {len(text):,} characters")
    return text


def _any_text(value: JSONValue) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not a text")
    return value


def _optional_text(value: JSONValue) -> str | None:
    return None if value is None else _text(value)


def _hash(value: JSONValue) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise TypeError(f"{value!r:.80} is not a sha256")
    return value


def _whole(value: JSONValue, *, least: int) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r:.80} is not a whole number")
    return integer("a number", value, least=least)
