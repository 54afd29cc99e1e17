"""Preprocessing profiles: from an image to the tensor of a model's input."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from onnxsearch._internal.validation import instance
from onnxsearch.errors import InvalidArgumentError, ProfileError, UnsupportedImageError
from onnxsearch.images.conversion import DecodePolicy, flat, to_rgb, upright, upright_size
from onnxsearch.images.pillow import PILLOW_ERRORS
from onnxsearch.images.preprocessing.description import ProfileDescription
from onnxsearch.images.preprocessing.model_config import config_profile
from onnxsearch.images.preprocessing.presets import named_profile
from onnxsearch.images.preprocessing.steps import HFBackend, Step, lookup_table
from onnxsearch.images.reading import DRAFTED, ReadPolicy
from onnxsearch.images.reducing_resize import REDUCING_GAP
from onnxsearch.images.resize import Crop, Size, centre_crop, resize_to_fit, seen_part
from onnxsearch.types import Region

Layout: TypeAlias = Literal["NHWC", "NCHW"]


class DraftError(ProfileError, UnsupportedImageError):
    """An image was decoded as a draft, and the profile needs its single pixels.

    It is the error of a profile that does not fit the policy, and of one image that
    cannot be used, so that an index run goes on.
    """


@dataclass(frozen=True, slots=True)
class PreprocessingProfile(ProfileDescription):
    """How an image becomes the input of a model: conversion, resizing, crop, arithmetic.

    Two profiles are equal if they do the same; their names are not compared. The order of
    axes and the number type come from the model, not from the profile.

    Raises:
        ProfileError: A value is of the wrong type or out of range, or two contradict.

    Example:
        >>> from PIL import Image
        >>> profile = PreprocessingProfile.named("keras-caffe")
        >>> profile.apply(Image.new("RGB", (640, 480)), "NHWC").shape
        (224, 224, 3)
    """

    @classmethod
    def of(cls, description: ProfileDescription) -> PreprocessingProfile:
        """Return the profile that applies `description`."""
        values = {field.name: getattr(description, field.name) for field in fields(description)}
        return cls(**values)

    @classmethod
    def named(cls, name: str, size: int | Size | None = None) -> PreprocessingProfile:
        """Return the profile that is known as `name`.

        Args:
            name: For example `keras-caffe`; the error for an unknown name lists all names.
            size: Pixels (height, width, or one number for both) instead of the
                profile's own.

        Raises:
            ProfileError: No profile has this name, the profile needs a size, or it
                exists in one size only.
        """
        instance("name", name, str, "the name of a profile")
        return cls.of(
            named_profile(name, (size, size) if isinstance(size, int | np.integer) else size)
        )

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
            ProfileError: The file is missing, damaged, or of an unknown kind.
        """
        return cls.of(config_profile(path, hf_backend))

    @classmethod
    def from_json(cls, text: str) -> PreprocessingProfile:
        """Return the profile that `to_json` wrote as `text`.

        Raises:
            ProfileError: The text is not JSON, or not a profile.
        """
        instance("text", text, str, "the JSON text that to_json() gave")
        try:
            values = {"name": "unnamed", "source": "JSON", **json.loads(text)}
            values["steps"] = tuple(Step(**step) for step in values.get("steps", ()))
            values["decode"] = DecodePolicy(**values.get("decode", {}))
            return cls(**values)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ProfileError(f"profile {text[:80]!r} cannot be read: {error}") from error

    def apply(
        self, image: Image.Image, layout: Layout = "NCHW", dtype: DTypeLike = np.float32
    ) -> NDArray[np.floating]:
        """Return the tensor of one image for a model's input, without batch axis.

        Args:
            image: A loaded image of any mode; it is not changed, and may be shared
                between threads.
            layout: (height, width, 3) for `NHWC`, (3, height, width) for `NCHW`.
            dtype: float32; float16, to which the float32 result is rounded; or uint8, the
                pixels themselves, of a profile without steps.

        Raises:
            UnsupportedImageError: The image cannot be converted to RGB.
            ImageTooLargeError: Its aspect is so extreme that resizing needs gigabytes.
            ProfileError: The arithmetic leaves the range of `dtype`, or the image was decoded
                as a draft and the profile resamples by `nearest`.
            InvalidArgumentError: `layout` or `dtype` has another value, or the profile
                has steps, and `dtype` is uint8.
        """
        if layout not in ("NHWC", "NCHW"):
            raise InvalidArgumentError(f"layout={layout!r:.80}: expected 'NHWC' or 'NCHW'")
        pixels = np.asarray(self.pixels(image))
        table = lookup_table(self.steps, self._checked(dtype))
        order = (2, 1, 0) if self.colours == "BGR" else (0, 1, 2)
        shape = (3, *self.size) if layout == "NCHW" else (*self.size, 3)
        tensor = np.empty(shape, table.dtype)
        planes = tensor if layout == "NCHW" else tensor.transpose(2, 0, 1)
        for plane, channel, row in zip(planes, order, table, strict=True):
            if layout == "NCHW":
                # "clip" writes straight into the output; a byte is never out of range.
                np.take(row, pixels[..., channel], out=plane, mode="clip")
            else:
                plane[...] = row[pixels[..., channel]]
        return tensor

    def pixels(self, image: Image.Image) -> Image.Image:
        """Return the resized and cropped RGB image of `size`, the input of the arithmetic.

        Raises:
            UnsupportedImageError: The image cannot be converted to RGB.
            ImageTooLargeError: Its aspect is so extreme that resizing needs gigabytes.
            ProfileError: See `apply`.
        """
        instance("image", image, Image.Image, "a Pillow image, as open_image() gives")
        if self.resample == "nearest" and DRAFTED in image.info:
            raise DraftError(self._no_drafts)
        if self.decode.convert == "first":
            return self._cut(to_rgb(image, self.decode))
        try:
            cut = self._cut(upright(image, self.decode))
        except PILLOW_ERRORS as error:
            raise UnsupportedImageError(
                f"an image of mode {image.mode} cannot be resized before conversion: {error}"
            ) from error
        return flat(cut, self.decode)

    def seen_part(self, image: Image.Image) -> Region:
        """Return which part of an image reaches the model.

        Returns:
            The part, in fractions of the upright image. Where the profile adds a border, it is
            larger than the image.

        Example:
            >>> from PIL import Image
            >>> profile = PreprocessingProfile.named("efficientnet-lite0")
            >>> profile.seen_part(Image.new("RGB", (256, 256)))
            Region(left=0.0625, top=0.0625, right=0.9375, bottom=0.9375)
        """
        width, height = upright_size(image, self.decode)
        return seen_part((height, width), self.fit, self.resized, Crop(self.size, self.rounding))

    def check_reading(self, policy: ReadPolicy) -> None:
        """Raise an error if the profile cannot take images that were opened by `policy`.

        Raises:
            ProfileError: The policy decodes drafts and the profile resamples by `nearest`.
        """
        if self.resample == "nearest" and policy.draft is not None:
            raise ProfileError(self._no_drafts)

    def reading_for(self, policy: ReadPolicy) -> ReadPolicy:
        """Return how images are opened for this profile, given the caller's policy.

        A profile with the resampler `reducing` has JPEGs decoded at a reduced size, unless the
        policy says at which. Every other profile gets images as the policy opens them.
        """
        if self.resampler != "reducing" or policy.draft is not None:
            return policy
        side = min(self.resized) if self.fit == "shortest" else max(self.resized)
        return replace(policy, draft=REDUCING_GAP * side)

    def _checked(self, dtype: DTypeLike) -> str:
        """Return the name of a number type that the profile can give."""
        expected = "float32 or float16" if self.steps else "float32, float16 or uint8"
        try:
            name = np.dtype(dtype).name
        except TypeError as error:
            raise InvalidArgumentError(f"dtype={dtype!r:.80}: expected {expected}") from error
        if name not in ("float32", "float16", "uint8") or (name == "uint8" and self.steps):
            raise InvalidArgumentError(f"dtype={name}: expected {expected}")
        return name

    @property
    def _no_drafts(self) -> str:
        return (
            f"profile {self.name!r} picks single pixels (`nearest`), and an image decoded as a "
            "draft has lost them: open images with ReadPolicy(draft=None)"
        )

    def _cut(self, image: Image.Image) -> Image.Image:
        crop = Crop(self.size, self.rounding)
        resized = resize_to_fit(image, self.fit, self.resized, self.resample, self.resampler, crop)
        return centre_crop(resized, self.size, self.rounding, self.fill)
