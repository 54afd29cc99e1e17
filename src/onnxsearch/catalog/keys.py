"""The keys and names under which a catalog stores things, and checks of them."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Iterable
from hashlib import blake2b
from itertools import islice

from onnxsearch._internal.validation import items
from onnxsearch.errors import InvalidArgumentError, StoreCorruptError
from onnxsearch.vectors.base import is_key

# Single underscores only: two separate the namespace from the model in a collection's name.
_NAMESPACE = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")

MAX_ID = 2**16
"""Characters of an id, at most: many records have to fit into one commit
(`onnxsearch.metadata.base.MAX_BYTES`). The longest path has 4,096 bytes."""


def check_namespace(namespace: object) -> str:
    """Return `namespace` if it can separate catalogs.

    Raises:
        InvalidArgumentError: It cannot.
    """
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace) or len(namespace) > 64:
        raise InvalidArgumentError(
            f"namespace {namespace!r}: expected a letter, then letters, digits and single "
            "underscores, 64 characters at most, the last one not an underscore"
        )
    return namespace


def collection_of(model: str, namespace: str) -> str:
    """Return the name of the collection that holds the vectors of `model`.

    The name is readable, and differs for different models: where a character had to be
    replaced, a hash of the model's name is appended.
    """
    safe = "".join(c if c.isalnum() else "_" for c in model)
    if safe != model:
        safe += "_" + blake2b(model.encode(), digest_size=4).hexdigest()
    return f"{namespace}__{safe}"


def key_of(id: str) -> str:
    """Return the key that stands for the caller's `id`: BLAKE2b-128 in hex.

    Whatever an id holds (quotes, control characters, file names that are not valid
    UTF-8), only hex ever reaches a store. Two of a hundred million ids collide with
    a chance of 1.5e-23.
    """
    return blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def new_key() -> str:
    """Return a key that was never used before and sorts by the time it was made."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def check_id(id: str, name: str = "id") -> str:
    """Return `id` if it can name an image.

    Args:
        id: What a caller gave.
        name: The argument that it was given as.

    Raises:
        InvalidArgumentError: It cannot.
    """
    if not isinstance(id, str):
        raise InvalidArgumentError(
            f"{name} {id!r:.80} is of type {type(id).__name__}: expected str"
        )
    if not id:
        raise InvalidArgumentError(f"{name} is empty: expected at least one character")
    if len(id) > MAX_ID:
        raise InvalidArgumentError(
            f"{name} {id[:40]!r}... has {len(id):,} characters: expected at most {MAX_ID:,}"
        )
    return id


def check_ids(id: str | Iterable[str], name: str = "id") -> list[str]:
    """Return the ids that `id` names, one or several, if all of them can name an image.

    Raises:
        InvalidArgumentError: One of them cannot.
    """
    expected = "an id, or an iterable of ids"
    single = [id] if isinstance(id, str) else items(name, id, expected)
    return [check_id(each, name) for each in single]


def named_ids(ids: Collection[str]) -> str:
    """Return the words that name ids in a message: the first three, and how many follow."""
    shown = ", ".join(f"{id!r:.200}" for id in islice(ids, 3))
    rest = f" and {len(ids) - 3:,} others" if len(ids) > 3 else ""
    return f"{'id' if len(ids) == 1 else 'ids'} {shown}{rest}"


def decode_key(data: bytes) -> str:
    """Return the key that a cell of the metadata store holds.

    Raises:
        StoreCorruptError: The cell does not hold a key.
    """
    key = data.decode("ascii", "replace")
    if not is_key(key):
        raise unreadable_cell(data, "a key")
    return key


def decode_keys(data: bytes) -> list[str]:
    """Return the keys that a cell of `contents` holds, one or several.

    Raises:
        StoreCorruptError: The cell holds something else.
    """
    return [decode_key(key) for key in data.split(b",")]


def unreadable_cell(data: bytes, expected: str) -> StoreCorruptError:
    """Return the error for a cell that does not hold what this package writes there."""
    return StoreCorruptError(
        f"the metadata store holds {data[:60]!r} where {expected} was expected: another "
        "application writes under the same prefix, or the store is damaged. "
        "verify(repair=True) removes what cannot be read"
    )
