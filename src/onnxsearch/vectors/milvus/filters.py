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
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import (
    And,
    Contains,
    Exists,
    FieldComparison,
    Filter,
    Not,
    OneOf,
    Operator,
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
_FEW = 8
"""Values that Lite compares one by one; halving fewer makes longer expressions only."""
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


def expression(filter: Filter, *, lite: bool = False) -> str:
    """Return the Milvus expression that finds what `filter` matches.

    Args:
        filter: What to look for.
        lite: Whether Milvus Lite is to read it, which knows no `in` for JSON.

    Raises:
        InvalidArgumentError: It is of a kind that Milvus has no words for.
    """
    return _condition(filter, lite=lite).text


class _Condition(NamedTuple):
    levels: int
    """Operators on the way to the deepest operand. A server reads 48 of them."""
    text: str


_NEVER = _Condition(1, 'id == ""')
_ALWAYS = _Condition(1, 'id != ""')


def _condition(filter: Filter, *, lite: bool) -> _Condition:
    match filter:
        case And(parts):
            return _joined("and", [_condition(part, lite=lite) for part in parts], _ALWAYS)
        case Or(parts):
            return _any([_condition(part, lite=lite) for part in _merged(parts)])
        case Not(part):
            levels, text = _condition(part, lite=lite)
            return _Condition(levels + 1, f"not ({text})")
        case Exists(field):
            return _any([_Condition(0, _there(kind + _hex(field))) for kind in _KINDS])
        case FieldComparison(field, operator, value):
            return _guarded(_kind(value) + _hex(field), f'{operator.value} "{_digits(value)}"')
        case OneOf(field, values):
            return _one_of(field, values, lite=lite)
        case StartsWith(field, prefix):
            return _guarded("s" + _hex(field), f'like "{_hex(prefix)}%"')
        case Contains(field, value):
            column = "l" + _hex(field)
            return _Condition(1, f"({_there(column)} and {_holds(column, _token(value))})")
        case _:
            raise InvalidArgumentError(
                f"{filter!r} has no Milvus expression: expected a filter made with F, &, | and ~"
            )


def _merged(parts: Iterable[Filter]) -> list[Filter]:
    """Make one list of all values that one field may equal."""
    values: dict[str, list[Scalar]] = {}
    others: list[Filter] = []
    for part in parts:
        match part:
            case FieldComparison(field, Operator.EQ, value):
                values.setdefault(field, []).append(value)
            case OneOf(field, several):
                values.setdefault(field, []).extend(several)
            case _:
                others.append(part)
    return [*(OneOf(field, tuple(several)) for field, several in values.items()), *others]


def _one_of(field: str, values: Iterable[Scalar], *, lite: bool) -> _Condition:
    columns: dict[str, set[str]] = {}
    for value in values:
        columns.setdefault(_kind(value) + _hex(field), set()).add(_digits(value))
    ways: list[_Condition] = []
    for column, several in columns.items():
        digits = sorted(several)
        if lite:
            ways.append(_Condition(1, f"({_there(column)} and {_among(column, digits)})"))
        else:
            ways.append(_guarded(column, 'in ["' + '", "'.join(digits) + '"]'))
    return _any(ways)


def _among(column: str, digits: Sequence[str]) -> str:
    """Look for one of sorted digits by halving them, which Lite does for each row."""
    found = f'metadata["{column}"]'
    if len(digits) <= _FEW:
        return "(" + " or ".join(f'{found} == "{each}"' for each in digits) + ")"
    half = len(digits) // 2
    low, high = _among(column, digits[:half]), _among(column, digits[half:])
    pivot = digits[half]
    return f'({found} < "{pivot}" and {low} or {found} >= "{pivot}" and {high})'


def _guarded(column: str, condition: str) -> _Condition:
    return _Condition(1, f'({_there(column)} and metadata["{column}"] {condition})')


def _there(column: str) -> str:
    return _holds(_FIELDS, column)


def _holds(column: str, text: str) -> str:
    return f'json_contains(metadata["{column}"], "{text}")'


def _any(parts: Iterable[_Condition]) -> _Condition:
    return _joined("or", parts, _NEVER)


def _joined(word: str, parts: Iterable[_Condition], empty: _Condition) -> _Condition:
    """Join parts two by two, the shallowest first, which makes the lowest tree.

    The source is M. C. Golumbic, Combinatorial merging, IEEE Transactions on Computers
    25 (1976). Left to itself, a server puts each part a level below the one before.
    """
    waiting = list(parts) or [empty]
    heapify(waiting)
    while len(waiting) > 1:
        one, other = heappop(waiting), heappop(waiting)
        text = f"({one.text} {word} {other.text})"
        heappush(waiting, _Condition(other.levels + 1, text))
    return waiting[0]


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
