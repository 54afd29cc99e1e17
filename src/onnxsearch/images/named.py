"""The profiles that have names: constants of the libraries that trained the models.

Sources: Keras 3 `applications/imagenet_utils.py` (`preprocess_input`) and
`utils/image_utils.py` (`load_img`); torchvision `transforms/_presets.py`
(`ImageClassification`); open_clip `constants.py`; transformers'
`image_processing_*.py`; tensorflow/tpu `efficientnet_lite_builder.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from onnxsearch.errors import ProfileError
from onnxsearch.images.profile import PreprocessingProfile, Step
from onnxsearch.images.resize import Size
from onnxsearch.images.rgb import AS_LIBRARIES


@dataclass(frozen=True, slots=True)
class _Named:
    """A named profile, and what is known of its other sizes."""

    profile: PreprocessingProfile
    margin: int | None = None
    """Pixels that the shorter side is resized to beyond the size, in every size."""
    needs_size: bool = False


def _normalise(mean: tuple[float, ...], deviation: tuple[float, ...]) -> tuple[Step, ...]:
    return Step("divide", (255,)), Step("subtract", mean), Step("divide", deviation)


_IMAGENET = _normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = _normalise((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_HALVES = _normalise((0.5,), (0.5,))
_LITE = (Step("subtract", (127,)), Step("divide", (128,)))


def _keras(name: str, *steps: Step) -> PreprocessingProfile:
    return PreprocessingProfile(
        name, (224, 224), resample="nearest", steps=steps, decode=AS_LIBRARIES
    )


def _torchvision(name: str, resize: int) -> PreprocessingProfile:
    return PreprocessingProfile(
        name, (224, 224), fit="shortest", resize_to=resize, steps=_IMAGENET, decode=AS_LIBRARIES
    )


def _lite(name: str, size: int) -> PreprocessingProfile:
    return PreprocessingProfile(
        name,
        (size, size),
        fit="shortest",
        resize_to=size + 32,
        resample="bicubic",
        steps=_LITE,
    )


_ALL = [
    _Named(
        replace(_keras("keras-caffe", Step("subtract", (103.939, 116.779, 123.68))), colours="BGR")
    ),
    _Named(_keras("keras-tf", Step("divide", (127.5,)), Step("subtract", (1,)))),
    _Named(_keras("keras-torch", *_IMAGENET)),
    _Named(_keras("keras-raw")),
    _Named(_torchvision("torchvision", 256)),
    _Named(_torchvision("torchvision-v2", 232)),
    _Named(
        PreprocessingProfile(
            "open-clip", (224, 224), fit="shortest", resample="bicubic", steps=_CLIP
        ),
        margin=0,
    ),
    _Named(PreprocessingProfile("siglip", (224, 224), resample="bicubic", steps=_HALVES)),
    _Named(_lite("efficientnet-lite", 224), margin=32, needs_size=True),
    *(
        _Named(_lite(f"efficientnet-lite{number}", size), margin=32)
        for number, size in enumerate((224, 240, 260, 280, 300))
    ),
]
_BY_NAME = {named.profile.name: named for named in _ALL}


def profile_names() -> list[str]:
    """Return the names that `PreprocessingProfile.named` knows."""
    return list(_BY_NAME)


def needs_size(name: str) -> bool:
    """Whether `name` stands for a family of models that differ in size."""
    return name in _BY_NAME and _BY_NAME[name].needs_size


def named_profile(name: str, size: Size | None) -> PreprocessingProfile:
    """Return the profile `name`, see `PreprocessingProfile.named`."""
    named = _BY_NAME.get(name)
    if named is None:
        close = get_close_matches(name, _BY_NAME, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ProfileError(
            f"no preprocessing profile is named {name!r}.{hint} Known: {', '.join(_BY_NAME)}"
        )
    profile = named.profile
    if size is None:
        if named.needs_size:
            raise ProfileError(
                f"profile {name!r} needs a size, such as "
                f"PreprocessingProfile.named({name!r}, size=224)"
            )
        return profile
    if named.margin is not None:
        return replace(profile, size=size, resize_to=min(size) + named.margin)
    if profile.fit == "squash" or size == profile.size:
        return replace(profile, size=size)
    raise ProfileError(
        f"profile {name!r} is defined for {profile.size} only, not for {size}: how far to "
        "resize before the crop differs from model to model. Say it: dataclasses.replace("
        f"PreprocessingProfile.named({name!r}), size={size}, resize_to=...)"
    )
