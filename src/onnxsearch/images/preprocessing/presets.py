"""Named profiles: the constants of the libraries that trained the models.

Sources: Keras 3 `applications/imagenet_utils.py` (`preprocess_input`) and
`utils/image_utils.py` (`load_img`); torchvision `transforms/_presets.py`
(`ImageClassification`); open_clip `constants.py`; apple/ml-mobileclip
`mobileclip/__init__.py`; transformers' `image_processing_*.py`; tensorflow/tpu
`efficientnet_lite_builder.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from onnxsearch.errors import ProfileError
from onnxsearch.images.conversion import AS_LIBRARIES, AS_OPEN_CLIP
from onnxsearch.images.preprocessing.description import ProfileDescription
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.images.preprocessing.steps import (
    CLIP_DEVIATION,
    CLIP_MEAN,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    HFBackend,
    Step,
    normalise,
)
from onnxsearch.images.preprocessing.transformers import transformers_profile
from onnxsearch.images.resize import Resample, Size


@dataclass(frozen=True, slots=True)
class _Named:
    """A named profile, and the rule for its other sizes."""

    profile: ProfileDescription
    margin: int | None = None
    """Pixels to add to the size for the shorter side before the crop, in every size."""
    needs_size: bool = False


_IMAGENET = normalise(IMAGENET_MEAN, IMAGENET_DEVIATION)
_CLIP = normalise(CLIP_MEAN, CLIP_DEVIATION)
_LITE = (Step("subtract", (127,)), Step("divide", (128,)))


def _keras(name: str, *steps: Step) -> ProfileDescription:
    return ProfileDescription(
        name, (224, 224), resample="nearest", steps=steps, decode=AS_LIBRARIES
    )


def _torchvision(name: str, resize: int) -> ProfileDescription:
    return ProfileDescription(
        name, (224, 224), fit="shortest", resize_to=resize, steps=_IMAGENET, decode=AS_LIBRARIES
    )


def _clip(name: str, size: int, resample: Resample, steps: tuple[Step, ...]) -> _Named:
    profile = ProfileDescription(
        name, (size, size), fit="shortest", resample=resample, steps=steps, decode=AS_OPEN_CLIP
    )
    return _Named(profile, margin=0)


def _transformers(
    name: str, family: str, values: dict[str, object], backend: HFBackend = "pil"
) -> ProfileDescription:
    """Return the profile of a transformers configuration with these values, defaults elsewhere."""
    config = Config({"image_processor_type": f"{family}ImageProcessor", **values}, name)
    return replace(transformers_profile(config, backend), name=name)


def _lite(name: str, size: int) -> ProfileDescription:
    return ProfileDescription(
        name,
        (size, size),
        fit="shortest",
        resize_to=size + 32,
        resample="bicubic",
        steps=_LITE,
    )


# The values of the published checkpoints; the classes' own defaults differ.
_STATISTICS: dict[str, object] = {
    "image_mean": list(IMAGENET_MEAN),
    "image_std": list(IMAGENET_DEVIATION),
}

_ALL = [
    _Named(
        replace(_keras("keras-caffe", Step("subtract", (103.939, 116.779, 123.68))), colours="BGR")
    ),
    _Named(_keras("keras-tf", Step("divide", (127.5,)), Step("subtract", (1,)))),
    _Named(_keras("keras-torch", *_IMAGENET)),
    _Named(_keras("keras-raw")),
    _Named(_torchvision("torchvision", 256)),
    _Named(_torchvision("torchvision-v2", 232)),
    _clip("openai-clip", 224, "bicubic", _CLIP),
    _clip("open-clip", 224, "bicubic", _CLIP),
    _clip("mobileclip", 256, "bilinear", (Step("divide", (255,)),)),
    _Named(_transformers("hf-clip", "CLIP", {}), margin=0),
    _Named(_transformers("hf-clip-torchvision", "CLIP", {}, "torchvision"), margin=0),
    _Named(_transformers("hf-vit", "ViT", {})),
    _Named(_transformers("siglip", "Siglip", {})),
    _Named(_transformers("dinov2", "Bit", {"size": {"shortest_edge": 256}, **_STATISTICS})),
    _Named(
        _transformers("hf-convnext", "ConvNext", {"size": {"shortest_edge": 224}, **_STATISTICS})
    ),
    _Named(_transformers("deit", "DeiT", _STATISTICS)),
    _Named(_transformers("mobilenet-hf", "MobileNetV2", {})),
    _Named(_lite("efficientnet-lite", 224), margin=32, needs_size=True),
    *(
        _Named(_lite(f"efficientnet-lite{number}", size), margin=32)
        for number, size in enumerate((224, 240, 260, 280, 300))
    ),
]
_BY_NAME = {named.profile.name: named for named in _ALL}


def profile_names() -> list[str]:
    """Return the names of all named profiles."""
    return list(_BY_NAME)


def needs_size(name: str) -> bool:
    """Return whether `name` stands for a family of models that differ in size."""
    return name in _BY_NAME and _BY_NAME[name].needs_size


def named_profile(name: str, size: Size | None) -> ProfileDescription:
    """Return the profile `name`, see `PreprocessingProfile.named`."""
    named = _BY_NAME.get(name)
    if named is None:
        close = get_close_matches(name, _BY_NAME, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ProfileError(
            f"no preprocessing profile is named {name!r}.{hint} Known: {', '.join(_BY_NAME)}"
        )
    profile = replace(named.profile, source=f"named profile {name!r}")
    if size is None:
        if named.needs_size:
            raise ProfileError(
                f"profile {name!r} needs a size, such as "
                f"PreprocessingProfile.named({name!r}, size=224)"
            )
        return profile
    if named.margin is not None:
        resize_to = min(size) + named.margin if named.margin else None
        return replace(profile, size=size, resize_to=resize_to)
    if (profile.fit == "squash" and profile.resize_to is None) or size == profile.size:
        return replace(profile, size=size)
    raise ProfileError(
        f"profile {name!r} is defined for {profile.size} only, not for {size}: how far to "
        "resize before the crop differs from model to model. Give both: dataclasses.replace("
        f"PreprocessingProfile.named({name!r}), size={size}, resize_to=...)"
    )
