"""The journal: what a write is about to do, written down before it is done.

An entry holds all that is needed to finish the write, vectors included, so that
recovery needs neither the model nor the picture. On disk it is a line of JSON and
then the raw numbers of its matrices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from onnxsearch.errors import StoreCorruptError
from onnxsearch.records import decode_record, encode_record
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.vectors.base import Vectors

_VERSION = 1
_DTYPES = ("float32", "uint8")


@dataclass(frozen=True, slots=True)
class Put:
    """Store these pictures, each in place of what its id held before."""

    records: Mapping[str, Record]
    """Record by its new key."""
    vectors: Mapping[str, Vectors] = field(default_factory=dict[str, "Vectors"])
    """Matrix by model; its rows are in the order of `records`."""


@dataclass(frozen=True, slots=True)
class Amend(Put):
    """Rewrite these records and add vectors to them, where their keys still stand."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete these vectors: nothing refers to them any more."""

    keys: Mapping[str, tuple[str, ...]]
    """Keys by model."""


Entry: TypeAlias = Put | Amend | Sweep


def encode_entry(entry: Entry) -> bytes:
    """Return the entry as bytes."""
    if isinstance(entry, Sweep):
        return json.dumps({"version": _VERSION, "kind": "sweep", "keys": entry.keys}).encode()
    head = {
        "version": _VERSION,
        "kind": "amend" if isinstance(entry, Amend) else "put",
        "records": {key: encode_record(r).decode() for key, r in entry.records.items()},
        "vectors": {
            name: [matrix.dtype.name, *matrix.shape] for name, matrix in entry.vectors.items()
        },
    }
    matrices = (matrix.tobytes() for matrix in entry.vectors.values())
    return b"\n".join([json.dumps(head).encode(), b"".join(matrices)])


def decode_entry(data: bytes) -> Entry:
    """Return the entry that `encode_entry` wrote.

    Raises:
        StoreCorruptError: It did not write that, or a later version did.
    """
    line, _, raw = data.partition(b"\n")
    try:
        head = json.loads(line)
        if head["version"] != _VERSION:
            raise StoreCorruptError(
                f"a journal entry is of version {head['version']}, this onnxsearch writes "
                f"{_VERSION}: open the index with the onnxsearch that wrote it"
            )
        if head["kind"] == "sweep":
            return Sweep({name: tuple(keys) for name, keys in head["keys"].items()})
        kind = {"put": Put, "amend": Amend}[head["kind"]]
        records = {key: decode_record(text.encode()) for key, text in head["records"].items()}
        return kind(records, _matrices(head["vectors"], raw))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreCorruptError(
            f"the journal holds {line[:60]!r} where an entry was expected: another application "
            "writes under the same prefix, or the store is damaged"
        ) from error


def _matrices(shapes: Mapping[str, tuple[str, int, int]], raw: bytes) -> dict[str, Vectors]:
    matrices: dict[str, Vectors] = {}
    offset = 0
    for name, (dtype, rows, columns) in shapes.items():
        if dtype not in _DTYPES:
            raise ValueError(f"matrix of type {dtype}")
        matrix = np.frombuffer(raw, dtype, rows * columns, offset).reshape(rows, columns)
        matrices[name] = matrix
        offset += matrix.nbytes
    return matrices
