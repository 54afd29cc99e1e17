"""Resizing and cropping with the same bits on every platform and version of Pillow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from PIL import Image

from onnxsearch.errors import ImageTooLargeError
from onnxsearch.images.reducing_resize import MAX_BETWEEN, is_large, reducing_resize
from onnxsearch.images.torch_resize import torch_resize
from onnxsearch.types import Region

Resample: TypeAlias = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Resampler: TypeAlias = Literal["pillow", "torch", "reducing"]
Rounding: TypeAlias = Literal["half-even", "floor", "truncate"]
Fit: TypeAlias = Literal["squash", "shortest", "cover", "contain"]
Colour: TypeAlias = tuple[int, int, int]
Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels, the order of a tensor's axes."""
Box: TypeAlias = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, as Pillow has it."""

MAX_SIDE = 8192
"""Pixels in a side of a model's input, at most: more is a mistake, or meant to fill memory."""

MAX_ASPECT = 100
"""Longer images are cut to this many times their shorter side before the shorter
side is resized: the centre crop drops the rest anyway, and an image of 1 x 1000000
pixels would be resized to 224 x 224000000."""

MAX_RESIZED = 1 << 27
"""Pixels of a resized image before its crop, at most: 512 MB. Only a needle under a large
`resize_to` exceeds it: one of 100 x 1 whose shorter side becomes 8192 would take 27 GB."""

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


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop of the middle, see `centre_crop`."""

    size: Size
    rounding: Rounding

    def box(self, image: Size) -> Box:
        """Return the part of an image of (height, width) that the crop keeps."""
        height, width = image
        left = max(0, _margin(width - self.size[1], self.rounding))
        top = max(0, _margin(height - self.size[0], self.rounding))
        return left, top, min(width, left + self.size[1]), min(height, top + self.size[0])


def resize_to_fit(
    image: Image.Image,
    fit: Fit,
    target: Size,
    resample: Resample,
    resampler: Resampler,
    crop: Crop | None = None,
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
            which has `bilinear` and `bicubic`. `reducing` is Pillow's for images that are
            not large, and `reducing_resize` for others.
        crop: The crop that follows. What it drops may be missing in the result.

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
    box = None if crop is None else crop.box(size)
    if resampler == "reducing" and is_large(image, size):
        return reducing_resize(image, size, _FILTERS[resample], box or _whole(size))
    return resize(image, size, resample, box)


def resize(
    image: Image.Image, size: Size, resample: Resample, box: Box | None = None
) -> Image.Image:
    """Return `image` in (height, width) `size`; unchanged if it has the size already.

    Pillow resizes width first and then height; from version 13 on it resizes some
    portraits the other way round, which changes their last bits
    (python-pillow/Pillow#9549). Two separate passes give every version the bits of
    the older ones, at the same cost.

    Args:
        image: The image, of any mode.
        size: (height, width) of the result.
        resample: Filter.
        box: The part of the result to return, by default all of it. Columns outside are
            left out of the second pass, which gives the same bits for less.
    """
    height, width = size
    left, top, right, bottom = box or _whole(size)
    kernel = _FILTERS[resample]
    if image.size == (width, height):
        return _part(image, (left, top, right, bottom))
    if kernel is Image.Resampling.NEAREST or image.mode in ("1", "P"):  # not to be averaged
        resized = image.resize((width, height), Image.Resampling.NEAREST)
        return _part(resized, (left, top, right, bottom))
    if image.mode in _PREMULTIPLIED:
        premultiplied = image.convert(_PREMULTIPLIED[image.mode])
        return resize(premultiplied, size, resample, box).convert(image.mode)
    if width * image.height <= MAX_BETWEEN:
        columns = _part(image.resize((width, image.height), kernel), (left, 0, right, image.height))
        return _part(columns.resize((right - left, height), kernel), (0, top, right - left, bottom))
    # A needle, which the other order would enlarge beyond measure.
    rows = _part(image.resize((image.width, height), kernel), (0, top, image.width, bottom))
    return _part(rows.resize((width, bottom - top), kernel), (left, 0, right, bottom - top))


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


def seen_part(image: Size, fit: Fit, target: Size, crop: Crop) -> Region:
    """Return which part of an image `resize_to_fit` and `centre_crop` leave of it.

    Args:
        image: (height, width) of the image.
        fit: See `resize_to_fit`.
        target: (height, width) to fit it to.
        crop: The crop that follows.

    Returns:
        The part, which is larger than the image where the crop adds a border.
    """
    whole = _length_without_ends(image, target) if fit in ("shortest", "cover") else image
    fitted = _fitted(whole, fit, target)
    edges: list[tuple[float, float]] = []
    for length, kept, resized, size in zip(image, whole, fitted, crop.size, strict=True):
        before = (length - kept) // 2
        start = _margin(resized - size, crop.rounding)
        scale = kept / resized
        edges.append(
            ((before + start * scale) / length, (before + (start + size) * scale) / length)
        )
    (top, bottom), (left, right) = edges
    return Region(left, top, right, bottom)


def _whole(size: Size) -> Box:
    height, width = size
    return 0, 0, width, height


def _part(image: Image.Image, box: Box) -> Image.Image:
    """Return a part of `image`, which is the image itself if that is all."""
    return image if box == (0, 0, *image.size) else image.crop(box)


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
    kept = _length_without_ends((image.height, image.width), target)
    return image if kept == (image.height, image.width) else centre_crop(image, kept, "floor")


def _length_without_ends(image: Size, target: Size) -> Size:
    """Return (height, width) of an image without the ends that make it a needle."""
    target_aspect = math.ceil(max(target) / min(target))
    longest = MAX_ASPECT * target_aspect * min(image)
    return min(image[0], longest), min(image[1], longest)


def _margin(rest: int, rounding: Rounding) -> int:
    if rounding == "floor":
        return rest // 2
    # Where pixels are missing, torchvision and its processors put the smaller half in front.
    return round(rest / 2) if rounding == "half-even" and rest >= 0 else int(rest / 2)
