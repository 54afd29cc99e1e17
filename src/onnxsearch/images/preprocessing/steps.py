"""Arithmetic on pixel values, in the order and precision of each library."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from onnxsearch.errors import ProfileError

Operation: TypeAlias = Literal["add", "subtract", "multiply", "divide"]
Precision: TypeAlias = Literal["float32", "float64"]

_OPERATIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on pixel values."""

    operation: Operation
    values: tuple[float, ...]
    """One number for all channels, or one for each, in the model's order of colours."""
    precision: Precision = "float32"
    """What is computed with; the result is rounded to float32."""

    def __post_init__(self) -> None:
        check_choice("operation", self.operation, Operation)
        check_choice("precision", self.precision, Precision)
        # A list compares and hashes differently from a tuple of the same numbers.
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))
        if len(self.values) not in (1, 3) or not np.isfinite(self.values).all():
            raise ProfileError(
                f"values of {self.operation!r}: {self.values}, expected 1 or 3 numbers"
            )
        if self.operation == "divide" and 0.0 in self.values:
            raise ProfileError("values of 'divide': expected numbers other than 0")


@lru_cache(maxsize=64)
def lookup_table(steps: tuple[Step, ...], dtype: str) -> NDArray[np.floating]:
    """Return what the steps make of each byte: array (3, 256), in the model's colours.

    A byte has 256 values, so the arithmetic need be done on no more than these; done
    once in the library's own order, it is exact for every picture.
    """
    table = np.repeat(np.arange(256, dtype=np.float32)[np.newaxis], 3, axis=0)
    with np.errstate(over="ignore", invalid="ignore"):  # found below
        for step in steps:
            values = np.asarray(step.values, step.precision)[:, np.newaxis]
            operand = table.astype(step.precision)
            table = _OPERATIONS[step.operation](operand, values).astype(np.float32)
        table = table.astype(dtype)
    if not np.isfinite(table).all():
        raise ProfileError(f"the arithmetic {steps} leaves the range of {dtype}")
    table.flags.writeable = False
    return table


def check_choice(field: str, value: object, choices: object) -> None:
    """Raise `ProfileError` if `value` is none of those in `choices`, a `Literal`."""
    if value not in get_args(choices):
        expected = ", ".join(repr(choice) for choice in get_args(choices))
        raise ProfileError(f"{field}: {value!r}, expected one of {expected}")
