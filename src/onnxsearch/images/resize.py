"""Resizing and cropping by rules that give the same bits everywhere."""

from __future__ import annotations

from typing import Literal, TypeAlias

from PIL import Image

Resample: TypeAlias = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Rounding: TypeAlias = Literal["half-even", "floor"]
Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels, the order of a tensor's axes."""

MAX_ASPECT = 100
"""Longer pictures are cut to this many times their shorter side before the shorter
side is resized: the centre crop drops the rest anyway, and a picture of 1 x 1000000
pixels would become one of 224 x 224000000."""

_MAX_BETWEEN = 1 << 26  # pixels between the two passes, 256 MB

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize(image: Image.Image, size: Size, resample: Resample) -> Image.Image:
    """Return `image` in the size `size`; one that has it already comes back itself.

    Pillow resizes width first and then height; from version 13 on it does some
    portraits the other way round, which changes their last bits
    (python-pillow/Pillow#9549). Two separate passes give every version the bits of
    the older ones, at the same cost.
    """
    height, width = size
    kernel = _FILTERS[resample]
    if image.size == (width, height):
        return image
    if kernel is Image.Resampling.NEAREST:
        return image.resize((width, height), kernel)
    if width * image.height <= _MAX_BETWEEN:
        between = (width, image.height)
    else:  # a needle, blown up beyond measure by the first pass
        between = (image.width, height)
    return image.resize(between, kernel).resize((width, height), kernel)


def resize_shortest(image: Image.Image, side: int, resample: Resample) -> Image.Image:
    """Resize so that the shorter side is `side`, the longer one rounded down.

    Rounding down is what torchvision, timm and transformers do.
    """
    width, height = image.size
    longest = MAX_ASPECT * min(width, height)
    if max(width, height) > longest:
        image = centre_crop(image, (min(height, longest), min(width, longest)), "floor")
        width, height = image.size
    if width <= height:
        return resize(image, (int(side * height / width), side), resample)
    return resize(image, (side, int(side * width / height)), resample)


def centre_crop(image: Image.Image, size: Size, rounding: Rounding) -> Image.Image:
    """Return the middle of `image`; where it is smaller than `size`, black is added.

    Args:
        image: The image; one that has the size already comes back itself.
        size: (height, width) of the result.
        rounding: Where to begin when an odd number of pixels is left over:
            `half-even` as torchvision (`int(round(rest / 2))`), `floor` as
            transformers' Pillow processors.
    """
    height, width = size
    if image.size == (width, height):
        return image
    left = _margin(image.width - width, rounding)
    top = _margin(image.height - height, rounding)
    return image.crop((left, top, left + width, top + height))


def _margin(rest: int, rounding: Rounding) -> int:
    if rounding == "floor":
        return rest // 2
    # torchvision pads first, with the smaller half of the rest in front.
    return round(rest / 2) if rest >= 0 else -(-rest // 2)
