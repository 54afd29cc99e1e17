"""Values that a field can be compared with, and their equality."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from datetime import date
from typing import TypeAlias

from onnxsearch._internal.iso_time import iso_text
from onnxsearch._internal.validation import instance
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue, Metadata

Scalar: TypeAlias = str | int | float | bool
"""A value that a field can be compared with."""

FilterDict: TypeAlias = "Mapping[str, FilterDict | Sequence[FilterDict | Scalar] | Scalar]"
"""A filter as JSON; see `F.from_dict`."""

MOST_NAMES = 8
"""Names that lead to a field in nested objects, at most."""

Typed: TypeAlias = tuple[str, Scalar]
"""A value with its type. Two are equal, and of one hash, if filters treat the values as
equal: 1 and 1.0, as in Python, but not 1 and True."""


def with_type(value: JSONValue) -> Typed | None:
    """Return a value with its type; None if it is not a scalar."""
    if isinstance(value, str):
        return "string", value
    if isinstance(value, bool):
        return "boolean", value
    return ("number", value) if isinstance(value, (int, float)) else None


def identity(value: object) -> Hashable:
    """Return a key of a value: two keys are equal if filters treat the values as equal.

    1 and 1.0 have the same key, 1 and True do not. Lists and objects have the same key if
    all their elements do, whatever the order of an object's fields.

    Raises:
        TypeError: The value, or an element of it, is not hashable.
    """
    if isinstance(value, bool | str | int | float):
        return with_type(value)
    if isinstance(value, list | tuple):
        return "list", tuple(identity(each) for each in value)
    if isinstance(value, Mapping):
        return "object", frozenset((key, identity(each)) for key, each in value.items())
    hash(value)
    return "other", value


def value_at(metadata: Metadata, path: Sequence[str]) -> JSONValue:
    """Return the value of a field; None where there is none."""
    found: JSONValue = metadata
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def plain(value: Scalar | date) -> Scalar:
    """Return a date or a time as the text that stands for it; other values as they are.

    Raises:
        InvalidArgumentError: A time is out of the range of UTC.
    """
    return iso_text(value) if isinstance(value, date) else value


def path_value(path: tuple[str, ...]) -> str | list[str]:
    """Return how a filter's mapping names a field."""
    return path[0] if len(path) == 1 else list(path)


def check_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return `path` if it can lead to a field.

    Raises:
        InvalidArgumentError: It is not a tuple of text, empty, or too long.
    """
    if not 1 <= len(instance("field", path, tuple, "a tuple of names")) <= MOST_NAMES:
        raise InvalidArgumentError(
            f"field {path!r:.80}: expected 1 to {MOST_NAMES} names, each of a field in the "
            "object before it"
        )
    for name in path:
        check_text(name, "within")
    return path


def checked(value: Scalar) -> Typed:
    """Check that metadata can hold a value, and return it with its type.

    Raises:
        InvalidArgumentError: Metadata cannot hold it.
    """
    known = with_type(value)
    if known is None or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidArgumentError(
            f"value {value!r:.80}: expected a string, a finite number, True, False, a date "
            "or a time"
        )
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidArgumentError(
            f"an integer of {value.bit_length()} bits: expected one of 64, from -2^63 to 2^63 - 1"
        )
    return known


def check_text(text: object, name: str = "value") -> None:
    """Raise an error unless `text` is text.

    Raises:
        InvalidArgumentError: `text` is not a string, or UTF-8 cannot encode it.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{name} {text!r:.80}: expected a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{text[:80]!r} holds half a surrogate pair, which is not a character: expected "
            "text that UTF-8 can encode"
        ) from error
