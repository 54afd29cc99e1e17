"""Checked reading of the JSON configuration files of other libraries."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from typing import TypeGuard, TypeVar

from onnxsearch._internal.open_files import open_to_read
from onnxsearch._internal.paths import absolute_path
from onnxsearch.errors import ProfileError
from onnxsearch.images.resize import MAX_SIDE, Size

_MAX_BYTES = 1 << 20  # the largest of these files have some kilobytes

T = TypeVar("T")
S = TypeVar("S")


class Config:
    """The values of a JSON object, each checked when it is asked for.

    A value of null counts as missing; `is_null` tells them apart.

    Args:
        values: The object.
        source: Name of the object in messages: the file, and the keys that lead to it.
    """

    def __init__(self, values: Mapping[str, object], source: str) -> None:
        self._values = values
        self.source = source

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Config:
        """Read the JSON object in a file; `~` is expanded.

        Raises:
            ProfileError: The file cannot be read, or does not hold an object.
        """
        file = absolute_path(path)
        try:
            status = os.stat(file)
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its other end
                raise ProfileError(f"{file!r}: expected a regular file")
            if status.st_size > _MAX_BYTES:
                raise ProfileError(
                    f"{file!r}: {status.st_size} bytes, expected at most {_MAX_BYTES}"
                )
            with open_to_read(file) as data:
                values = json.loads(data.read().decode("utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise ProfileError(f"{file!r} cannot be read as JSON: {error}") from error
        if not isinstance(values, dict):
            raise ProfileError(f"{file!r} holds a JSON {type(values).__name__}: expected an object")
        return cls(values, os.path.basename(file))

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> object:
        """Return the unchecked value of `key`, None if there is none."""
        return self._values.get(key)

    def is_null(self, key: str) -> bool:
        """Return whether the object has `key`, with the value null."""
        return key in self._values and self._values[key] is None

    def error(self, key: str, expected: str) -> ProfileError:
        """Build the error for `key`."""
        return ProfileError(f"{self.source}: {key} is {self.get(key)!r:.80}: {expected}")

    def inner(self, key: str) -> Config:
        """Return the object under `key`, or an empty object if there is none."""
        value = self.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.error(key, "expected an object")
        return Config(value, f"{self.source}, {key}")

    def text(self, key: str, default: str | None = None) -> str:
        """Return the text under `key`."""
        value = default if self.get(key) is None else self.get(key)
        if not isinstance(value, str):
            raise self.error(key, "expected text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return the boolean under `key`."""
        value = default if self.get(key) is None else self.get(key)
        if not isinstance(value, bool):
            raise self.error(key, "expected true or false")
        return value

    def number(self, key: str, default: float, *, above: float = -math.inf) -> float:
        """Return the finite number under `key`, greater than `above`."""
        value = default if self.get(key) is None else self.get(key)
        if not _is_number(value) or not above < value:
            raise self.error(key, f"expected a number above {above}")
        return float(value)

    def pixels(self, key: str, default: int | None = None) -> int:
        """Return the number of pixels under `key`."""
        value = default if self.get(key) is None else self.get(key)
        if not _is_side(value):
            raise self.error(key, f"expected pixels, from 1 to {MAX_SIDE}")
        return value

    def size(self, key: str, default: int | None = None) -> Size:
        """Return (height, width): one number, a pair, or an object of the two."""
        value = default if self.get(key) is None else self.get(key)
        if isinstance(value, dict) and set(value) == {"height", "width"}:
            value = [value["height"], value["width"]]
        match value if isinstance(value, list) else [value, value]:
            case [height, width] if _is_side(height) and _is_side(width):
                return height, width
        raise self.error(
            key, f"expected pixels, or height and width in pixels, from 1 to {MAX_SIDE}"
        )

    def channels(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """Return one number for each of three channels; one number stands for all."""
        value = list(default) if self.get(key) is None else self.get(key)
        values = value if isinstance(value, list) else [value] * 3
        numbers = tuple(float(number) for number in values if _is_number(number))
        if not len(values) == len(numbers) == 3:
            raise self.error(key, "expected a number, or one for each of three channels")
        return numbers

    def choice(self, key: str, choices: Mapping[T, S], default: T) -> S:
        """Return the entry of `choices` for the value of `key`."""
        value = default if self.get(key) is None else self.get(key)
        for name, meaning in choices.items():
            if type(value) is type(name) and value == name:
                return meaning
        raise self.error(key, f"expected one of {', '.join(map(repr, choices))}")


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _is_side(value: object) -> TypeGuard[int]:
    return type(value) is int and 1 <= value <= MAX_SIDE
