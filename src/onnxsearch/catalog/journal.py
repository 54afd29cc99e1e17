"""The journal: vector rows that no record refers to (yet, or any more), and why.

An entry names keys, never images: rows are written once and under keys of their own, so
the only work that a crash can leave is to delete rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from onnxsearch.errors import StoreCorruptError
from onnxsearch.vectors.base import is_key

_VERSION = 2


class State(StrEnum):
    """The progress of a write."""

    BEGUN = "begun"
    """The rows are being written. Any engine that opens may take the write back."""
    LEASED = "leased"
    """As begun, by a writer whose write was taken back before: left alone for a while."""
    TAKEN_BACK = "taken back"
    """The rows will never be visible; a slow writer may still add some."""
    REPLACED = "replaced"
    """The rows were visible, and others have replaced them."""
    DROPPED = "dropped"
    """The model is being dropped with all of its rows, so the entry names none. A model has
    at most one such entry, under a key made of its name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Rows that nothing refers to yet, or any more."""

    state: State
    keys: Mapping[str, tuple[str, ...]]
    """Keys by model."""


def encode_entry(entry: Entry) -> bytes:
    """Return the entry as JSON."""
    return json.dumps(
        {"version": _VERSION, "state": entry.state, "keys": entry.keys}, separators=(",", ":")
    ).encode("ascii")


def decode_entry(data: bytes) -> Entry:
    """Return the entry that `encode_entry` wrote.

    Raises:
        StoreCorruptError: `encode_entry` did not write these bytes, or another version did.
    """
    try:
        # Up to the end of the first line: version 1 kept raw numbers after it.
        values = json.loads(data.partition(b"\n")[0])
        if values["version"] != _VERSION:
            raise StoreCorruptError(
                f"a journal entry is of version {values['version']}, this onnxsearch writes "
                f"{_VERSION}: open the index with the onnxsearch that wrote it"
            )
        keys = {model: tuple(keys) for model, keys in values["keys"].items()}
        if not all(is_key(key) for several in keys.values() for key in several):
            raise ValueError("a key has another form")
        return Entry(State(values["state"]), keys)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreCorruptError(
            f"the journal holds {data[:60]!r} where an entry was expected: another application "
            "writes under the same prefix, or the store is damaged"
        ) from error


def age(op: str) -> float:
    """Return the seconds since the key `op` was made, by the clocks of up to two machines."""
    return (time.time_ns() - int(op[:16], 16)) / 1e9
