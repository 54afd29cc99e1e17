"""Editing of models with the package onnx: open batches, inner tensors, their profile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from onnxsearch.errors import (
    InvalidArgumentError,
    MissingExtraError,
    ModelLoadError,
    ModelOutputError,
)

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto


_LEAST = 4
"""Channels and cells on a side of a feature map, at least. The image has three channels."""


def onnx_is_installed() -> bool:
    """Return whether the package onnx, which edits models, is installed."""
    return find_spec("onnx") is not None


def open_batch(model: str | bytes) -> bytes:
    """Return the model with a batch of any size where its own is 1.

    The first axes of inputs and outputs get a name instead of a number, and a `Reshape`
    to a constant shape that begins with 1 keeps the length of its input there. That can
    be wrong, as a 1 need not mean the batch: compare the edited model with the original
    before using it. Versions of format and operators stay.

    Args:
        model: Path of the model, or its bytes.

    Raises:
        MissingExtraError: The package onnx is not installed.
        ModelLoadError: The package onnx cannot read the model, or its weights are in
            other files, to which a model in memory cannot refer.
    """
    proto = _in_one_file(model)
    _open(proto.graph)
    return bytes(proto.SerializeToString())


def expose(model: str | bytes, tensor: str) -> bytes:
    """Return the model with an inner tensor as a further output; nothing else changes.

    Args:
        model: Path of the model, or its bytes.
        tensor: Name of the tensor; that of an output changes nothing.

    Raises:
        MissingExtraError: The package onnx is not installed.
        ModelLoadError: The package onnx cannot read the model, or its weights are in other files,
            to which a model in memory cannot refer.
        ModelOutputError: The graph has no such tensor.
    """
    import onnx

    proto = _in_one_file(model)
    if all(tensor not in node.output for node in proto.graph.node):
        raise ModelOutputError(
            f"regions={tensor!r:.200}: the model has no such tensor. regions=True finds the "
            "feature map of a convolutional model"
        )
    if all(value.name != tensor for value in proto.graph.output):
        proto.graph.output.append(onnx.ValueInfoProto(name=tensor))
    return bytes(proto.SerializeToString())


def find_feature_map(model: str | bytes, shape: Sequence[int]) -> str:
    """Return the name of the feature map that regions are pooled from.

    It is the last one that a convolution reads of those that have twice the resolution of the
    last map: the parts of an image are too small for the last one.

    Args:
        model: Path of the model, or its bytes.
        shape: Axes of the input for one image, (1, ...).

    Raises:
        MissingExtraError: The package onnx is not installed.
        ModelLoadError: As for `expose`.
        ModelOutputError: There is no such map.
    """
    convolutions = _convolutions(_in_one_file(model), shape)
    if convolutions:
        *_, (_, (_, rows, columns)) = convolutions
        for (name, height, width), _ in reversed(convolutions):
            if height >= 2 * rows - 1 and width >= 2 * columns - 1:
                return name
    raise ModelOutputError(
        "regions=True: in this model no feature map of twice the resolution of the last one is "
        "found, as in transformers. Use a convolutional model, such as "
        "OnnxEmbedder.bundled(regions=True), or name the tensor: regions='tensor'"
    )


class _Map(NamedTuple):
    """A feature map, and its size in cells."""

    name: str
    height: int
    width: int


def _convolutions(proto: ModelProto, shape: Sequence[int]) -> list[tuple[_Map, _Map]]:
    """Return the maps that each convolution reads and makes, in the order of the graph."""
    import onnx

    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    weights = {tensor.name for tensor in whole.graph.initializer}
    for value in whole.graph.input:
        if value.name not in weights:
            for axis, size in zip(value.type.tensor_type.shape.dim, shape, strict=False):
                axis.dim_value = size
    del whole.graph.value_info[:]
    try:
        known = onnx.shape_inference.infer_shapes(whole, data_prop=True).graph.value_info
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelLoadError(f"the package onnx cannot tell the model's shapes: {error}") from error
    axes = {v.name: [each.dim_value for each in v.type.tensor_type.shape.dim] for v in known}
    maps = {
        name: _Map(name, sizes[2], sizes[3])
        for name, sizes in axes.items()
        if len(sizes) == 4 and min(sizes[1:]) >= _LEAST
    }
    ends = [(node.input[0], node.output[0]) for node in whole.graph.node if node.op_type == "Conv"]
    return [(maps[read], maps[made]) for read, made in ends if read in maps and made in maps]


def _in_one_file(model: str | bytes) -> ModelProto:
    proto = _read(model)
    if any(weights.external_data for weights in proto.graph.initializer):
        raise ModelLoadError("the model's weights are in other files")
    return proto


def write_metadata(path: str, key: str, value: str) -> None:
    """Set an entry of a model's metadata; the rest of the file stays as it is.

    The file is replaced at once, so that a reader, or a crash, finds the old file or the
    new one. Of a link, the file that it leads to is replaced.

    Raises:
        MissingExtraError: The package onnx is not installed.
        ModelLoadError: The package onnx cannot read the model.
        InvalidArgumentError: The file cannot be written.
    """
    real = os.path.realpath(path)
    proto = _read(real)
    kept = [entry for entry in proto.metadata_props if entry.key != key]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    proto.metadata_props.add(key=key, value=value)
    folder, name = os.path.split(real)
    try:
        descriptor, new = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(proto.SerializeToString())
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(real, new)
            os.replace(new, real)
        except BaseException:
            os.unlink(new)
            raise
    except OSError as error:
        raise InvalidArgumentError(f"model {path!r} cannot be written: {error}") from error


def _read(model: str | bytes) -> ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_package("onnx", extra="onnx") from error
    try:
        if isinstance(model, bytes):
            return onnx.load_model_from_string(model)
        return onnx.load_model(model, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelLoadError(f"the package onnx cannot read the model: {error}") from error


def _open(graph: GraphProto) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    for value in (*graph.input, *graph.output):
        if value.name not in weights:
            _open_value(value)
    # Shapes of intermediate values were inferred for a single image.
    del graph.value_info[:]
    for node in list(graph.node):
        if node.op_type == "Reshape":
            _open_reshape(graph, node)


def _open_value(value: ValueInfoProto) -> None:
    axes = value.type.tensor_type.shape.dim
    if axes and axes[0].dim_value == 1:
        axes[0].dim_param = "batch"


def _open_reshape(graph: GraphProto, node: NodeProto) -> None:
    import onnx

    shape = _constant(graph, node.input[1])
    if shape is None or len(shape) == 0 or shape[0] != 1:
        return
    # Other nodes may use the same constant, so it is copied.
    name = f"{node.input[1]}_open_batch"
    if all(tensor.name != name for tensor in graph.initializer):
        shape[0] = 0
        graph.initializer.append(onnx.helper.make_tensor(name, 7, [len(shape)], shape))
    node.input[1] = name
    # With it, 0 would mean an axis of length 0 instead of the length of the input.
    kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _constant(graph: GraphProto, name: str) -> list[int] | None:
    from onnx import numpy_helper

    for tensor in graph.initializer:
        if tensor.name == name:
            return [int(size) for size in numpy_helper.to_array(tensor)]
    for node in graph.node:
        if node.op_type == "Constant" and name in node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    return [int(size) for size in numpy_helper.to_array(attribute.t)]
    return None
