"""Checks of numbers and paths that callers pass."""

from __future__ import annotations

import math
import operator
import os
from numbers import Real
from pathlib import Path
from typing import SupportsIndex

from onnxsearch.errors import InvalidArgumentError


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


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as text.

    Raises:
        InvalidArgumentError: No file can have that name.
    """
    try:
        text = os.fsdecode(path)
        encoded = os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise InvalidArgumentError(f"path {path!r:.200}: expected a file's path") from error
    if b"\0" in encoded:
        raise InvalidArgumentError(f"path {text!r:.200} holds a NUL: expected a file's path")
    return text


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """Return where a file lies, checked like `path_text`."""
    return Path(path_text(path)).absolute()


def _as_float(value: object) -> float:
    return float(value) if isinstance(value, Real) else math.nan
