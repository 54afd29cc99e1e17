"""Metadata in the form in which Milvus stores and compares them.

Milvus' own comparisons on JSON take 1 for true, answer "unknown" for a missing
field, and escape strings differently in Lite and on servers. So metadata are
stored in a form in which every value is a string of hex digits that sorts as the
value does, under its field's name and type, beside a list of the names and types
that are there:

    {"year": 2020, "tags": ["cat"], "gps": {"lat": 0}}
    {"fields": ["", "n79656172", "l74616773", "m677073", "n677073x6c6174"],
     "n79656172": "c09f9000000000000800", "l74616773": ["", "s636174"],
     "n677073x6c6174": "80000000000000000800"}

Milvus takes 64 KiB of that form. So text that is longer than `LONG_TEXT` is stored as
its beginning, which sorts, and a hash of the whole, which is equal for equal text. Long
names that lead to a field are stored as a hash. Metadata that still are too large are stored
without their largest fields, and with a mark in the list of names.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeGuard, cast

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import MOST_NAMES, Scalar
from onnxsearch.types import JSONValue, Metadata

LONG_TEXT = 1024
"""Bytes of text, as UTF-8, that are stored as they are."""
_LONG_NAME = 256
"""Bytes of the names that lead to a field, as UTF-8, that are stored as they are."""
FIELDS = "fields"
"""Where the list of names is."""
KINDS = "snblm"
"""Types of values: string, number, boolean, list, mapping."""
MORE = "more"
"""The mark that fields were left out; no name has these letters."""
_MOST_BYTES = 65_536
"""The size of a JSON field that a Milvus server takes."""


class Document(NamedTuple):
    """Metadata as they are stored."""

    fields: dict[str, str | list[str]]
    size: int
    """Bytes that they take as JSON, without spaces."""
    saved: int
    """Bytes that shorter text and names take less than the whole."""

    @property
    def is_whole(self) -> bool:
        """Whether all fields are in it."""
        return MORE not in self.fields[FIELDS]


class _Column(NamedTuple):
    name: str
    value: str | list[str] | None
    """None for a mapping, of which only the name is stored."""
    size: int
    saved: int


def document(metadata: str) -> Document:
    """Return the form in which metadata, given as JSON text, are stored."""
    columns = list(_columns(json.loads(metadata), ()))
    names = [""]
    size = len('{"fields":[""]}')
    if size + sum(column.size for column in columns) > _MOST_BYTES:
        names.append(MORE)
        size += len(MORE) + len(',""')
        columns.sort(key=lambda column: column.size)
    stored: dict[str, str | list[str]] = {FIELDS: names}
    for column in columns:
        if size + column.size > _MOST_BYTES:
            break
        names.append(column.name)
        size += column.size
        if column.value is not None:
            stored[column.name] = column.value
    return Document(stored, size, sum(column.saved for column in columns))


def check_whole(metadata: str) -> None:
    """Raise unless metadata, given as JSON text, can be stored without loss.

    Raises:
        InvalidArgumentError: They are too large.
    """
    stored = document(metadata)
    size = stored.size + stored.saved
    if size > _MOST_BYTES or not stored.is_whole:
        raise InvalidArgumentError(
            f"metadata of {len(metadata)} characters take more than the {_MOST_BYTES} bytes that "
            "Milvus has room for: leave out what no filter needs, or pass partial=True to store "
            "what fits"
        )


def _columns(mapping: Metadata, path: tuple[str, ...]) -> Iterator[_Column]:
    """Yield the columns of an object and of those in it, as deep as filters look."""
    for name, value in mapping.items():
        inner = (*path, name)
        if value is not None:
            yield _column(inner, value)
        if isinstance(value, Mapping) and len(inner) < MOST_NAMES:
            yield from _columns(value, inner)


def _column(path: tuple[str, ...], value: JSONValue) -> _Column:
    kind = kind_of(value)
    column = kind + stored_name(path)
    size = len(column) + len(',""')
    saved = max(0, 2 * _bytes_of(path) - len(column))
    if kind == "m":
        return _Column(column, None, size, saved)
    size += len(column) + len(',"":')
    saved *= 2
    if isinstance(value, list):
        scalars = [item for item in value if _is_scalar(item)]
        # The empty string keeps an empty list from counting as no list.
        items = ["", *map(token_of, scalars)]
        size += sum(len(item) + len(',""') for item in items) + len("[]") - len(",")
        saved += sum(map(_saved, scalars, items[1:]))
        return _Column(column, items, size, saved)
    scalar = cast("Scalar", value)
    digits = digits_of(scalar)
    return _Column(column, digits, size + len(digits) + len('""'), saved + _saved(scalar, digits))


def _saved(value: Scalar, stored: str) -> int:
    """Return how many digits a stored value lacks; a type before them does not matter."""
    return max(0, 2 * len(value.encode()) - len(stored)) if isinstance(value, str) else 0


def _is_scalar(value: JSONValue) -> TypeGuard[Scalar]:
    return isinstance(value, (str, int, float))


def token_of(value: Scalar) -> str:
    """Return the type and the digits of a value in a list."""
    return kind_of(value) + digits_of(value)


def kind_of(value: JSONValue) -> str:
    """Return the type of a value, one of `KINDS`."""
    if isinstance(value, str):
        return "s"
    if isinstance(value, bool):
        return "b"
    if isinstance(value, (int, float)):
        return "n"
    return "m" if isinstance(value, Mapping) else "l"


def digits_of(value: Scalar) -> str:
    """Return hex digits that sort as values of the same kind do, equal for equal values."""
    if isinstance(value, str):
        return _text_digits(value.encode())  # UTF-8 sorts as code points do
    if isinstance(value, bool):
        return "1" if value else "0"
    # The nearest float64, its bits turned so that they sort, then what is missing
    # to an integer beyond 2^53: at most half a step, which is 512 below 2^63.
    near = float(value)
    (bits,) = struct.unpack(">Q", struct.pack(">d", near + 0.0))
    bits = ~bits & (2**64 - 1) if bits >> 63 else bits | 1 << 63
    return f"{bits:016x}{int(value - int(near)) + 2048 if isinstance(value, int) else 2048:04x}"


def _text_digits(text: bytes) -> str:
    if len(text) <= LONG_TEXT:
        return text.hex()
    # "g" sorts after every hex digit, as longer text does after its beginning.
    return f"{text[:LONG_TEXT].hex()}g{blake2b(text, digest_size=16).hexdigest()}"


def stored_name(path: tuple[str, ...]) -> str:
    """Return hex digits for the names that lead to a field, separated by "x".

    Long names, which nothing sorts by, become a hash: after "g" of one name, after "h" of several.
    """
    names = [name.encode() for name in path]
    if _bytes_of(path) <= _LONG_NAME:
        return "x".join(name.hex() for name in names)
    if len(names) == 1:
        return f"g{blake2b(names[0], digest_size=16).hexdigest()}"
    whole = "x".join(name.hex() for name in names).encode()
    return f"h{blake2b(whole, digest_size=16).hexdigest()}"


def _bytes_of(path: tuple[str, ...]) -> int:
    return sum(len(name.encode()) for name in path)
