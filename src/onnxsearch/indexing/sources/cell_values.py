"""Values of tables as metadata, which are JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from uuid import UUID

from onnxsearch._internal.iso_time import iso_text
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue

_DEEPEST = 100
"""Levels of lists and structs, at most."""


def is_empty(value: object) -> bool:
    """Return whether a cell holds no value: None, NaN or an empty text."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def metadata_of(cells: Mapping[str, object]) -> dict[str, JSONValue]:
    """Return the values of a row as metadata; empty cells are left out.

    Dates and times become ISO 8601 text, durations seconds, decimal numbers floats or integers.

    Raises:
        InvalidArgumentError: A value has a type that JSON does not have.
    """
    return {
        name: _plain(value, f"column {name!r:.80}", 0)
        for name, value in cells.items()
        if not is_empty(value)
    }


def _plain(value: object, where: str, depth: int) -> JSONValue:
    if depth > _DEEPEST:
        raise InvalidArgumentError(f"{where} is nested more than {_DEEPEST} levels deep")
    match value:
        case None | bool():
            return value
        case int() if -(2**63) <= value < 2**63:
            return value
        case str():
            return _text(value, where)
        case float() | Decimal() if math.isnan(value):
            return None
        case float() if math.isfinite(value):
            return value
        case Decimal() if value.is_finite():
            return _number(value)
        case date():  # or a datetime
            return iso_text(value)
        case time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case Mapping():
            return {str(key): _plain(item, where, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return _list(value, where, depth)
    raise InvalidArgumentError(
        f"{where} holds {value!r:.80}, of type {type(value).__name__}: expected text, finite "
        "numbers of at most 64 bits, dates, lists and structs"
    )


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{where} holds {value!r:.80}, which is not text in UTF-8: save the table as UTF-8"
        ) from error
    return value


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)


def _list(values: Sequence[object], where: str, depth: int) -> JSONValue:
    return [_plain(each, where, depth + 1) for each in values]
