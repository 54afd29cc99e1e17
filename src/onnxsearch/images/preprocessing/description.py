"""The description of a preprocessing: the values of a profile, without their application."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from onnxsearch.errors import ProfileError
from onnxsearch.images.conversion import AS_SEEN, DecodePolicy
from onnxsearch.images.preprocessing.steps import Step, check_choice
from onnxsearch.images.resize import MAX_SIDE, Colour, Fit, Resample, Resampler, Rounding, Size

Colours: TypeAlias = Literal["RGB", "BGR"]


@dataclass(frozen=True, slots=True)
class ProfileDescription:
    """The values of a preprocessing profile, checked.

    Presets and the readers of configuration files build descriptions. `PreprocessingProfile`
    adds to a description the constructors that look one up, and the application to images.
    """

    name: str = field(compare=False)
    """Name for messages; it does not affect what the profile does."""
    size: Size
    """(height, width) of the model's input, in pixels."""
    fit: Fit = "squash"
    """Resize both sides whatever the aspect (`squash`); the shorter side (`shortest`);
    until `resize_to` is covered (`cover`), or holds all of the image (`contain`)."""
    resize_to: int | Size | None = None
    """Pixels to resize to, both sides or (height, width), before `size` is cut out of
    the middle. None: the value of `size`."""
    rounding: Rounding = "half-even"
    """Where the crop begins when an odd number of pixels is left over."""
    fill: Colour = (0, 0, 0)
    """RGB colour of the border around images that are smaller than `size`."""
    resample: Resample = "bilinear"
    """Filter for resizing; all but `nearest` average over the pixels that they shrink."""
    resampler: Resampler = "pillow"
    """Which implementation to reproduce bit for bit: Pillow's, or torch's on uint8 tensors.
    `reducing` is Pillow's for images of less than twice the size that they are resized to.
    Larger JPEGs are decoded at a half, a quarter or an eighth of their size, and other larger
    images averaged over blocks, so that the filter still has twice the pixels that it makes."""
    colours: Colours = "RGB"
    """Order of the channels."""
    steps: tuple[Step, ...] = ()
    """Arithmetic on values of 0 to 255, in this order."""
    decode: DecodePolicy = AS_SEEN
    """How orientation, alpha, bit depth and ICC profiles are converted to 8-bit RGB."""
    source: str = field(default="declared", compare=False)
    """Where the profile came from, for messages."""

    def __post_init__(self) -> None:
        for name in ("size", "steps", "fill", "resize_to"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        for name in ("name", "source"):
            if not isinstance(getattr(self, name), str):
                raise ProfileError(f"{name}: {getattr(self, name)!r:.80}, expected text")
        _check_size("size", self.size)
        if self.resize_to is not None:
            _check_size("resize_to", self.resized)
        _check_colour(self.fill)
        _check_steps(self.steps)
        if not isinstance(self.decode, DecodePolicy):
            raise ProfileError(f"decode: {self.decode!r:.80}, expected a DecodePolicy")
        check_choice("fit", self.fit, Fit)
        check_choice("resampler", self.resampler, Resampler)
        check_choice("rounding", self.rounding, Rounding)
        check_choice("resample", self.resample, Resample)
        check_choice("colours", self.colours, Colours)
        self._check_resampler()

    def _check_resampler(self) -> None:
        needs_rgb = self.resampler != "pillow" or self.fill != (0, 0, 0)
        if needs_rgb and self.decode.convert == "last":
            raise ProfileError(
                "the resamplers torch and reducing, and borders other than black, need images "
                "converted to RGB first: use a decode policy with convert='first'"
            )
        if self.resampler == "torch" and self.resample not in ("bilinear", "bicubic"):
            raise ProfileError(
                f"resample: {self.resample!r}, but torch's resampler has bilinear and bicubic only"
            )
        if self.resampler == "reducing" and self.resample == "nearest":
            raise ProfileError(
                "resample: 'nearest' picks single pixels, and resampler='reducing' averages them "
                "first: use resampler='pillow', or another filter"
            )

    @property
    def resized(self) -> Size:
        """(height, width) that images are fitted to before the crop, in pixels."""
        if self.resize_to is None:
            return self.size
        if isinstance(self.resize_to, int):
            return self.resize_to, self.resize_to
        return self.resize_to

    def to_json(self) -> str:
        """Return the profile as JSON; equal profiles of one name give the same text."""
        values = asdict(self)
        del values["source"]
        return _json(values)

    def content(self) -> str:
        """Return the text that equal profiles share: no name, and no defaults.

        Fingerprints hash it. A field that a later version adds is absent where it has its
        default, so that fingerprints outlive upgrades.
        """
        values = asdict(self)
        default = asdict(ProfileDescription(self.name, self.size, source=self.source))
        decode = _difference(values.pop("decode"), default.pop("decode"))
        for step in values["steps"]:
            if step["precision"] == "float32":
                del step["precision"]
        return _json({"size": self.size, "decode": decode, **_difference(values, default)})


def _plain(value: object) -> object:
    """Return lists, as JSON has them, as tuples, and integers of numpy as Python's own."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return int(value) if isinstance(value, np.integer) else value


def _check_size(field: str, size: object) -> None:
    sides = size if isinstance(size, tuple) else ()
    if len(sides) != 2 or not all(_is_whole(side, 1, MAX_SIDE) for side in sides):
        raise ProfileError(
            f"{field}: {size!r:.80}, expected pixels as (height, width), each from 1 to {MAX_SIDE}"
        )


def _check_colour(fill: object) -> None:
    levels = fill if isinstance(fill, tuple) else ()
    if len(levels) != 3 or not all(_is_whole(level, 0, 255) for level in levels):
        raise ProfileError(f"fill: {fill!r:.80}, expected three numbers from 0 to 255")


def _check_steps(steps: object) -> None:
    if not isinstance(steps, tuple) or not all(isinstance(step, Step) for step in steps):
        raise ProfileError(f"steps: {steps!r:.80}, expected a tuple of Step")


def _is_whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _difference(values: dict[str, object], default: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value != default[key]}


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
