"""What happens to a picture on its way into a model, as data."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from onnxsearch.errors import ProfileError, UnsupportedImageError
from onnxsearch.images.conversion import AS_SEEN, DecodePolicy, flat, to_rgb, upright
from onnxsearch.images.pillow import PILLOW_ERRORS
from onnxsearch.images.preprocessing.steps import Step, check_choice, lookup_table
from onnxsearch.images.reading import DRAFTED
from onnxsearch.images.resize import (
    Colour,
    Fit,
    Resample,
    Resampler,
    Rounding,
    Size,
    centre_crop,
    resize_to_fit,
)

if TYPE_CHECKING:
    from onnxsearch.images.preprocessing.transformers import HFBackend

Colours: TypeAlias = Literal["RGB", "BGR"]
Layout: TypeAlias = Literal["NHWC", "NCHW"]

MAX_SIDE = 8192
"""Pixels in a side of what a model is fed: more is a mistake, or meant to fill memory."""


@dataclass(frozen=True, slots=True)
class PreprocessingProfile:
    """What happens to a picture on its way into a model.

    Two profiles are equal if they do the same; their names are not compared.
    Order of axes and number type come from the model, not from here.

    Example:
        >>> from PIL import Image
        >>> profile = PreprocessingProfile.named("keras-caffe")
        >>> profile.apply(Image.new("RGB", (640, 480)), "NHWC").shape
        (224, 224, 3)
    """

    name: str = field(compare=False)
    """For messages; says nothing about what the profile does."""
    size: Size
    """(height, width) of what the model is fed, in pixels."""
    fit: Fit = "squash"
    """Resize both sides whatever the aspect (`squash`); the shorter side (`shortest`);
    until `resize_to` is covered (`cover`), or holds all of it (`contain`)."""
    resize_to: int | Size | None = None
    """Pixels to resize to, both sides or (height, width), before `size` is cut out of
    the middle. None: what `size` says."""
    rounding: Rounding = "half-even"
    """Where to cut when an odd number of pixels is left over."""
    fill: Colour = (0, 0, 0)
    """RGB colour of the border around pictures that are smaller than `size`."""
    resample: Resample = "bilinear"
    """Filter for resizing; all but `nearest` average over what they shrink."""
    resampler: Resampler = "pillow"
    """Whose bits resizing gives: Pillow's, or torch's on tensors of bytes."""
    colours: Colours = "RGB"
    """Order of the channels."""
    steps: tuple[Step, ...] = ()
    """Arithmetic on values of 0 to 255, in this order."""
    decode: DecodePolicy = AS_SEEN
    """What becomes of rotation, transparency and more than 8 bits."""
    source: str = field(default="declared", compare=False)
    """Where the profile came from, for messages."""

    def __post_init__(self) -> None:
        for name in ("size", "steps", "fill", "resize_to"):
            value = getattr(self, name)
            if isinstance(value, list):  # as JSON has it
                object.__setattr__(self, name, tuple(value))
        if not isinstance(self.name, str):
            raise ProfileError(f"name: {self.name!r:.80}, expected text")
        _check_size("size", self.size)
        if self.resize_to is not None:
            _check_size("resize_to", self._resized)
        _check_colour(self.fill)
        needs_rgb = self.resampler == "torch" or self.fill != (0, 0, 0)
        if needs_rgb and self.decode.convert == "last":
            raise ProfileError(
                "torch's resampler, and borders other than black, need pictures converted to RGB "
                "first: use a decode policy with convert='first'"
            )
        if self.resampler == "torch" and self.resample not in ("bilinear", "bicubic"):
            raise ProfileError(
                f"resample: {self.resample!r}, but torch's resampler has bilinear and bicubic only"
            )
        check_choice("fit", self.fit, Fit)
        check_choice("resampler", self.resampler, Resampler)
        check_choice("rounding", self.rounding, Rounding)
        check_choice("resample", self.resample, Resample)
        check_choice("colours", self.colours, Colours)

    @classmethod
    def named(cls, name: str, size: int | Size | None = None) -> PreprocessingProfile:
        """Return the profile that is known as `name`.

        Args:
            name: For example `keras-caffe`; a wrong one gets the list.
            size: Pixels (height, width, or one number for both) instead of the
                profile's own.

        Raises:
            ProfileError: No profile has this name (the message lists them), it
                needs a size, or it exists in one size only.
        """
        from onnxsearch.images.preprocessing.presets import named_profile

        return named_profile(name, (size, size) if isinstance(size, int) else size)

    @classmethod
    def from_config(
        cls, path: str | os.PathLike[str], *, hf_backend: HFBackend | None = None
    ) -> PreprocessingProfile:
        """Return the profile that a model's own configuration file describes.

        Args:
            path: A `preprocessor_config.json` or `processor_config.json` of
                transformers, a `config.json` of timm, or an `open_clip_config.json`.
            hf_backend: Which of its two implementations transformers would use; their
                pixels differ in about 1 of 100 by up to 3 levels. By default `pil`, with
                which models up to transformers 4 were evaluated, or `torchvision` where
                the file names a class that ends in `Fast`.

        Raises:
            ProfileError: The file is missing, damaged, or of a kind not known here.
        """
        from onnxsearch.images.preprocessing.model_config import profile_from_config

        return profile_from_config(path, hf_backend)

    @classmethod
    def from_json(cls, text: str) -> PreprocessingProfile:
        """Return the profile that `to_json` made `text` of.

        Raises:
            ProfileError: The text is not JSON, or not a profile.
        """
        try:
            values = {"name": "unnamed", "source": "JSON", **json.loads(text)}
            values["steps"] = tuple(Step(**step) for step in values.get("steps", ()))
            values["decode"] = DecodePolicy(**values.get("decode", {}))
            return cls(**values)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ProfileError(f"profile {text[:80]!r} cannot be read: {error}") from error

    def to_json(self) -> str:
        """Return the profile as JSON; the same text for the same profile, always."""
        values = asdict(self)
        del values["source"]
        return _json(values)

    def content(self) -> str:
        """Return what two profiles share if they are equal: no name, and no defaults.

        Fingerprints are made of it. What a later version adds is not in it where it
        isn't used, so that fingerprints outlive upgrades.
        """
        values = asdict(self)
        default = asdict(PreprocessingProfile(self.name, self.size, source=self.source))
        decode = _difference(values.pop("decode"), default.pop("decode"))
        for step in values["steps"]:
            if step["precision"] == "float32":
                del step["precision"]
        return _json({"size": self.size, "decode": decode, **_difference(values, default)})

    def apply(
        self, image: Image.Image, layout: Layout = "NCHW", dtype: DTypeLike = np.float32
    ) -> NDArray[np.floating]:
        """Return the tensor that a model is fed for one picture, without batch axis.

        Args:
            image: A loaded image of any mode; it is not changed, and may be shared
                between threads.
            layout: (height, width, 3) for `NHWC`, (3, height, width) for `NCHW`.
            dtype: float32, or float16, to which the float32 result is rounded.

        Raises:
            UnsupportedImageError: The image cannot be converted to RGB.
            ProfileError: The arithmetic leaves the range of `dtype`.
        """
        pixels = np.asarray(self.pixels(image))
        table = lookup_table(self.steps, np.dtype(dtype).name)
        order = (2, 1, 0) if self.colours == "BGR" else (0, 1, 2)
        shape = (3, *self.size) if layout == "NCHW" else (*self.size, 3)
        tensor = np.empty(shape, dtype)
        planes = tensor if layout == "NCHW" else tensor.transpose(2, 0, 1)
        for plane, channel, row in zip(planes, order, table, strict=True):
            if layout == "NCHW":
                # "clip" writes straight into the output; a byte is never out of range.
                np.take(row, pixels[..., channel], out=plane, mode="clip")
            else:
                plane[...] = row[pixels[..., channel]]
        return tensor

    def pixels(self, image: Image.Image) -> Image.Image:
        """Return the RGB picture of `size` whose pixels the arithmetic is done on."""
        if self.resample == "nearest" and DRAFTED in image.info:
            raise ProfileError(
                f"profile {self.name!r} picks single pixels (`nearest`), which a picture decoded "
                "as a draft does not have: open pictures with ReadPolicy(draft=None)"
            )
        if self.decode.convert == "first":
            return self._cut(to_rgb(image, self.decode))
        try:
            cut = self._cut(upright(image, self.decode))
        except PILLOW_ERRORS as error:
            raise UnsupportedImageError(
                f"a picture of mode {image.mode} cannot be resized as it is: {error}"
            ) from error
        return flat(cut, self.decode)

    @property
    def _resized(self) -> Size:
        if self.resize_to is None:
            return self.size
        return (
            (self.resize_to, self.resize_to) if isinstance(self.resize_to, int) else self.resize_to
        )

    def _cut(self, image: Image.Image) -> Image.Image:
        resized = resize_to_fit(image, self.fit, self._resized, self.resample, self.resampler)
        return centre_crop(resized, self.size, self.rounding, self.fill)


def _check_size(field: str, size: tuple[object, ...]) -> None:
    if len(size) != 2 or not all(_is_whole(side, 1, MAX_SIDE) for side in size):
        raise ProfileError(
            f"{field}: {size!r:.80}, expected pixels as (height, width), each from 1 to {MAX_SIDE}"
        )


def _check_colour(fill: tuple[object, ...]) -> None:
    if len(fill) != 3 or not all(_is_whole(level, 0, 255) for level in fill):
        raise ProfileError(f"fill: {fill!r:.80}, expected three numbers from 0 to 255")


def _is_whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _difference(values: dict[str, object], default: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value != default[key]}


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
