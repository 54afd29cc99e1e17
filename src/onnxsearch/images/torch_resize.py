"""Resizing with the bits that torch gives on uint8 tensors.

`torch.nn.functional.interpolate(antialias=True)` on uint8 tensors, which
transformers' torchvision processors call, uses the same filters as Pillow, but
rounds the weights to 16 bits. Results differ from Pillow's by up to 3 of 255 levels.
Source: `compute_index_ranges_int16_weights` in pytorch's
`aten/src/ATen/native/cpu/UpSampleKernel.cpp`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TorchResample: TypeAlias = Literal["bilinear", "bicubic"]

_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}  # reach of each filter, in target pixels
_MAX_PRECISION = 22  # bits after the point; 8 more are the byte's, 2 are left for sums
_MAX_BETWEEN = 1 << 26  # bytes between the two passes
_MAX_WEIGHTS = 1 << 20  # computed at a time


def torch_resize(image: Image.Image, size: tuple[int, int], resample: TorchResample) -> Image.Image:
    """Return `image`, of mode RGB, resized to (height, width) with torch's bits.

    Args:
        image: The image; returned unchanged if it has the size already.
        size: (height, width) of the result.
        resample: Filter.
    """
    height, width = size
    if image.size == (width, height):
        return image
    pixels = np.asarray(image)
    # The first pass in torch's order would enlarge a needle beyond measure.
    order = (1, 0) if image.height * width * 3 <= _MAX_BETWEEN else (0, 1)
    for axis in order:
        pixels = _resize_axis(pixels, axis, size[axis], resample)
    return Image.fromarray(pixels)


def _resize_axis(
    pixels: NDArray[np.uint8], axis: int, length: int, resample: TorchResample
) -> NDArray[np.uint8]:
    if pixels.shape[axis] == length:
        return pixels
    moved = np.moveaxis(pixels, axis, 0)
    rows = np.ascontiguousarray(moved).reshape(len(moved), -1)
    largest = max(float(weights.max()) for _, weights in _windows(len(rows), length, resample))
    precision = _precision(largest)
    half = 1 << (precision - 1)
    resized = np.empty((length, rows.shape[1]), np.uint8)
    targets = iter(resized)
    for starts, weights in _windows(len(rows), length, resample):
        scaled = weights * (1 << precision)
        whole = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int32)
        for start, window, target in zip(starts.tolist(), whole, targets, strict=False):
            # In 32 bits, as torch: they suffice, and no threads of BLAS are started.
            some = rows[start : start + len(window)].astype(np.int32)
            total = window[: len(some)] @ some
            target[...] = np.clip((total + half) >> precision, 0, 255)
    return np.moveaxis(resized.reshape(length, *moved.shape[1:]), 0, axis)


def _windows(
    source: int, length: int, resample: TorchResample
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield chunks of target pixels: their first source pixels, and a row of weights each.

    Rows are padded with zeros, which may reach beyond the source.
    """
    scale = source / length
    stretch = max(scale, 1.0)
    support = _SUPPORT[resample] * stretch
    reach = int(2 * support) + 2
    step = max(1, _MAX_WEIGHTS // reach)
    for first in range(0, length, step):
        centres = scale * (np.arange(first, min(first + step, length)) + 0.5)
        starts = np.maximum((centres - support + 0.5).astype(np.int64), 0)
        stops = np.minimum((centres + support + 0.5).astype(np.int64), source)
        places = starts[:, np.newaxis] + np.arange(reach)
        distances = (places - centres[:, np.newaxis] + 0.5) * (1.0 / stretch)
        weights = _triangle(distances) if resample == "bilinear" else _cubic(distances)
        weights[places >= stops[:, np.newaxis]] = 0.0
        # `cumsum` adds one by one, as in C; `sum` would add pairs, and round differently.
        yield starts, weights / np.cumsum(weights, axis=1)[:, -1:]


def _precision(largest: float) -> int:
    for bits in range(_MAX_PRECISION):
        if int(0.5 + largest * (1 << (bits + 1))) >= 1 << 15:
            return bits
    return _MAX_PRECISION


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(1.0 - np.abs(x), 0.0, None)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution with a = -0.5, as in Pillow."""
    a = -0.5
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
