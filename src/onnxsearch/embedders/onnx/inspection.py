"""What a model file is, which call makes an embedder of it, and writing that into it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxsearch.embedders.onnx.editing import write_metadata
from onnxsearch.embedders.onnx.external_data import external_data
from onnxsearch.embedders.onnx.header import read_header
from onnxsearch.embedders.onnx.image_model import ImageModel
from onnxsearch.embedders.onnx.profile_lookup import PROFILE_KEY, resolve_profile
from onnxsearch.embedders.onnx.session import CPU, RuntimeOptions, Sessions
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
    """The program that wrote it."""
    ir_version: int
    """Version of the file format."""
    opsets: Mapping[str, int]
    """Version of the operators, by domain."""
    inputs: tuple[NodeReport, ...]
    outputs: tuple[NodeReport, ...]
    kind: ModelKind
    """What it takes."""
    layout: Layout | None
    """Order of the picture's axes."""
    profile: PreprocessingProfile | None
    """The preprocessing that the file, or one beside it, declares; its `source` says where."""
    output: str | None
    """The output that holds the vector, if that is clear."""
    missing: tuple[MissingArgument, ...]
    """What the call has to say because no file does."""
    call: str | None
    """The call to write, as Python; None if none would do. Where something is missing it
    has the first of several options: a suggestion, which the model's documentation or
    `OnnxEmbedder.verify` confirms."""


def inspect_model(path: str | os.PathLike[str]) -> ModelReport:
    """Return what the model at `path` is, and which call makes an embedder of it.

    The model is loaded; where it leaves its outputs' shapes open, it is run once.

    Raises:
        ModelLoadError: It cannot be loaded; the message has the reason.
    """
    name = os.fspath(path)
    sessions = Sessions(os.path.abspath(name), (CPU,), RuntimeOptions())
    session = sessions.get(1)
    header = read_header(name)
    suggested = suggest(name, sessions)
    weights = external_data(os.path.abspath(name)).values()
    return ModelReport(
        path=name,
        bytes=os.path.getsize(name) + sum(file.stat().st_size for file in weights),
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
    """Write into a model's file how its pictures are prepared; return the profile.

    From then on `OnnxEmbedder(path)` needs no `profile=`, here and wherever the file
    goes. The file's bytes change, and the fingerprint with them: annotate a model
    before you index with it. Format and operators keep their versions. The file is
    replaced at once, never half written.

    Args:
        path: The model, which is loaded to see that the profile fits.
        profile: A name, or a profile.
        size: Pixels (height, width, or one number for both) instead of those of the
            named profile.

    Raises:
        ModelLoadError: The model cannot be loaded, or takes no pictures.
        ProfileError: There is no such profile, or it does not fit the model.
        MissingExtraError: The package onnx is not installed.
        InvalidArgumentError: The file cannot be written.
    """
    name = os.fspath(path)
    sessions = Sessions(os.path.abspath(name), (CPU,), RuntimeOptions())
    if isinstance(profile, str) and size is not None:
        profile = PreprocessingProfile.named(profile, size)
    fitting = resolve_profile(profile, None, ImageModel(sessions, 1, name).input)
    write_metadata(name, PROFILE_KEY, fitting.to_json())
    return fitting


def _nodes(nodes: Sequence[Node]) -> tuple[NodeReport, ...]:
    return tuple(NodeReport(node.name, node.type, tuple(node.shape)) for node in nodes)
