"""Inspection of a model file, and writing its profile into it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxsearch._internal.paths import absolute_path
from onnxsearch.embedders.onnx.editing import write_metadata
from onnxsearch.embedders.onnx.external_data import external_data
from onnxsearch.embedders.onnx.header import read_header
from onnxsearch.embedders.onnx.image_model import ImageModel
from onnxsearch.embedders.onnx.profile_lookup import (
    PROFILE_KEY,
    resolve_profile,
    usual_layout,
)
from onnxsearch.embedders.onnx.providers import CPU
from onnxsearch.embedders.onnx.session import RuntimeOptions, Sessions
from onnxsearch.embedders.onnx.signature import Node
from onnxsearch.embedders.onnx.suggestion import MissingArgument, ModelKind, suggest
from onnxsearch.images.preprocessing.profile import Layout, PreprocessingProfile
from onnxsearch.images.resize import Size


@dataclass(frozen=True, slots=True)
class NodeReport:
    """An input or output of a model."""

    name: str
    type: str
    """As ONNX Runtime calls it, for example `tensor(float)`."""
    shape: tuple[int | str | None, ...]
    """Dimensions; those that are not numbers are open."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What `inspect_model` found."""

    path: str
    bytes: int
    """Size of the model, with the weights in other files."""
    producer: str
    """The program that wrote the file."""
    ir_version: int
    """Version of the file format."""
    opsets: Mapping[str, int]
    """Version of the operators, by domain."""
    inputs: tuple[NodeReport, ...]
    outputs: tuple[NodeReport, ...]
    kind: ModelKind
    """Whether it takes images (`pictures`), text, both, or neither."""
    layout: Layout | None
    """Order of the image's axes."""
    profile: PreprocessingProfile | None
    """The preprocessing that the file, or a file beside it, declares; see its `source`."""
    output: str | None
    """The output that holds the vector, if that is clear."""
    missing: tuple[MissingArgument, ...]
    """The arguments that the call needs because no file says them."""
    call: str | None
    """The call to write, as Python; None if no call would work. A missing argument has the
    first of its options there: a suggestion, which the model's documentation or
    `OnnxEmbedder.verify` confirms."""


def inspect_model(path: str | os.PathLike[str]) -> ModelReport:
    """Return what the model at `path` takes and gives, and the call that makes it an embedder.

    The model is loaded, and an image model run once.

    Raises:
        ModelLoadError: The model cannot be loaded or run; the message has the reason.
        InvalidArgumentError: `path` is not a path.
    """
    file = absolute_path(path)
    name = os.fsdecode(path)
    sessions = Sessions(file, (CPU,), RuntimeOptions())
    session = sessions.get(1)
    header = read_header(file)
    suggested = suggest(name, sessions)
    weights = external_data(file).values()
    return ModelReport(
        path=name,
        bytes=os.path.getsize(file) + sum(each.stat().st_size for each in weights),
        producer=header.producer,
        ir_version=header.ir_version,
        opsets=header.opsets,
        inputs=_nodes(session.get_inputs()),
        outputs=_nodes(session.get_outputs()),
        kind=suggested.kind,
        layout=suggested.layout,
        profile=suggested.profile,
        output=suggested.output,
        missing=suggested.missing,
        call=suggested.call,
    )


def annotate_model(
    path: str | os.PathLike[str],
    profile: str | PreprocessingProfile,
    size: int | Size | None = None,
) -> PreprocessingProfile:
    """Write into a model's file how its images are prepared; return the profile.

    From then on `OnnxEmbedder(path)` needs no `profile=`, here and wherever the file is
    copied. The file's bytes change, and the fingerprint with them: annotate a model
    before you index with it. Format and operators keep their versions. The file is
    replaced at once, never half written.

    Args:
        path: The model. It is loaded to check that the profile fits.
        profile: A name, or a profile.
        size: Pixels (height, width, or one number for both) instead of those of the
            named profile.

    Raises:
        ModelLoadError: The model cannot be loaded, or does not take images.
        ProfileError: There is no such profile, or it does not fit the model.
        MissingExtraError: The package onnx is not installed.
        InvalidArgumentError: The file cannot be written, or `path` is not a path.
    """
    file = absolute_path(path)
    sessions = Sessions(file, (CPU,), RuntimeOptions())
    if isinstance(profile, str) and size is not None:
        profile = PreprocessingProfile.named(profile, size)
    # The profile's usual order of axes is as good as any to check its size.
    model = ImageModel(sessions, 1, file, usual=usual_layout(profile, None, None) or "NCHW")
    fitting = resolve_profile(profile, None, model.input)
    write_metadata(file, PROFILE_KEY, fitting.to_json())
    return fitting


def _nodes(nodes: Sequence[Node]) -> tuple[NodeReport, ...]:
    return tuple(NodeReport(node.name, node.type, tuple(node.shape)) for node in nodes)
