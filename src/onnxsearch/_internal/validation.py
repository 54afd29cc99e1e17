"""Checks of numbers and names that callers pass."""

from __future__ import annotations

import math
import operator
import re
from numbers import Real
from typing import SupportsIndex

from onnxsearch.errors import InvalidArgumentError

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def integer(name: str, value: SupportsIndex, *, least: int) -> int:
    """Return `value` as an `int`, numpy's integers included.

    Raises:
        InvalidArgumentError: It is none, or smaller than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise InvalidArgumentError(f"{name} {value!r:.80}: expected an integer, at least {least}")
    return number


def number(name: str, value: float, *, least: float = -math.inf, most: float = math.inf) -> float:
    """Return `value` as a `float`.

    Raises:
        InvalidArgumentError: It is no number, NaN, or not between `least` and `most`.
    """
    checked = _as_float(value)
    if not least <= checked <= most:
        bounds = "" if math.isinf(least) else f" from {least:g} to {most:g}"
        raise InvalidArgumentError(f"{name} {value!r:.80}: expected a number{bounds}")
    return checked


def seconds(name: str, value: float, *, zero: bool = False) -> float:
    """Return `value` as a `float`.

    Raises:
        InvalidArgumentError: It is no finite number above 0, or with `zero` not below 0.
    """
    number = _as_float(value)
    if not math.isfinite(number) or number < 0 or not (number or zero):
        raise InvalidArgumentError(
            f"{name} {value!r:.80}: expected seconds, {'0 or more' if zero else 'more than 0'}"
        )
    return number


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
    return float(value) if isinstance(value, Real) else math.nan
