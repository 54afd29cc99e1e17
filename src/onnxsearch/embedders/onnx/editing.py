"""Editing of models with the package onnx: open batches, inner tensors, their profile."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.util import find_spec
from typing import TYPE_CHECKING

from onnxsearch.errors import (
    InvalidArgumentError,
    MissingExtraError,
    ModelLoadError,
    ModelOutputError,
)

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto


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
    proto = read_one_file(model)
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

    proto = read_one_file(model)
    if all(tensor not in node.output for node in proto.graph.node):
        raise ModelOutputError(
            f"regions={tensor!r:.200}: the model has no such tensor. regions=True finds the "
            "feature map of a convolutional model"
        )
    if all(value.name != tensor for value in proto.graph.output):
        proto.graph.output.append(onnx.ValueInfoProto(name=tensor))
    return bytes(proto.SerializeToString())


def read_one_file(model: str | bytes) -> ModelProto:
    """Return a model whose weights are in no other files.

    Raises:
        MissingExtraError: The package onnx is not installed.
        ModelLoadError: The package onnx cannot read the model, or its weights are in other files.
    """
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
