"""What a field can be compared with, and when two values are the same."""

from __future__ import annotations

import math
from typing import TypeAlias

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue

Scalar: TypeAlias = str | int | float | bool
"""What a field can be compared with."""

Typed: TypeAlias = tuple[str, Scalar]
"""A value beside its type. Equal, and of one hash, for what filters take as the same:
for 1 and 1.0, which Python agrees to, but not for 1 and True."""


def with_type(value: JSONValue) -> Typed | None:
    """Return a value with its type; None for what is no scalar."""
    if isinstance(value, str):
        return "string", value
    if isinstance(value, bool):
        return "boolean", value
    return ("number", value) if isinstance(value, (int, float)) else None


def checked(value: Scalar) -> Typed:
    """Return a value with its type, having checked that metadata can hold it.

    Raises:
        InvalidArgumentError: They can't.
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


def check_text(text: object) -> None:
    """Refuse what is no text.

    Raises:
        InvalidArgumentError: `text` is no string, or one that UTF-8 can't write.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{text!r:.80}: expected a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{text[:80]!r} holds half a surrogate pair, which is no character: expected text "
            "that UTF-8 can write"
        ) from error
