"""Filters as Milvus expressions, with the meaning that `onnxsearch.filters` gives them.

Milvus' own comparisons on JSON take 1 for true, answer "unknown" for a missing
field, and escape strings differently in Lite and on servers. So metadata are
stored in a form in which every value is a string of hex digits that sorts as the
value does, under its field's name and type, beside a list of the names and types
that are there:

    {"year": 2020, "tags": ["cat"]}
    {"fields": ["", "n79656172", "l74616773"],
     "n79656172": "c09f9000000000000800", "l74616773": ["", "s636174"]}

An expression asks that list first, which is always there, so that every part of
it is true or false. What it compares is a closed alphabet: nothing that a user
types can become syntax.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import (
    And,
    Comparison,
    Contains,
    Exists,
    Filter,
    Not,
    OneOf,
    Or,
    Scalar,
    StartsWith,
)
from onnxsearch.types import JSONValue


class Document(NamedTuple):
    """Metadata as they are stored."""

    fields: dict[str, str | list[str]]
    size: int
    """Bytes that they take as JSON, without spaces."""


_FIELDS = "fields"
_KINDS = "snblm"  # string, number, boolean, list, mapping
_NEVER = 'id == ""'
_MOST_BYTES = 65_536
"""The size of a JSON field that a Milvus server takes."""


def document(metadata: str) -> Document:
    """Return the form in which metadata, given as JSON text, are stored.

    Raises:
        InvalidArgumentError: They take more than Milvus' 64 KiB in that form.
    """
    names = [""]
    stored: dict[str, str | list[str]] = {_FIELDS: names}
    size = len('{"fields":[""]}')
    for name, value in json.loads(metadata).items():
        if value is None:
            continue
        kind = _kind(value)
        column = kind + _hex(name)
        names.append(column)
        size += len(column) + len(',""')
        if kind == "m":
            continue
        size += len(column) + len(',"":')
        if kind == "l":
            # The empty string keeps an empty list from counting as no list.
            items = ["", *(_token(item) for item in value if _is_scalar(item))]
            stored[column] = items
            size += sum(len(item) + len(',""') for item in items) + len("[]") - len(",")
        else:
            stored[column] = digits = _digits(value)
            size += len(digits) + len('""')
    if size > _MOST_BYTES:
        raise InvalidArgumentError(
            f"metadata of {len(metadata)} characters take {size} bytes in Milvus, which has room "
            f"for {_MOST_BYTES}: leave out of the metadata what no filter asks for"
        )
    return Document(stored, size)


def expression(filter: Filter) -> str:
    """Return the Milvus expression that finds what `filter` matches."""
    match filter:
        case And(parts):
            return "(" + " and ".join(expression(part) for part in parts) + ")"
        case Or(parts):
            return "(" + " or ".join(expression(part) for part in parts) + ")"
        case Not(part):
            return f"not ({expression(part)})"
        case Exists(field):
            return _any([_there(kind + _hex(field)) for kind in _KINDS])
        case Comparison(field, operator, value):
            return _compare(field, operator.value, value)
        case OneOf(field, values):
            return _any([_compare(field, "==", value) for value in values])
        case StartsWith(field, prefix):
            column = "s" + _hex(field)
            return f'({_there(column)} and metadata["{column}"] like "{_hex(prefix)}%")'
        case Contains(field, value):
            column = "l" + _hex(field)
            return f"({_there(column)} and {_holds(column, _token(value))})"
        case _:
            raise InvalidArgumentError(
                f"{filter!r} has no Milvus expression: expected a filter made with F, &, | and ~"
            )


def _compare(field: str, operator: str, value: Scalar) -> str:
    column = _kind(value) + _hex(field)
    return f'({_there(column)} and metadata["{column}"] {operator} "{_digits(value)}")'


def _there(column: str) -> str:
    return _holds(_FIELDS, column)


def _holds(column: str, text: str) -> str:
    return f'json_contains(metadata["{column}"], "{text}")'


def _any(parts: Sequence[str]) -> str:
    return "(" + " or ".join(parts) + ")" if parts else _NEVER


def _is_scalar(value: JSONValue) -> bool:
    return isinstance(value, (str, int, float))


def _token(value: Scalar) -> str:
    return _kind(value) + _digits(value)


def _kind(value: JSONValue) -> str:
    if isinstance(value, str):
        return "s"
    if isinstance(value, bool):
        return "b"
    if isinstance(value, (int, float)):
        return "n"
    return "m" if isinstance(value, Mapping) else "l"


def _digits(value: Scalar) -> str:
    """Return hex digits that sort as values of the same kind do, equal for equal values."""
    if isinstance(value, str):
        return _hex(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    # The nearest float64, its bits turned so that they sort, then what is missing
    # to an integer beyond 2^53: at most half a step, which is 512 below 2^63.
    near = float(value)
    (bits,) = struct.unpack(">Q", struct.pack(">d", near + 0.0))
    bits = ~bits & (2**64 - 1) if bits >> 63 else bits | 1 << 63
    return f"{bits:016x}{int(value - int(near)) + 2048 if isinstance(value, int) else 2048:04x}"


def _hex(text: str) -> str:
    # UTF-8 sorts as code points do.
    return text.encode().hex()
