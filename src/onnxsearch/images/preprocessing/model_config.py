"""Finding what the files beside a model say about its preprocessing."""

from __future__ import annotations

import os
from pathlib import Path

from onnxsearch.errors import ProfileError
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.preprocessing.timm import open_clip_profile, timm_profile
from onnxsearch.images.preprocessing.transformers import HFBackend, transformers_profile

# In the order of preference: some models come with several.
SIDECARS = (
    "preprocessor_config.json",
    "processor_config.json",
    "config.json",
    "open_clip_config.json",
)


def find_sidecar(
    model: str | os.PathLike[str], hf_backend: HFBackend | None = None
) -> tuple[PreprocessingProfile, str] | None:
    """Return the profile that the files around a model describe, and where it is from.

    They are looked for in the model's folder and then one folder up, since exports
    for ONNX often lie in a folder `onnx` of their own. A `config.json` that says
    nothing about pictures is passed over.

    Args:
        model: Path of the .onnx file.
        hf_backend: See `PreprocessingProfile.from_config`.

    Returns:
        The profile and its `source`; None if no file says anything.

    Raises:
        ProfileError: A file that should say it is damaged, or of a kind not known here.
    """
    folder = Path(model).absolute().parent
    for place in (folder, folder.parent):
        for name in SIDECARS:
            path = place / name
            if os.path.lexists(path) and (profile := _profile(path, hf_backend)) is not None:
                return profile, profile.source
    return None


def profile_from_config(
    path: str | os.PathLike[str], hf_backend: HFBackend | None = None
) -> PreprocessingProfile:
    """Return the profile of one file, see `PreprocessingProfile.from_config`."""
    profile = _profile(Path(path), hf_backend)
    if profile is None:
        raise ProfileError(
            f"{os.fspath(path)!r} says nothing about preprocessing: expected one of "
            f"{', '.join(SIDECARS)} of transformers, timm or OpenCLIP"
        )
    return profile


def _profile(path: Path, hf_backend: HFBackend | None) -> PreprocessingProfile | None:
    config = Config.read(path)
    try:
        return _described(config, hf_backend)
    except ProfileError as error:
        raise ProfileError(
            f"{str(path)!r} describes no preprocessing that can be used: {error}. Pass "
            "profile=... to say how pictures are prepared"
        ) from error


def _described(config: Config, hf_backend: HFBackend | None) -> PreprocessingProfile | None:
    """Tell the kinds apart by what they hold, as `config.json` is a name of many."""
    if "preprocess_cfg" in config:
        return open_clip_profile(config)
    if "pretrained_cfg" in config:
        return timm_profile(config.inner("pretrained_cfg"))
    if "architecture" in config and "input_size" in config:  # timm before 0.9
        return timm_profile(config)
    if "image_processor" in config:
        return transformers_profile(config.inner("image_processor"), hf_backend)
    if config.source == "preprocessor_config.json" or "image_processor_type" in config:
        return transformers_profile(config, hf_backend)
    return None
