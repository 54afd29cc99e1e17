"""Resizing and cropping with the same bits on every platform and version of Pillow."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from PIL import Image

from onnxsearch.errors import ImageTooLargeError
from onnxsearch.images.torch_resize import torch_resize

Resample: TypeAlias = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Resampler: TypeAlias = Literal["pillow", "torch"]
Rounding: TypeAlias = Literal["half-even", "floor", "truncate"]
Fit: TypeAlias = Literal["squash", "shortest", "cover", "contain"]
Colour: TypeAlias = tuple[int, int, int]
Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels, the order of a tensor's axes."""

MAX_SIDE = 8192
"""Pixels in a side of a model's input, at most: more is a mistake, or meant to fill memory."""

MAX_ASPECT = 100
"""Longer images are cut to this many times their shorter side before the shorter
side is resized: the centre crop drops the rest anyway, and an image of 1 x 1000000
pixels would be resized to 224 x 224000000."""

MAX_RESIZED = 1 << 27
"""Pixels of a resized image before its crop, at most: 512 MB. Only a needle under a large
`resize_to` exceeds it: one of 100 x 1 whose shorter side becomes 8192 would take 27 GB."""

_MAX_BETWEEN = 1 << 26  # pixels between the two passes, 256 MB

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Pillow averages these modes with colours multiplied by their opacity, in each call of
# `resize`; two passes must multiply once.
_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}


def resize_to_fit(
    image: Image.Image, fit: Fit, target: Size, resample: Resample, resampler: Resampler
) -> Image.Image:
    """Resize `image` to `target` (height, width), as `fit` says.

    Args:
        image: The image; returned unchanged if it has the size already.
        fit: `squash` to both sides, whatever the aspect; `shortest`, the shorter side to
            the shorter one of `target` and the longer one rounded down, as torchvision,
            timm and transformers do; `cover`, until it covers `target`, or `contain`,
            until it fits in, both rounded to the nearest as timm's `ResizeKeepRatio`.
        target: (height, width) to fit it to.
        resample: Filter.
        resampler: Implementation to reproduce: Pillow's, or torch's on uint8 tensors,
            which has `bilinear` and `bicubic`.

    Raises:
        ImageTooLargeError: The result would have more than `MAX_RESIZED` pixels.
    """
    if fit in ("shortest", "cover"):
        image = _without_ends(image, target)
    size = _fitted((image.height, image.width), fit, target)
    if size[0] * size[1] > MAX_RESIZED:
        raise ImageTooLargeError(
            f"an image of {image.width} x {image.height} pixels would be resized to {size[1]} x "
            f"{size[0]} before its crop, and the limit is {MAX_RESIZED} pixels: its aspect is too "
            f"extreme for resize_to={target}, fit={fit!r}"
        )
    if resampler == "torch":
        return torch_resize(image, size, "bilinear" if resample == "bilinear" else "bicubic")
    return resize(image, size, resample)


def resize(image: Image.Image, size: Size, resample: Resample) -> Image.Image:
    """Return `image` in (height, width) `size`; unchanged if it has the size already.

    Pillow resizes width first and then height; from version 13 on it resizes some
    portraits the other way round, which changes their last bits
    (python-pillow/Pillow#9549). Two separate passes give every version the bits of
    the older ones, at the same cost.
    """
    height, width = size
    kernel = _FILTERS[resample]
    if image.size == (width, height):
        return image
    if kernel is Image.Resampling.NEAREST or image.mode in ("1", "P"):  # not to be averaged
        return image.resize((width, height), Image.Resampling.NEAREST)
    if image.mode in _PREMULTIPLIED:
        premultiplied = image.convert(_PREMULTIPLIED[image.mode])
        return resize(premultiplied, size, resample).convert(image.mode)
    if width * image.height <= _MAX_BETWEEN:
        between = (width, image.height)
    else:  # a needle, which the first pass would enlarge beyond measure
        between = (image.width, height)
    return image.resize(between, kernel).resize((width, height), kernel)


def centre_crop(
    image: Image.Image, size: Size, rounding: Rounding, fill: Colour = (0, 0, 0)
) -> Image.Image:
    """Return the middle of `image`, with a border where it is smaller than `size`.

    Args:
        image: The image; returned unchanged if it has the size already.
        size: (height, width) of the result.
        rounding: Where the crop begins when an odd number of pixels is left over or missing:
            `half-even` as torchvision (`int(round(rest / 2))`), `floor` as
            transformers' Pillow processors, `truncate` as its torchvision ones.
        fill: Colour of the border, RGB. Only images of mode RGB can have another colour
            than black.
    """
    height, width = size
    if image.size == (width, height):
        return image
    left = _margin(image.width - width, rounding)
    top = _margin(image.height - height, rounding)
    cut = image.crop((left, top, left + width, top + height))
    if fill == (0, 0, 0) or (left >= 0 and top >= 0):
        return cut
    framed = Image.new(image.mode, (width, height), fill)
    framed.paste(image, (-left, -top))
    return framed


def _fitted(source: Size, fit: Fit, target: Size) -> Size:
    if fit == "squash":
        return target
    height, width = source
    if fit == "shortest":
        side = min(target)
        if width <= height:
            return int(side * height / width), side
        return side, int(side * width / height)
    ratios = height / target[0], width / target[1]
    ratio = max(ratios) if fit == "contain" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _without_ends(image: Image.Image, target: Size) -> Image.Image:
    """Cut the ends off a needle, which the centre crop drops anyway; see `MAX_ASPECT`."""
    target_aspect = math.ceil(max(target) / min(target))
    longest = MAX_ASPECT * target_aspect * min(image.size)
    if max(image.size) <= longest:
        return image
    return centre_crop(image, (min(image.height, longest), min(image.width, longest)), "floor")


def _margin(rest: int, rounding: Rounding) -> int:
    if rounding == "floor":
        return rest // 2
    # Where pixels are missing, torchvision and its processors put the smaller half in front.
    return round(rest / 2) if rounding == "half-even" and rest >= 0 else int(rest / 2)
