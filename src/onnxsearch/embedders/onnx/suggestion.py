"""The call that makes an embedder of a model: suggested to a reader, never applied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from onnxsearch._internal.paths import absolute_path
from onnxsearch.embedders.onnx.image_model import ImageModel
from onnxsearch.embedders.onnx.pooling import poolings
from onnxsearch.embedders.onnx.profile_lookup import (
    NOTHING_SAYS,
    PROFILE_KEY,
    resolve_profile,
    usual_layout,
)
from onnxsearch.embedders.onnx.session import Sessions
from onnxsearch.embedders.onnx.signature import ImageInputSpec, Node, floating
from onnxsearch.embedders.onnx.text_embedder import read_inputs
from onnxsearch.embedders.onnx.tokenization import text_profiles
from onnxsearch.errors import ModelLoadError, ModelOutputError, ProfileError
from onnxsearch.images.preprocessing.presets import profile_names
from onnxsearch.images.preprocessing.profile import Layout, PreprocessingProfile

ModelKind: TypeAlias = Literal["pictures", "text", "both", "neither"]
"""The inputs of a model: images, text, both, or neither."""

_LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC")
_OPEN_SIZE = (224, 224)  # for a first run of a model of open size
_BOTH = (
    "the model takes images and text: expected one model for each. Hugging Face's ONNX "
    "repositories have them as vision_model.onnx and text_model.onnx"
)


@dataclass(frozen=True, slots=True)
class MissingArgument:
    """An argument that the call needs because no file says it."""

    argument: str
    """Name of the argument; empty if no argument would help."""
    reason: str
    options: tuple[str, ...] = ()
    """Possible values, as Python; the likely values first."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is known about a model, what is not, and the call that makes an embedder of it."""

    kind: ModelKind
    layout: Layout | None = None
    profile: PreprocessingProfile | None = None
    output: str | None = None
    missing: tuple[MissingArgument, ...] = ()
    call: str | None = None
    """The call, with the first option of every missing argument."""


def suggest(path: str, sessions: Sessions) -> Suggestion:
    """Return which embedder the model at `path` could become, and how.

    Args:
        path: The model's path, as the caller wrote it.
        sessions: The model's sessions.

    Raises:
        ModelLoadError: The model cannot be loaded or run.
    """
    inputs = sessions.get(1).get_inputs()
    if any(node.name == "input_ids" for node in inputs):
        if any(len(node.shape) == 4 for node in inputs):
            return Suggestion("both", missing=(MissingArgument("", _BOTH),))
        return _of_text(path, inputs, sessions.get(1).get_outputs())
    carried = sessions.metadata(1).get(PROFILE_KEY)
    missing = []
    try:
        model = ImageModel(sessions, 1, path, usual=_usual_layout(carried, path))
    except ModelLoadError as error:
        # Where the order of axes is all that is unclear, a guess shows the rest.
        try:
            model = ImageModel(sessions, 1, path, layout=_LAYOUTS[0])
        except ModelLoadError:
            return Suggestion("neither", missing=(MissingArgument("", str(error)),))
        missing.append(MissingArgument("layout", str(error), tuple(map(_quoted, _LAYOUTS))))
    return _of_images(path, model, carried, missing)


def _usual_layout(carried: str | None, path: str) -> Layout | None:
    try:
        return usual_layout(None, carried, absolute_path(path))
    except ProfileError:  # `resolve_profile` reports it
        return None


