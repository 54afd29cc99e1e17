"""Profiles of timm and OpenCLIP models, from their configuration.

Sources: timm 1.0.31 `data/config.py` (`resolve_data_config`), `data/transforms_factory.py`
(`transforms_imagenet_eval`); open_clip 3.3 `transform.py` (`image_transform`), `factory.py`.
"""

from __future__ import annotations

from onnxsearch.images.conversion import AS_LIBRARIES, AS_OPEN_CLIP
from onnxsearch.images.preprocessing.description import ProfileDescription
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.images.preprocessing.steps import (
    CLIP_DEVIATION,
    CLIP_MEAN,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Channels,
    normalise,
)
from onnxsearch.images.resize import Colour, Fit, Resample, Size

_INTERPOLATIONS: dict[str, Resample] = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "box": "box",
    "hamming": "hamming",
    "lanczos": "lanczos",
}
# Any but bilinear is bicubic in OpenCLIP.
_OPEN_CLIP: dict[str, Resample] = {
    "bicubic": "bicubic",
    "bilinear": "bilinear",
    "random": "bicubic",
}
_CROPS: dict[str, Fit] = {"center": "shortest", "squash": "squash", "border": "contain"}
_RESIZES: dict[str, Fit] = {"shortest": "shortest", "squash": "squash", "longest": "contain"}


def timm_profile(config: Config) -> ProfileDescription:
    """Return the profile of a `pretrained_cfg`, with the input size of training."""
    size = _input_size(config)
    fit = config.choice("crop_mode", _CROPS, "center")
    # timm takes 0 for "not given".
    share = config.number("crop_pct", 0.875, above=-1e-9) or 0.875
    target = int(size[0] / share), int(size[1] / share)
    if fit == "shortest" and target[0] != target[1]:
        fit = "cover"
    mean = config.channels("mean", IMAGENET_MEAN)
    return ProfileDescription(
        config.text("architecture", "timm"),
        size,
        fit=fit,
        resize_to=None if target == size else target,
        fill=_border(config, mean) if fit == "contain" else (0, 0, 0),
        resample=config.choice("interpolation", _INTERPOLATIONS, "bicubic"),
        steps=normalise(mean, config.channels("std", IMAGENET_DEVIATION)),
        decode=AS_LIBRARIES,
        source=config.source,
    )


def open_clip_profile(config: Config) -> ProfileDescription:
    """Return the profile of an `open_clip_config.json`."""
    given = config.inner("preprocess_cfg")
    vision = config.inner("model_cfg").inner("vision_cfg")
    size = vision.size("image_size") if "image_size" in vision else given.size("size", 224)
    return _open_clip(given, size, config)


def _open_clip(given: Config, size: Size, config: Config) -> ProfileDescription:
    fit = given.choice("resize_mode", _RESIZES, "shortest")
    resample = given.choice("interpolation", _OPEN_CLIP, "bicubic")
    if fit == "shortest" and size[0] != size[1]:
        fit, resample = "cover", "bicubic"  # OpenCLIP ignores the interpolation here
    level = given.number("fill_color", 0, above=-1)
    if level != 0:
        raise given.error("fill_color", "only 0, black, is supported")
    return ProfileDescription(
        "open-clip",
        size,
        fit=fit,
        resample=resample,
        steps=normalise(given.channels("mean", CLIP_MEAN), given.channels("std", CLIP_DEVIATION)),
        decode=AS_OPEN_CLIP,
        source=config.source,
    )


def jina_clip_profile(config: Config) -> ProfileDescription:
    """Return the profile of a `preprocessor_config.json` of Jina CLIP, which OpenCLIP prepares.

    Source: jina-clip-implementation `processing_clip.py`, which hands the values to a copy of
    OpenCLIP's `image_transform`.
    """
    return _open_clip(config, config.size("size", 224), config)


def _input_size(config: Config) -> Size:
    sizes = config.get("input_size")
    if sizes is None:
        return 224, 224
    if not isinstance(sizes, list) or len(sizes) != 3 or sizes[0] != 3:
        raise config.error("input_size", "expected [3, height, width]")
    return Config({"input_size": sizes[1:]}, config.source).size("input_size")


def _border(config: Config, mean: Channels) -> Colour:
    red, green, blue = (round(255 * value) for value in mean)
    if not all(0 <= level <= 255 for level in (red, green, blue)):
        raise config.error("mean", "expected numbers from 0 to 1, the colour of the border")
    return red, green, blue
