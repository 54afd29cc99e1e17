"""Pooling: one vector from tokens or a feature map."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from onnxsearch._internal.validation import choice
from onnxsearch.embedders.base import Tensor
from onnxsearch.errors import InvalidArgumentError, ModelOutputError
from onnxsearch.images.preprocessing.profile import Layout
from onnxsearch.types import Metric

Pooling = Literal["cls", "mean", "max", "avg"]
"""How tokens (`cls`, `mean`, `max`) or a feature map (`avg`, `max`) become a vector."""


def check_pooling(pooling: Pooling | None) -> Pooling | None:
    """Return `pooling` if there is such a pooling, or None.

    Raises:
        InvalidArgumentError: There is none of that name.
    """
    return None if pooling is None else choice("pooling", pooling, get_args(Pooling))


POOLINGS: dict[int, tuple[str, ...]] = {3: ("cls", "mean", "max"), 4: ("avg", "max")}
"""Poolings by number of axes of the output."""


def pool(output: Tensor, pooling: Pooling | None, layout: Layout) -> Tensor:
    """Turn an output into vectors (n, dimension).

    Args:
        output: (n, dimension); tokens (n, tokens, dimension); or a feature map
            (n, dimension, height, width) or (n, height, width, dimension). Axes of
            length 1 in a feature map are dropped.
        pooling: `cls` (the first token), `mean` or `max` over tokens; `avg` or
            `max` over a feature map. None for an output that is already a vector.
        layout: The model's input, which feature maps follow.

    Raises:
        ModelOutputError: The pooling does not fit the output.
    """
    values = output.reshape(squeezed(output.shape))
    allowed = poolings(output.shape)
    if values.ndim == 2 and (pooling is None or output.ndim == 4):
        return values
    if pooling not in allowed:
        expected = f"one of {', '.join(allowed)}" if allowed else "None"
        raise ModelOutputError(
            f"an output of shape {list(output.shape)} with pooling={pooling!r}: expected "
            f"pooling={expected}"
        )
    if pooling == "cls":
        return values[:, 0]
    axes = _spatial_axes(values.shape, layout) if values.ndim == 4 else 1
    over = np.max if pooling == "max" else np.mean
    # float16 would lose digits in a long sum. `unit_vectors` reports NaN and infinity.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(over(values.astype(np.float32), axis=axes))


def poolings(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the poolings for an output of this shape; () if it is already a vector."""
    return POOLINGS.get(len(squeezed(shape)), ())


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape (n, c) of a feature map of one pixel; other shapes as they are."""
    if len(shape) == 4 and sorted(shape[1:])[:2] == [1, 1]:
        return shape[0], max(shape[1:])
    return shape


def _spatial_axes(shape: tuple[int, ...], layout: Layout) -> tuple[int, int]:
    # Converters transpose the input and leave the output as it was, so the sides of a
    # square map say more about its axes than the input does.
    _, first, second, third = shape
    if (second == third) != (first == second):
        return (2, 3) if second == third else (1, 2)
    return (2, 3) if layout == "NCHW" else (1, 2)


def pooled_dimension(pooled: Tensor, output: str, metric: Metric) -> int:
    """Return the dimension of vectors that pooling made: numbers, or bits for `Metric.HAMMING`.

    Args:
        pooled: What pooling made of an output.
        output: The name of the output, for messages.
        metric: How distances are measured.

    Raises:
        ModelOutputError: These are no vectors.
        InvalidArgumentError: Bits are compared, and pooling does not pack any.
    """
    if pooled.ndim != 2:
        raise ModelOutputError(
            f"pool() made shape {pooled.shape} of output {output!r}: expected (images, dimension)"
        )
    if metric is not Metric.HAMMING:
        return int(pooled.shape[1])
    if pooled.dtype != np.uint8:
        raise InvalidArgumentError(
            f"metric=Metric.HAMMING, and the model's vectors are {pooled.dtype}: expected a "
            "subclass whose pool() packs bits, as np.packbits(output > 0, axis=1) does"
        )
    return int(pooled.shape[1]) * 8
