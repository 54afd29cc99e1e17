"""How records are written down, and the keys and names that things go by."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from onnxsearch._internal.metadata_json import metadata_text
from onnxsearch.errors import InvalidArgumentError, StoreCorruptError
from onnxsearch.types import JSONValue, Metadata, Record
from onnxsearch.vectors.base import is_key

_TYPES: Mapping[str, type] = {
    "id": str,
    "uri": str,
    "metadata": dict,
    "models": list,
    "content": str,
    "size": int,
    "modified_ns": int,
}
"""Type by field of a `Record`, as JSON has it; what is None is not written."""

# Single underscores only: two part the namespace from the model in a collection's name.
_NAMESPACE = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")

MAX_METADATA = 2**20
"""Bytes of JSON that a picture's metadata may take. Some hundred describe a picture, and
many records have to fit into one commit (`onnxsearch.metadata.base.MAX_BYTES`)."""
MAX_ID = 2**16
"""Characters of an id, for the same reason; the longest path has 4,096 bytes."""


def check_namespace(namespace: str) -> str:
    """Return `namespace` if it can keep catalogs apart, else raise `InvalidArgumentError`."""
    if not _NAMESPACE.fullmatch(namespace) or len(namespace) > 64:
        raise InvalidArgumentError(
            f"namespace {namespace!r}: expected a letter, then letters, digits and single "
            "underscores, 64 characters at most, the last no underscore"
        )
    return namespace


def collection_of(model: str, namespace: str) -> str:
    """Return the name of the collection that holds the vectors of `model`.

    It is readable, and different for different models: where a character had to be
    replaced, a hash of the name is appended.
    """
    safe = "".join(c if c.isalnum() else "_" for c in model)
    if safe != model:
        safe += "_" + blake2b(model.encode(), digest_size=4).hexdigest()
    return f"{namespace}__{safe}"


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
    if len(id) > MAX_ID:
        raise InvalidArgumentError(
            f"id {id[:40]!r}... has {len(id):,} characters: expected at most {MAX_ID:,}"
        )
    return id


def check_ids(id: str | Iterable[str]) -> list[str]:
    """Return the ids that `id` names, one or several, if all of them can name an image.

    Raises:
        InvalidArgumentError: One of them cannot.
    """
    if not isinstance(id, Iterable):
        raise InvalidArgumentError(f"id {id!r:.80}: expected an id, or several in an iterable")
    return [check_id(each) for each in ([id] if isinstance(id, str) else id)]


def check_metadata(metadata: Metadata | None) -> dict[str, JSONValue]:
    """Return a deep copy of `metadata` as every store gives them back.

    Raises:
        InvalidArgumentError: They are not what every store can keep, or too large.
    """
    text = metadata_text({} if metadata is None else metadata)
    if len(text) > MAX_METADATA:
        raise InvalidArgumentError(
            f"metadata of {len(text):,} bytes as JSON: expected at most {MAX_METADATA:,}. They "
            "are for what describes a picture: keep the rest elsewhere, and store its address"
        )
    values: dict[str, JSONValue] = json.loads(text)
    return values


def encode_record(record: Record) -> bytes:
    """Return the record as compact JSON in ASCII, defaults left out."""
    # Not `asdict`, which copies in depth and takes five times as long.
    pairs = ((name, getattr(record, name)) for name in _TYPES)
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
        known = {name: values[name] for name in _TYPES if name in values}
        if any(type(value) is not _TYPES[name] for name, value in known.items()):
            raise TypeError("a field is of another type")
        models = tuple(known.get("models", ()))
        if not all(isinstance(model, str) for model in models):
            raise TypeError("a model's name is no text")
        return Record(**{**known, "models": models})
    except (ValueError, TypeError) as error:
        raise StoreCorruptError(_unreadable(data, "a record")) from error


def decode_key(data: bytes) -> str:
    """Return the key that a cell of the metadata store holds.

    Raises:
        StoreCorruptError: It holds no key.
    """
    key = data.decode("ascii", "replace")
    if not is_key(key):
        raise StoreCorruptError(_unreadable(data, "a key"))
    return key


def _unreadable(data: bytes, expected: str) -> str:
    return (
        f"the metadata store holds {data[:60]!r} where {expected} was expected: another "
        "application writes under the same prefix, or the store is damaged. "
        "verify(repair=True) takes out what cannot be read"
    )
