"""How records are written down, and the keys they go by."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import fields
from hashlib import blake2b

from onnxsearch.errors import InvalidArgumentError, StoreCorruptError
from onnxsearch.json_text import metadata_text
from onnxsearch.types import JSONValue, Metadata, Record

_FIELDS = tuple(field.name for field in fields(Record))


def key_of(id: str) -> str:
    """Return the key that stands for the caller's `id`: BLAKE2b-128 in hex.

    Whatever an id holds (quotes, control characters, file names that are no valid
    UTF-8), only hex ever reaches a store. Two of a hundred million ids collide with
    a chance of 1.5e-23.
    """
    return blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def new_key() -> str:
    """Return a key that was never used before and sorts by the time it was made."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def check_id(id: str) -> str:
    """Return `id` if it can name a picture, else raise `InvalidArgumentError`."""
    if not isinstance(id, str):
        raise InvalidArgumentError(f"id {id!r} is of type {type(id).__name__}: expected str")
    if not id:
        raise InvalidArgumentError("id is empty: expected at least one character")
    return id


def check_metadata(metadata: Metadata | None) -> dict[str, JSONValue]:
    """Return a deep copy of `metadata` as every store gives them back.

    Raises:
        InvalidArgumentError: They are not what every store can keep.
    """
    values: dict[str, JSONValue] = json.loads(metadata_text({} if metadata is None else metadata))
    return values


def encode_record(record: Record) -> bytes:
    """Return the record as compact JSON in ASCII, defaults left out."""
    # Not `asdict`, which copies in depth and takes five times as long.
    pairs = ((name, getattr(record, name)) for name in _FIELDS)
    values = {name: value for name, value in pairs if value not in (None, {}, ())}
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def decode_record(data: bytes) -> Record:
    """Return the record that `encode_record` wrote.

    Raises:
        StoreCorruptError: It did not write that.
    """
    try:
        values = json.loads(data)
        # Fields that a later version added are passed over.
        known = {name: value for name, value in values.items() if name in _FIELDS}
        return Record(**{**known, "models": tuple(known.get("models", ()))})
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreCorruptError(
            f"the metadata store holds {data[:60]!r} where a record was expected: another "
            "application writes under the same prefix, or the store is damaged"
        ) from error


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file, `~` expanded and symbolic links kept."""
    return os.path.abspath(os.path.expanduser(os.fsdecode(path)))