def _of_images(
    path: str, model: ImageModel, carried: str | None, missing: list[MissingArgument]
) -> Suggestion:
    profile = output = None
    try:
        profile = resolve_profile(None, carried, model.input, absolute_path(path))
    except ProfileError as error:
        # The rest of that message lists the same profiles as the options.
        reason = NOTHING_SAYS if NOTHING_SAYS in str(error) else str(error)
        missing.append(MissingArgument("profile", reason, _profiles(model.input)))
    size = profile.size if profile else _size(model.input)
    run = model.first_run(np.zeros(model.input.shape(size), model.input.dtype))
    shapes = {name: shape.sizes for name, shape in run.shapes.items() if shape.per_image}
    try:
        output = run.choose(None, None)
    except ModelOutputError as error:
        usable = tuple(_quoted(name) for name, shape in shapes.items() if 2 <= len(shape) <= 4)
        missing.append(MissingArgument("output", str(error), usable))
    first = output or next((name for name, shape in shapes.items() if 2 <= len(shape) <= 4), None)
    if first is not None and (ways := poolings(shapes[first])):
        reason = f"output {first!r} {list(shapes[first])} is not a vector yet"
        missing.append(MissingArgument("pooling", reason, tuple(map(_quoted, ways))))
    return Suggestion(
        "pictures",
        layout=model.input.layout,
        profile=profile,
        output=output,
        missing=tuple(missing),
        call=_call("OnnxEmbedder", [path], missing),
    )


def _of_text(path: str, inputs: Sequence[Node], outputs: Sequence[Node]) -> Suggestion:
    try:
        fixed = read_inputs(inputs).tokens
    except ModelLoadError as error:
        return Suggestion("neither", missing=(MissingArgument("", str(error)),))
    vectors = any(len(node.shape) == 2 for node in floating(outputs))
    # Profiles pad for models that give a vector.
    fitting = tuple(
        _quoted(profile.name)
        for profile in text_profiles()
        if profile.pad == vectors and fixed in (None, profile.max_tokens)
    )
    missing = [
        MissingArgument("profile", "no file says how texts were prepared in training", fitting)
    ]
    if not vectors:
        reason = "the model gives a vector for each token"
        missing.append(MissingArgument("pooling", reason, ('"mean"', '"cls"', '"max"')))
    tokenizer = _tokenizer(path)
    if tokenizer is None:
        reason = "there is no tokenizer.json, and no BERT's vocab.txt, beside the model"
        missing.append(MissingArgument("", reason))
    return Suggestion(
        "text",
        missing=tuple(missing),
        call=_call("OnnxTextEmbedder", [path, tokenizer or "tokenizer.json"], missing),
    )


def _profiles(model: ImageInputSpec) -> tuple[str, ...]:
    """Return the profiles that fit the model, as code; those of similar models first."""
    likely: tuple[str, ...] = ("torchvision",)
    if model.layout == "NHWC":
        likely = ("keras-",)
    elif model.name == "pixel_values":  # transformers' name for it
        likely = ("hf-", "siglip", "dinov2", "deit", "mobilenet-hf")
    names = sorted(profile_names(), key=lambda name: not name.startswith(likely))
    found = (_expression(name, model, sized=name.startswith(likely)) for name in names)
    return tuple(each for each in found if each is not None)


def _expression(name: str, model: ImageInputSpec, *, sized: bool) -> str | None:
    """Return code for the profile, in the model's size if `sized`; None if it does not fit."""
    try:
        resolve_profile(name, None, model)
    except ProfileError:
        height, width = _size(model)
        try:
            PreprocessingProfile.named(name, (height, width))
        except ProfileError:
            return None
        size = height if height == width else (height, width)
        return f"PreprocessingProfile.named({_quoted(name)}, size={size})" if sized else None
    return _quoted(name)


def _size(model: ImageInputSpec) -> tuple[int, int]:
    return model.height or _OPEN_SIZE[0], model.width or _OPEN_SIZE[1]


def _tokenizer(model: str) -> str | None:
    """Return the path of the tokenizer beside the model, or one folder up."""
    beside = Path(absolute_path(model)).parent
    for folder in (beside, beside.parent):
        for name in ("tokenizer.json", "vocab.txt"):
            if (folder / name).is_file():
                return str(folder / name)
    return None


def _call(name: str, files: Sequence[str], missing: Sequence[MissingArgument]) -> str:
    named = [f"{each.argument}={each.options[0]}" for each in missing if each.options]
    return f"{name}({', '.join([*map(_quoted, files), *named])})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
