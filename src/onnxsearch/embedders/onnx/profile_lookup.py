"""Which profile prepares a model's pictures. It is found, or asked for; never guessed."""

from __future__ import annotations

import os
from dataclasses import replace

from onnxsearch.embedders.onnx.signature import ImageInputSpec
from onnxsearch.errors import ProfileError
from onnxsearch.images.preprocessing.model_config import find_sidecar
from onnxsearch.images.preprocessing.presets import needs_size, profile_names
from onnxsearch.images.preprocessing.profile import PreprocessingProfile

PROFILE_KEY = "onnxsearch.profile"
"""The key under which a model's metadata holds its profile, as JSON."""

NOTHING_SAYS = (
    "nothing says how pictures are prepared for this model, neither its metadata nor a "
    "configuration file beside it or one folder up"
)


def resolve_profile(
    given: str | PreprocessingProfile | None,
    carried: str | None,
    model: ImageInputSpec,
    path: str | os.PathLike[str] | None = None,
) -> PreprocessingProfile:
    """Return the caller's profile, else the model's own, else that of the files beside it.

    Args:
        given: The caller's choice, by name or as it is.
        carried: JSON from the model's metadata.
        model: What the model is fed.
        path: The model's file, if it is one; links to it are not followed.

    Raises:
        ProfileError: There is none, it cannot be read, or its size is not the model's.
    """
    if isinstance(given, PreprocessingProfile):
        profile = given
    elif given is not None:
        profile = _named(given, model)
    elif carried is not None:
        profile = replace(PreprocessingProfile.from_json(carried), source="the model's metadata")
    elif path is not None and (found := find_sidecar(path)) is not None:
        profile = PreprocessingProfile.of(found[0])
    else:
        raise ProfileError(
            f"{NOTHING_SAYS}: pass profile=..., a PreprocessingProfile or one of "
            f"{', '.join(profile_names())}. What the model was trained with is in its "
            "documentation; a wrong one gives wrong neighbours"
        )
    height, width = profile.size
    if model.height not in (None, height) or model.width not in (None, width):
        raise ProfileError(
            f"profile {profile.name!r} (from {profile.source}) makes pictures of {height} x "
            f"{width} pixels, and the model takes {model.height} x {model.width}: use a profile "
            "of that size, such as PreprocessingProfile.named(..., size=...)"
        )
    return profile


def _named(name: str, model: ImageInputSpec) -> PreprocessingProfile:
    # A name that stands for a family of sizes gets its size from the model.
    if needs_size(name) and model.height is not None and model.width is not None:
        return PreprocessingProfile.named(name, (model.height, model.width))
    return PreprocessingProfile.named(name)
