"""Profiles of transformers' image processors, from their configuration.

Source: transformers 5.23, `image_processing_backends.py` (what both backends do),
`image_transforms.py`, and `models/*/image_processing_*.py` (each class's defaults).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from onnxsearch.images.conversion import AS_TRANSFORMERS
from onnxsearch.images.preprocessing.description import ProfileDescription
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.images.preprocessing.steps import (
    CLIP_DEVIATION,
    CLIP_MEAN,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Channels,
    HFBackend,
    Step,
    check_choice,
)
from onnxsearch.images.resize import Fit, Resample, Size

_HALVES = (0.5, 0.5, 0.5)
_BYTE = 1 / 255

# ConvNeXt: models of this size and more squash images instead of cropping them.
_CONVNEXT_SQUASHED = 384

# PIL.Image.Resampling, as numbers in files.
_FILTERS: dict[int, Resample] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}


@dataclass(frozen=True, slots=True)
class _Defaults:
    """Defaults of a class of processors, for the keys that a file leaves out."""

    size: int
    square: bool = False
    """Whether one number for the size means a square, and not the shorter side."""
    crop: int | None = 224
    resample: int = 3
    mean: Channels = _HALVES
    deviation: Channels = _HALVES
    convert_rgb: bool = False


_CLASSES = {
    "CLIP": _Defaults(224, mean=CLIP_MEAN, deviation=CLIP_DEVIATION, convert_rgb=True),
    "ViT": _Defaults(224, square=True, crop=None, resample=2),
    "Siglip": _Defaults(224, square=True, crop=None, convert_rgb=True),
    "Bit": _Defaults(224, mean=CLIP_MEAN, deviation=CLIP_DEVIATION, convert_rgb=True),
    "DeiT": _Defaults(256, square=True),
    "ConvNext": _Defaults(384, crop=None),
    "MobileNetV1": _Defaults(256, resample=2),
    "MobileNetV2": _Defaults(256, resample=2),
    "Levit": _Defaults(224, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION),
}


def transformers_profile(config: Config, backend: HFBackend | None) -> ProfileDescription:
    """Return the profile of a `preprocessor_config.json`, see `from_config`."""
    key = "image_processor_type" if "image_processor_type" in config else "feature_extractor_type"
    kind = config.text(key)
    match = re.fullmatch(r"(\w+?)(?:ImageProcessor|FeatureExtractor)(Fast|Pil)?", kind)
    family, suffix = match.groups() if match else ("", None)
    defaults = _CLASSES.get(family)
    if defaults is None:
        known = ", ".join(f"{name}ImageProcessor" for name in _CLASSES)
        raise config.error(key, f"{kind!r} is unknown: expected one of {known}")
    for key in ("do_pad", "use_square_size", "do_flip_channel_order", "rescale_offset"):
        if config.flag(key, False):
            raise config.error(key, "this is not supported")
    if backend is None:
        backend = "torchvision" if suffix == "Fast" else "pil"
    check_choice("hf_backend", backend, HFBackend)
    fit, target, crop = _geometry(config, family, defaults)
    resample = config.choice("resample", _FILTERS, defaults.resample)
    # null is no missing value here: SigLIP 2 has it, and transformers then does not convert.
    null = config.is_null("do_convert_rgb")
    convert_rgb = not null and config.flag("do_convert_rgb", defaults.convert_rgb)
    return ProfileDescription(
        family.lower(),
        crop or target,
        fit=fit,
        resize_to=None if crop in (None, target) else target,
        rounding="floor" if backend == "pil" else "truncate",
        resample=resample,
        resampler="pillow" if backend == "pil" else "torch",
        steps=_steps(config, defaults, backend),
        # Where the class does not convert, its callers do, and drop the alpha channel.
        decode=replace(AS_TRANSFORMERS, alpha="white" if convert_rgb else "drop"),
        source=f"{config.source} ({kind}, {backend} backend)",
    )


def _geometry(config: Config, family: str, defaults: _Defaults) -> tuple[Fit, Size, Size | None]:
    """Return the fit, the (height, width) to fit to, and the size of the crop, if any."""
    if not config.flag("do_resize", True):
        raise config.error("do_resize", "without resizing, images have no common size")
    fit, target = _target(config, family, defaults)
    crop = None
    if config.flag("do_center_crop", defaults.crop is not None):
        crop = config.size("crop_size", defaults.crop)
    if family == "ConvNext":
        edge = target[0]
        if fit != "shortest":
            raise config.error("size", "ConvNextImageProcessor expects 'shortest_edge'")
        if edge >= _CONVNEXT_SQUASHED:
            return "squash", target, crop
        if crop is not None:
            raise config.error("do_center_crop", "ConvNextImageProcessor crops already")
        resized = int(edge / config.number("crop_pct", 224 / 256, above=0))
        return fit, (resized, resized), target
    if fit == "shortest" and crop is None:
        raise config.error("do_center_crop", "without it, images have no common size")
    if family == "Levit" and fit == "shortest":
        edge = int(256 / 224 * target[0])
        target = (edge, edge)
    return fit, target, crop


def _target(config: Config, family: str, defaults: _Defaults) -> tuple[Fit, Size]:
    size = config.get("size")
    if size is None:
        return "squash" if defaults.square else "shortest", (defaults.size, defaults.size)
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        edge = config.inner("size").pixels("shortest_edge")
        return "shortest", (edge, edge)
    # One number for a SigLIP means the shorter side, though its default is a square.
    square = not isinstance(size, int) or (defaults.square and family != "Siglip")
    return "squash" if square else "shortest", config.size("size")


def _steps(config: Config, defaults: _Defaults, backend: HFBackend) -> tuple[Step, ...]:
    scale = None
    if config.flag("do_rescale", True):
        scale = config.number("rescale_factor", _BYTE, above=0)
    if not config.flag("do_normalize", True):
        return () if scale is None else (_rescale(scale, backend),)
    mean = config.channels("image_mean", defaults.mean)
    deviation = config.channels("image_std", defaults.deviation)
    if scale is None:
        return Step("subtract", mean), Step("divide", deviation)
    if backend == "torchvision":  # in one go, both multiplied in float32
        white = np.float32(1.0 / scale)
        return (
            Step("subtract", tuple(float(np.float32(value) * white) for value in mean)),
            Step("divide", tuple(float(np.float32(value) * white) for value in deviation)),
        )
    return _rescale(scale, backend), Step("subtract", mean), Step("divide", deviation)


def _rescale(scale: float, backend: HFBackend) -> Step:
    return Step("multiply", (scale,), "float64" if backend == "pil" else "float32")
