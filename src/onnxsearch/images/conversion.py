"""Conversion of a Pillow image of any mode to RGB, 8 bits a channel, upright."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image, ImageCms

from onnxsearch.errors import ProfileError, UnsupportedImageError
from onnxsearch.images.pillow import PILLOW_ERRORS, orientation

Alpha: TypeAlias = Literal["white", "drop"]
Depth: TypeAlias = Literal["scale", "clip"]
Convert: TypeAlias = Literal["first", "last"]
Profiled: TypeAlias = Literal["ignore", "srgb"]

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_ON_ITS_SIDE = 5
"""From this orientation on, width and height change places."""


@dataclass(frozen=True, slots=True)
class DecodePolicy:
    """How orientation, alpha, bit depth and ICC profiles are converted to 8-bit RGB.

    The defaults, `AS_SEEN`, give the model the image that a person sees.

    Raises:
        ProfileError: A value is not one of the choices.
    """

    orientation: bool = True
    """Turn the image upright, as its EXIF or XMP data says."""
    alpha: Alpha = "white"
    """Compose transparent images on white; or drop the alpha channel, which shows
    the colours under transparent pixels."""
    depth: Depth = "scale"
    """Scale images of 16 or 32 bits or of floating point numbers to 8 bits; or
    clip them at 255, which leaves most of them white."""
    convert: Convert = "first"
    """Convert to RGB before resizing; or after cropping, which resizes a palette
    without mixing its colours, as OpenCLIP does."""
    colour_profile: Profiled = "ignore"
    """Ignore the file's ICC profile, as the libraries that trained the models do; or
    convert from it to sRGB, which matters for photographs in wide gamuts and for CMYK.
    A damaged profile is ignored."""

    def __post_init__(self) -> None:
        for field, value, allowed in (
            ("orientation", self.orientation, (True, False)),
            ("alpha", self.alpha, get_args(Alpha)),
            ("depth", self.depth, get_args(Depth)),
            ("convert", self.convert, get_args(Convert)),
            ("colour_profile", self.colour_profile, get_args(Profiled)),
        ):
            if type(value) is not type(allowed[0]) or value not in allowed:
                expected = " or ".join(repr(choice) for choice in allowed)
                raise ProfileError(f"decode policy: {field} is {value!r}, expected {expected}")


AS_SEEN = DecodePolicy()
"""The image that a person sees: upright, on white, every depth scaled."""

AS_LIBRARIES = DecodePolicy(orientation=False, alpha="drop", depth="clip")
"""The conversion of Keras' `load_img`, and of `Image.open(...).convert("RGB")`, the usual
way with torchvision: equal vectors matter more here than upright images."""

AS_OPEN_CLIP = DecodePolicy(orientation=False, alpha="drop", depth="clip", convert="last")
"""The conversion in the transforms of OpenAI's CLIP and of OpenCLIP."""

AS_TRANSFORMERS = DecodePolicy(depth="clip")
"""The conversion of transformers 5: `load_image` turns images upright, processors that
convert to RGB compose them on white."""


def to_rgb(image: Image.Image, policy: DecodePolicy) -> Image.Image:
    """Return `image` upright and in mode RGB; an image that is both is returned unchanged.

    Args:
        image: A loaded image of any mode; it is not changed.
        policy: How orientation, alpha, bit depth and ICC profiles are converted.

    Raises:
        UnsupportedImageError: The image cannot be converted.
    """
    return upright(flat(image, policy), policy)


def upright(image: Image.Image, policy: DecodePolicy) -> Image.Image:
    """Return `image` turned as its EXIF or XMP data says, if `policy` wants it."""
    turn = _UPRIGHT.get(orientation(image)) if policy.orientation else None
    return image if turn is None else image.transpose(turn)


def upright_size(image: Image.Image, policy: DecodePolicy) -> tuple[int, int]:
    """Return (width, height) of `image` when it is turned as `upright` does."""
    turned = policy.orientation and orientation(image) >= _FIRST_ON_ITS_SIDE
    return (image.height, image.width) if turned else image.size


def flat(image: Image.Image, policy: DecodePolicy) -> Image.Image:
    """Return `image` in mode RGB, see `to_rgb`, without turning it."""
    try:
        if policy.colour_profile == "srgb" and image.info.get("icc_profile"):
            return _to_srgb(image, policy)
        return _converted(image, policy)
    except PILLOW_ERRORS as error:
        raise UnsupportedImageError(
            f"an image of mode {image.mode} cannot be converted to RGB: {error}"
        ) from error


def _converted(image: Image.Image, policy: DecodePolicy) -> Image.Image:
    if image.mode == "LAB":
        return _from_lab(image)
    if policy.depth == "scale" and image.mode.startswith(("I", "F")):
        return _to_8_bits(image).convert("RGB")
    if policy.alpha == "white" and image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_srgb(image: Image.Image, policy: DecodePolicy) -> Image.Image:
    """Convert by the image's own ICC profile, where it can be converted to sRGB."""
    direct = image if image.mode in ("CMYK", "L") else _converted(image, policy)
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        return ImageCms.ImageCmsTransform(own, srgb, direct.mode, "RGB").apply(direct)
    except PILLOW_ERRORS:
        # The profile is damaged, or of another colour space than the image: viewers ignore it.
        return _converted(image, policy)


def _from_lab(image: Image.Image) -> Image.Image:
    """Convert by LittleCMS, the only conversion from LAB in Pillow."""
    lab, srgb = (
        ImageCms.ImageCmsProfile(ImageCms.createProfile(space)) for space in ("LAB", "sRGB")
    )
    return ImageCms.ImageCmsTransform(lab, srgb, "LAB", "RGB").apply(image)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale an image of mode I;16, I or F to mode L.

    Files do not say which number is white; many hold 8 bits in 16. White is taken to be
    the smallest usual number that no value exceeds: 1 (in F only), 255, 65535, or the
    largest value.
    """
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        peak = float(values.max())
        white = next((usual for usual in (1.0, 255.0, 65535.0) if peak <= usual), peak)
        return Image.fromarray(np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8))
    largest = int(values.max())
    # The high byte of 16 bits, as Pillow converts 16-bit colours.
    shift = 0 if largest <= 0xFF else 8 if largest <= 0xFFFF else 23
    return Image.fromarray(np.clip(values >> shift, 0, 255).astype(np.uint8))
