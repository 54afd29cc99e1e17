"""Which profile prepares a model's images. It is found, or asked for; never guessed."""

from __future__ import annotations

from dataclasses import replace

from onnxsearch.embedders.onnx.signature import ImageInputSpec
from onnxsearch.errors import InvalidArgumentError, ProfileError
from onnxsearch.images.preprocessing.model_config import find_sidecar
from onnxsearch.images.preprocessing.presets import needs_size, profile_names
from onnxsearch.images.preprocessing.profile import Layout, PreprocessingProfile

PROFILE_KEY = "onnxsearch.profile"
"""The key under which a model's metadata holds its profile, as JSON."""

NOTHING_SAYS = (
    "nothing says how images are prepared for this model, neither its metadata nor a "
    "configuration file beside it or one folder up"
)

_NHWC_PROFILES = ("keras-",)
_NCHW_PROFILES = (
    "torchvision",
    "openai-clip",
    "open-clip",
    "mobileclip",
    "hf-",
    "siglip",
    "dinov2",
    "deit",
    "mobilenet-hf",
)


def resolve_profile(
    given: str | PreprocessingProfile | None,
    carried: str | None,
    model: ImageInputSpec,
    path: str | None = None,
) -> PreprocessingProfile:
    """Return the caller's profile, else the model's own, else that of the files beside it.

    Args:
        given: The caller's choice: a name or a profile.
        carried: JSON from the model's metadata.
        model: What the model is fed.
        path: The model's file, if it is in one; links to it are not followed.

    Raises:
        ProfileError: There is none, it cannot be read, or it does not fit the model.
        InvalidArgumentError: `given` is neither a name nor a profile.
    """
    profile = _declared(given, carried, path)
    if profile is None:
        if not isinstance(given, str):
            raise ProfileError(
                f"{NOTHING_SAYS}: pass profile=..., a PreprocessingProfile or one of "
                f"{', '.join(profile_names())}. The model's documentation says what it was "
                "trained with; a wrong profile gives wrong neighbours"
            )
        profile = _named(given, model)
    height, width = profile.size
    if model.height not in (None, height) or model.width not in (None, width):
        raise ProfileError(
            f"profile {profile.name!r} (from {profile.source}) makes images of {height} x "
            f"{width} pixels, and the model takes {model.height or 'any'} x "
            f"{model.width or 'any'}: use a profile of that size, such as "
            "PreprocessingProfile.named(..., size=...)"
        )
    if model.dtype == "uint8" and profile.steps:
        raise ProfileError(
            f"profile {profile.name!r} (from {profile.source}) computes with the levels of the "
            "pixels, and the model takes them as they are, uint8: use a profile without steps, "
            "such as dataclasses.replace(profile, steps=())"
        )
    return profile


def bundled_profile(name: str) -> PreprocessingProfile:
    """Return the profile that prepares images for a bundled model.

    It is the one of the model's file, with another resampler: the bundled models promise
    no other library's vectors.

    Raises:
        ProfileError: No bundled model has this name.
    """
    exact = PreprocessingProfile.named(name)
    return replace(
        exact, name=f"{name}-reducing", resampler="reducing", source="the package onnxsearch"
    )


def usual_layout(
    given: str | PreprocessingProfile | None, carried: str | None, path: str | None
) -> Layout | None:
    """Return the order of axes in the framework that a profile comes from.

    It decides where a graph leaves the order open. Configuration files beside a model are
    those of transformers, timm and OpenCLIP, which are PyTorch's. None if the profile
    says nothing about it.

    Args:
        given: See `resolve_profile`.
        carried: See `resolve_profile`.
        path: See `resolve_profile`.

    Raises:
        ProfileError: The profile cannot be read.
    """
    profile = _declared(given, carried, path)
    name = given if isinstance(given, str) else "" if profile is None else profile.name
    if name.startswith(_NHWC_PROFILES):
        return "NHWC"
    from_file = given is None and carried is None and profile is not None
    return "NCHW" if from_file or name.startswith(_NCHW_PROFILES) else None


def _declared(
    given: str | PreprocessingProfile | None, carried: str | None, path: str | None
) -> PreprocessingProfile | None:
    """Return the profile that is not chosen by its name; None if there is none."""
    if isinstance(given, PreprocessingProfile):
        return given
    if isinstance(given, str):
        return None
    if given is not None:
        raise InvalidArgumentError(
            f"profile={given!r:.80}: expected a PreprocessingProfile, or the name of one"
        )
    if carried is not None:
        return replace(PreprocessingProfile.from_json(carried), source="the model's metadata")
    found = None if path is None else find_sidecar(path)
    return None if found is None else PreprocessingProfile.of(found[0])


def _named(name: str, model: ImageInputSpec) -> PreprocessingProfile:
    # A name that stands for a family of sizes gets its size from the model.
    if needs_size(name) and model.height is not None and model.width is not None:
        return PreprocessingProfile.named(name, (model.height, model.width))
    return PreprocessingProfile.named(name)
