"""Checks of the arguments that callers pass: each names the argument and says what it takes."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Real
from typing import SupportsIndex, TypeVar

from onnxsearch.errors import InvalidArgumentError

T = TypeVar("T")

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def integer(name: str, value: SupportsIndex, *, least: int, most: int | None = None) -> int:
    """Return `value` as an `int`, numpy's integers included.

    Raises:
        InvalidArgumentError: It is not an integer, smaller than `least`, or larger than
            `most`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if (
        number is None
        or isinstance(value, bool)
        or number < least
        or (most is not None and number > most)
    ):
        limit = "" if most is None else f", at most {most}"
        raise InvalidArgumentError(
            f"{name} {value!r:.80}: expected an integer, at least {least}{limit}"
        )
    return number


def number(name: str, value: float, *, least: float = -math.inf, most: float = math.inf) -> float:
    """Return `value` as a `float`, numpy's numbers included.

    Raises:
        InvalidArgumentError: It is not a number, NaN, or not between `least` and `most`.
    """
    checked = _as_float(value)
    if not least <= checked <= most:
        bounds = "" if math.isinf(least) else f" from {least:g} to {most:g}"
        raise InvalidArgumentError(f"{name} {value!r:.80}: expected a number{bounds}")
    return checked


def finite(name: str, value: float) -> float:
    """Return `value` as a `float`, numpy's numbers included.

    Raises:
        InvalidArgumentError: It is not a number, NaN, or infinite.
    """
    checked = _as_float(value)
    if not math.isfinite(checked):
        raise InvalidArgumentError(f"{name} {value!r:.80}: expected a finite number")
    return checked


def seconds(name: str, value: float, *, zero: bool = False) -> float:
    """Return `value` as a `float`.

    Raises:
        InvalidArgumentError: It is not a finite number above 0, or with `zero` not below 0.
    """
    number = _as_float(value)
    if not math.isfinite(number) or number < 0 or not (number or zero):
        raise InvalidArgumentError(
            f"{name} {value!r:.80}: expected seconds, {'0 or more' if zero else 'more than 0'}"
        )
    return number


def boolean(name: str, value: bool, expected: str = "True or False") -> bool:
    """Return `value` if it is True or False.

    Raises:
        InvalidArgumentError: It is not.
    """
    return instance(name, value, bool, expected)


def text(name: str, value: str, expected: str = "a string") -> str:
    """Return `value` if it is a string with at least one character.

    Raises:
        InvalidArgumentError: It is not.
    """
    if not instance(name, value, str, expected):
        raise InvalidArgumentError(f"{name} is empty: expected {expected}")
    return value


def choice(name: str, value: T, options: Collection[T]) -> T:
    """Return `value` if it is one of the options, of the same type too.

    Raises:
        InvalidArgumentError: It is not.
    """
    if not any(type(value) is type(option) and value == option for option in options):
        shown = ", ".join(repr(option) for option in options)
        raise InvalidArgumentError(f"{name} {value!r:.80}: expected one of {shown}")
    return value


def instance(name: str, value: T, types: type | tuple[type, ...], expected: str) -> T:
    """Return `value` if it is of one of the types.

    Raises:
        InvalidArgumentError: It is not.
    """
    if not isinstance(value, types):
        raise InvalidArgumentError(f"{name} {value!r:.80}: expected {expected}")
    return value


def optional(check: Callable[[str, T], T], name: str, value: T | None) -> T | None:
    """Return None, or what `check` makes of another value."""
    return None if value is None else check(name, value)


def items(
    name: str, values: Iterable[T], expected: str, single: tuple[type, ...] = (str, bytes, Mapping)
) -> list[T]:
    """Return the values of an iterable; a single value, such as a string, is not one.

    Raises:
        InvalidArgumentError: It is not an iterable, or of one of the types `single`.
    """
    if isinstance(values, single) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} {values!r:.80}: expected {expected}")
    return list(values)


def pairs(name: str, values: Iterable[object]) -> list[tuple[str, str]]:
    """Return pairs of ids, each of two different ids.

    Raises:
        InvalidArgumentError: There are none, or one is not as said.
    """
    checked: list[tuple[str, str]] = []
    for pair in items(name, values, "pairs of ids"):
        match pair:
            case [str() as one, str() as other]:
                checked.append((one, other))
            case _:
                raise InvalidArgumentError(f"{name} hold {pair!r:.200}: expected pairs of two ids")
        if one == other:
            raise InvalidArgumentError(
                f"{name} hold {one!r:.200} twice in what is no pair: expected two different ids"
            )
    if not checked:
        raise InvalidArgumentError(f"{name} are empty: expected at least one pair of ids")
    return checked


def check_name(name: object) -> str:
    """Return `name` if it can name a model.

    Raises:
        InvalidArgumentError: It cannot.
    """
    if not isinstance(name, str) or not _MODEL_NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"model name {name!r:.200}: expected a letter or digit, then at most 99 letters, "
            "digits, dots, underscores and hyphens"
        )
    return name


def _as_float(value: object) -> float:
    # To Python, True is the number 1.
    return math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
