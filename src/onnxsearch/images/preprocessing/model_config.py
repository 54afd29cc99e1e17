"""The preprocessing that the configuration files beside a model describe."""

from __future__ import annotations

import os
from pathlib import Path

from onnxsearch._internal.paths import absolute_path
from onnxsearch.errors import ProfileError
from onnxsearch.images.preprocessing.description import ProfileDescription
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.images.preprocessing.steps import HFBackend
from onnxsearch.images.preprocessing.timm import (
    jina_clip_profile,
    open_clip_profile,
    timm_profile,
)
from onnxsearch.images.preprocessing.transformers import transformers_profile

# In the order of preference: some models come with several.
SIDECARS = (
    "preprocessor_config.json",
    "processor_config.json",
    "config.json",
    "open_clip_config.json",
)


def find_sidecar(
    model: str | os.PathLike[str], hf_backend: HFBackend | None = None
) -> tuple[ProfileDescription, str] | None:
    """Return the profile that the files around a model describe, and its source.

    The files are looked for in the model's folder and then one folder up, since exports
    to ONNX are often stored in a folder `onnx` of their own. A `config.json` without
    preprocessing is skipped.

    Args:
        model: Path of the .onnx file.
        hf_backend: See `PreprocessingProfile.from_config`.

    Returns:
        The profile and its `source`; None if no file describes one.

    Raises:
        ProfileError: A file that should describe it is damaged, or of an unknown kind.
    """
    folder = Path(absolute_path(model)).parent
    for place in (folder, folder.parent):
        for name in SIDECARS:
            path = place / name
            if os.path.lexists(path) and (profile := _profile(path, hf_backend)) is not None:
                return profile, profile.source
    return None


def config_profile(
    path: str | os.PathLike[str], hf_backend: HFBackend | None = None
) -> ProfileDescription:
    """Return the profile of one file, see `from_config`."""
    profile = _profile(Path(path), hf_backend)
    if profile is None:
        raise ProfileError(
            f"{os.fspath(path)!r} says nothing about preprocessing: expected one of "
            f"{', '.join(SIDECARS)} of transformers, timm or OpenCLIP"
        )
    return profile


def _profile(path: Path, hf_backend: HFBackend | None) -> ProfileDescription | None:
    config = Config.read(path)
    try:
        return _described(config, hf_backend)
    except ProfileError as error:
        raise ProfileError(
            f"{str(path)!r} does not describe a supported preprocessing: {error}. Pass "
            "profile=... to say how images are prepared"
        ) from error


def _described(config: Config, hf_backend: HFBackend | None) -> ProfileDescription | None:
    """Return the profile of a file, whose kind shows in its keys: many share a name."""
    if "preprocess_cfg" in config:
        return open_clip_profile(config)
    if "pretrained_cfg" in config:
        return timm_profile(config.inner("pretrained_cfg"))
    if "architecture" in config and "input_size" in config:  # timm before 0.9
        return timm_profile(config)
    if "image_processor" in config:
        return transformers_profile(config.inner("image_processor"), hf_backend)
    if config.get("image_processor_type") == "JinaCLIPImageProcessor":
        return jina_clip_profile(config)
    if config.source == "preprocessor_config.json" or "image_processor_type" in config:
        return transformers_profile(config, hf_backend)
    return None
