"""What happens to a picture on its way into a model, as data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from onnxsearch.errors import ProfileError
from onnxsearch.images.resize import (
    Resample,
    Rounding,
    Size,
    centre_crop,
    resize,
    resize_shortest,
)
from onnxsearch.images.rgb import AS_SEEN, DecodePolicy, to_rgb

Fit: TypeAlias = Literal["squash", "shortest"]
Colours: TypeAlias = Literal["RGB", "BGR"]
Operation: TypeAlias = Literal["add", "subtract", "multiply", "divide"]
Layout: TypeAlias = Literal["NHWC", "NCHW"]

_OPERATIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on pixel values, in float32."""

    operation: Operation
    values: tuple[float, ...]
    """One number for all channels, or one for each, in the model's order of colours."""

    def __post_init__(self) -> None:
        _check_choice("operation", self.operation, Operation)
        # A list compares and hashes differently from a tuple of the same numbers.
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))
        if len(self.values) not in (1, 3) or not np.isfinite(self.values).all():
            raise ProfileError(
                f"values of {self.operation!r}: {self.values}, expected 1 or 3 numbers"
            )
        if self.operation == "divide" and 0.0 in self.values:
            raise ProfileError("values of 'divide': expected numbers other than 0")


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
    """Resize both sides whatever the aspect (`squash`), or the shorter side
    (`shortest`)."""
    resize_to: int | None = None
    """Pixels to resize both sides (`squash`) or the shorter one (`shortest`) to,
    before `size` is cut out of the middle. None: what `size` says."""
    rounding: Rounding = "half-even"
    """Where to cut when an odd number of pixels is left over."""
    resample: Resample = "bilinear"
    """Filter for resizing; all but `nearest` average over what they shrink."""
    colours: Colours = "RGB"
    """Order of the channels."""
    steps: tuple[Step, ...] = ()
    """Arithmetic on values of 0 to 255, in this order."""
    decode: DecodePolicy = AS_SEEN
    """What becomes of rotation, transparency and more than 8 bits."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "steps", tuple(self.steps))
        if len(self.size) != 2:
            raise ProfileError(f"size: {self.size}, expected (height, width) in pixels")
        for pixels in (*self.size, 1 if self.resize_to is None else self.resize_to):
            _check_pixels(pixels)
        _check_choice("fit", self.fit, Fit)
        _check_choice("rounding", self.rounding, Rounding)
        _check_choice("resample", self.resample, Resample)
        _check_choice("colours", self.colours, Colours)

    @classmethod
    def named(cls, name: str, size: int | Size | None = None) -> PreprocessingProfile:
        """Return the profile that is known as `name`.

        Args:
            name: For example `keras-caffe`; see `onnxsearch.images.named`.
            size: Pixels (height, width, or one number for both) instead of the
                profile's own.

        Raises:
            ProfileError: No profile has this name (the message lists them), it
                needs a size, or it exists in one size only.
        """
        from onnxsearch.images.named import named_profile

        return named_profile(name, (size, size) if isinstance(size, int) else size)

    @classmethod
    def from_json(cls, text: str) -> PreprocessingProfile:
        """Return the profile that `to_json` made `text` of.

        Raises:
            ProfileError: The text is not JSON, or not a profile.
        """
        try:
            values = {"name": "unnamed", **json.loads(text)}
            values["steps"] = tuple(Step(**step) for step in values.get("steps", ()))
            values["decode"] = DecodePolicy(**values.get("decode", {}))
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise ProfileError(f"profile {text[:80]!r} cannot be read: {error}") from error

    def to_json(self) -> str:
        """Return the profile as JSON; the same text for the same profile, always."""
        return _json(asdict(self))

    def content(self) -> str:
        """Return what two profiles share if they are equal: no name, and no defaults.

        Fingerprints are made of it. What a later version adds is not in it where it
        isn't used, so that fingerprints outlive upgrades.
        """
        values = asdict(self)
        default = asdict(PreprocessingProfile(self.name, self.size))
        decode = _difference(values.pop("decode"), default.pop("decode"))
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
        table = _lookup_table(self.steps, np.dtype(dtype).name)
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
        rgb = to_rgb(image, self.decode)
        if self.fit == "shortest":
            resized = resize_shortest(rgb, self.resize_to or min(self.size), self.resample)
        else:
            target = (self.resize_to, self.resize_to) if self.resize_to else self.size
            resized = resize(rgb, target, self.resample)
        return centre_crop(resized, self.size, self.rounding)


@lru_cache(maxsize=64)
def _lookup_table(steps: tuple[Step, ...], dtype: str) -> NDArray[np.floating]:
    """Return what the steps make of each byte: array (3, 256), in the model's colours.

    A byte has 256 values, so the arithmetic need be done on no more than these; done
    once in the library's own order, it is exact for every picture.
    """
    table = np.repeat(np.arange(256, dtype=np.float32)[np.newaxis], 3, axis=0)
    with np.errstate(over="ignore", invalid="ignore"):  # found below
        for step in steps:
            values = np.asarray(step.values, np.float32)[:, np.newaxis]
            _OPERATIONS[step.operation](table, values, out=table)
        table = table.astype(dtype)
    if not np.isfinite(table).all():
        raise ProfileError(f"the arithmetic {steps} leaves the range of {dtype}")
    table.flags.writeable = False
    return table


def _check_choice(field: str, value: object, choices: object) -> None:
    if value not in get_args(choices):
        expected = ", ".join(repr(choice) for choice in get_args(choices))
        raise ProfileError(f"{field}: {value!r}, expected one of {expected}")


def _check_pixels(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ProfileError(f"{value!r}: expected a number of pixels, at least 1")


def _difference(values: dict[str, object], default: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value != default[key]}


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
