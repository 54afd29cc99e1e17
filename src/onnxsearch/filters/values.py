"""Values that a field can be compared with, and their equality."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeAlias

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue

Scalar: TypeAlias = str | int | float | bool
"""A value that a field can be compared with."""

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


def checked(value: Scalar) -> Typed:
    """Check that metadata can hold a value, and return it with its type.

    Raises:
        InvalidArgumentError: Metadata cannot hold it.
    """
    known = with_type(value)
    if known is None or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidArgumentError(
            f"value {value!r:.80}: expected a string, a finite number, True or False"
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
