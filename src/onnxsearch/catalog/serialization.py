"""Records and metadata as the bytes that stores keep.

Paths below the root of an index are stored relative to it, and nowhere else: whatever reads
or writes records goes through these functions, and sees absolute paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Set
from typing import Any

from onnxsearch._internal.metadata_json import metadata_text
from onnxsearch.catalog.keys import unreadable_cell
from onnxsearch.catalog.root import Root, is_relative
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue, MetadataInput, Record

_TYPES: Mapping[str, type] = {
    "id": str,
    "uri": str,
    "metadata": dict,
    "models": list,
    "content": str,
    "size": int,
    "modified_ns": int,
    "paths": list,
    "expires": float,
}
"""Type by field of a `Record`, as JSON has it; fields that are None are not written."""

_TEXTS: Set[type] = {str}

_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(separators=(",", ":"))

_EXPIRES = re.compile(rb'"expires"|\\u00[67]')
"""What stands in a record that expires: the name of the field, perhaps with letters escaped."""

MAX_METADATA = 2**20
"""Bytes of JSON that an image's metadata may take. Some hundred describe an image, and
many records have to fit into one commit (`onnxsearch.metadata.base.MAX_BYTES`)."""


def check_metadata(metadata: MetadataInput | None) -> dict[str, JSONValue]:
    """Return a deep copy of `metadata` as every store returns them.

    Raises:
        InvalidArgumentError: Not every store can keep them, or they are too large.
    """
    text = metadata_text({} if metadata is None else metadata)
    if len(text) > MAX_METADATA:
        raise InvalidArgumentError(
            f"metadata of {len(text):,} bytes as JSON: expected at most {MAX_METADATA:,}. "
            "Metadata describe an image: keep the rest elsewhere, and store its address"
        )
    values: dict[str, JSONValue] = json.loads(text)
    return values


def encode_record(record: Record, root: Root) -> bytes:
    """Return the record as compact JSON in ASCII, defaults left out.

    Args:
        record: The record.
        root: A path below it is stored relative to it, as `path` instead of `uri`.
    """
    # Not `asdict`, which makes deep copies and takes five times as long.
    values = {
        name: value for name in _TYPES if (value := getattr(record, name)) not in (None, {}, ())
    }
    return _ENCODER.encode(with_stored_path(values, root)).encode("ascii")


def decode_record(data: bytes, absolute: Callable[[str], str | None]) -> Record:
    """Return the record that `encode_record` wrote.

    Args:
        data: The bytes.
        absolute: `Root.absolute` of the root.

    Raises:
        StoreCorruptError: `encode_record` did not write these bytes.
    """
    try:
        values = with_absolute_path(_json(data.decode()), absolute)
        # Fields that a later version added are ignored.
        known: dict[str, Any] = {
            name: value for name, value in values.items() if name in _TYPES and value is not None
        }
        if [*map(type, known.values())] != [*map(_TYPES.__getitem__, known)]:
            raise TypeError("a field has the wrong type")
        for name in ("models", "paths"):
            if (texts := known.get(name)) is not None:
                known[name] = tuple(texts)
                if not set(map(type, texts)) <= _TEXTS:
                    raise TypeError("the name of a model, or a path, is not text")
        return Record(**known)
    except (ValueError, TypeError) as error:
        raise unreadable_cell(data, "a record") from error


def may_expire(data: bytes) -> bool:
    """Return False for the bytes of a record that is known not to expire, without decoding it."""
    return _EXPIRES.search(data) is not None


def _json(text: str) -> Any:
    # What `json.loads` does, without a look for blanks around the text, which takes half as
    # long as the parsing.
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError("something follows the object")
    return value


def with_stored_path(values: Mapping[str, object], root: Root) -> Mapping[str, object]:
    """Return the fields of a record as they are stored: below the root, `path` replaces `uri`."""
    uri = values.get("uri")
    relative = root.below(uri) if isinstance(uri, str) else None
    if relative is None:
        return values
    return {"path" if name == "uri" else name: value for name, value in values.items()} | {
        "path": relative
    }


def with_absolute_path(
    values: Mapping[str, Any], absolute: Callable[[str], str | None]
) -> Mapping[str, Any]:
    """Return the fields of a record as `with_stored_path` found them.

    Raises:
        TypeError: They are no object.
        ValueError: The path would leave the root.
    """
    if not isinstance(values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError("not an object")
    path = values.get("path")
    if path is None:
        return values
    if not isinstance(path, str) or not is_relative(path):
        raise ValueError("its path is not below the root")
    return {name: value for name, value in values.items() if name != "path"} | {
        "uri": absolute(path)
    }
