"""Arithmetic on pixel values, in the order and precision of each library, and its constants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.validation import items
from onnxsearch.errors import InvalidArgumentError, ProfileError

Operation: TypeAlias = Literal["add", "subtract", "multiply", "divide"]
Precision: TypeAlias = Literal["float32", "float64"]
HFBackend: TypeAlias = Literal["pil", "torchvision"]
"""The two implementations that transformers has of each image processor."""

Channels: TypeAlias = tuple[float, ...]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

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
    """Number type of the computation; the result is rounded to float32."""

    def __post_init__(self) -> None:
        check_choice("operation", self.operation, Operation)
        check_choice("precision", self.precision, Precision)
        # A list compares and hashes differently from a tuple of the same numbers.
        try:
            values = tuple(_finite(value) for value in items("values", self.values, "numbers"))
        except (InvalidArgumentError, TypeError, OverflowError):
            values = ()
        if len(values) not in (1, 3):
            raise ProfileError(
                f"values of {self.operation!r}: {self.values!r:.80}, expected a tuple of 1 or 3 "
                "finite numbers"
            )
        object.__setattr__(self, "values", values)
        if self.operation == "divide" and 0.0 in self.values:
            raise ProfileError("values of 'divide': expected numbers other than 0")


def normalise(mean: Channels, deviation: Channels) -> tuple[Step, ...]:
    """Return the steps that scale bytes to 0..1 and normalise each channel, in float32."""
    return Step("divide", (255,)), Step("subtract", mean), Step("divide", deviation)


@lru_cache(maxsize=64)
def lookup_table(steps: tuple[Step, ...], dtype: str) -> NDArray[np.floating]:
    """Return the result of the steps for each byte: array (3, 256), in the model's colours.

    A byte has 256 values, so the arithmetic is needed for these only. Computed once in the
    library's own order, the table is exact for every image.
    """
    table = np.repeat(np.arange(256, dtype=np.float32)[np.newaxis], 3, axis=0)
    with np.errstate(over="ignore", invalid="ignore"):  # checked below
        for step in steps:
            values = np.asarray(step.values, step.precision)[:, np.newaxis]
            operand = table.astype(step.precision)
            table = _OPERATIONS[step.operation](operand, values).astype(np.float32)
        table = table.astype(dtype)
    if not np.isfinite(table).all():
        raise ProfileError(f"the arithmetic {steps} leaves the range of {dtype}")
    table.flags.writeable = False
    return table


def _finite(value: object) -> float:
    if not isinstance(value, Real) or not math.isfinite(value):
        raise TypeError(value)
    return float(value)


def check_choice(field: str, value: object, choices: object) -> None:
    """Raise `ProfileError` unless `value` is one of `choices`, a `Literal`."""
    if not isinstance(value, str) or value not in get_args(choices):
        expected = ", ".join(repr(choice) for choice in get_args(choices))
        raise ProfileError(f"{field}: {value!r}, expected one of {expected}")
