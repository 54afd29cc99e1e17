"""Records and metadata as the bytes that stores keep."""

from __future__ import annotations

import json
from collections.abc import Mapping

from onnxsearch._internal.metadata_json import metadata_text
from onnxsearch.catalog.keys import unreadable_cell
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue, Metadata, Record

_TYPES: Mapping[str, type] = {
    "id": str,
    "uri": str,
    "metadata": dict,
    "models": list,
    "content": str,
    "size": int,
    "modified_ns": int,
}
"""Type by field of a `Record`, as JSON has it; fields that are None are not written."""

MAX_METADATA = 2**20
"""Bytes of JSON that an image's metadata may take. Some hundred describe an image, and
many records have to fit into one commit (`onnxsearch.metadata.base.MAX_BYTES`)."""


def check_metadata(metadata: Metadata | None) -> dict[str, JSONValue]:
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


def encode_record(record: Record) -> bytes:
    """Return the record as compact JSON in ASCII, defaults left out."""
    # Not `asdict`, which makes deep copies and takes five times as long.
    pairs = ((name, getattr(record, name)) for name in _TYPES)
    values = {name: value for name, value in pairs if value not in (None, {}, ())}
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def decode_record(data: bytes) -> Record:
    """Return the record that `encode_record` wrote.

    Raises:
        StoreCorruptError: `encode_record` did not write these bytes.
    """
    try:
        values = json.loads(data.decode())
        # Fields that a later version added are ignored.
        known = {name: values[name] for name in _TYPES if name in values}
        for name, value in known.items():
            if type(value) is not _TYPES[name]:
                raise TypeError("a field has the wrong type")
        models = tuple(known.get("models", ()))
        if not all(isinstance(model, str) for model in models):
            raise TypeError("a model's name is not text")
        return Record(**{**known, "models": models})
    except (ValueError, TypeError) as error:
        raise unreadable_cell(data, "a record") from error
