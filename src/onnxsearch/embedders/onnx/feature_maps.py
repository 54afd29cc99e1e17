"""The feature map of a convolutional model from which regions are pooled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsearch.embedders.onnx.editing import read_one_file
from onnxsearch.errors import ModelLoadError, ModelOutputError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_LEAST = 4
"""Channels and cells on a side of a feature map, at least. The image has three channels."""
_SMALL = 64
"""Numbers of a constant, at most, from which others are computed: they describe axes."""
_FOLDED = frozenset(
    {
        *("Add", "Cast", "Concat", "ConstantOfShape", "Div", "Gather", "Mul", "Reshape"),
        *("Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
    }
)
"""Operators by which exporters write how wide a padding is. None makes much of little, but
`ConstantOfShape`."""


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
    proto = _for_one_image(read_one_file(model), shape)
    # PyTorch computes paddings in the graph, and the package onnx follows few of its operators.
    convolutions = _convolutions(proto) or _convolutions(_folded(proto))
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


def _for_one_image(proto: ModelProto, shape: Sequence[int]) -> ModelProto:
    """Return a copy of a model whose input has these axes, without other known shapes."""
    import onnx

    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    weights = {tensor.name for tensor in whole.graph.initializer}
    for value in whole.graph.input:
        if value.name not in weights:
            for axis, size in zip(value.type.tensor_type.shape.dim, shape, strict=False):
                axis.dim_value = size
    del whole.graph.value_info[:]
    return whole


def _convolutions(proto: ModelProto) -> list[tuple[_Map, _Map]]:
    """Return the maps that each convolution reads and makes, in the order of the graph."""
    import onnx

    try:
        known = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph.value_info
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelLoadError(f"the package onnx cannot tell the model's shapes: {error}") from error
    axes = {v.name: [each.dim_value for each in v.type.tensor_type.shape.dim] for v in known}
    maps = {
        name: _Map(name, sizes[2], sizes[3])
        for name, sizes in axes.items()
        if len(sizes) == 4 and min(sizes[1:]) >= _LEAST
    }
    # A padded map has a border that the image does not have.
    whole = {node.output[0]: node.input[0] for node in proto.graph.node if node.op_type == "Pad"}
    ends = [
        (whole.get(node.input[0], node.input[0]), node.output[0])
        for node in proto.graph.node
        if node.op_type == "Conv"
    ]
    return [(maps[read], maps[made]) for read, made in ends if read in maps and made in maps]


def _folded(proto: ModelProto) -> ModelProto:
    """Return a model in which small values that follow from constants are constants."""
    from onnx import AttributeProto, numpy_helper

    known = dict(_small_constants(proto.graph))
    for node in proto.graph.node:
        if node.op_type in _FOLDED and all(name in known for name in node.input):
            value = _value(node, [known[name] for name in node.input])
            if value is not None:
                known[node.output[0]] = value
                node.ClearField("input")
                node.ClearField("attribute")
                node.op_type = "Constant"
                tensor = numpy_helper.from_array(value)
                node.attribute.add(name="value", type=AttributeProto.TENSOR, t=tensor)
    return proto


def _small_constants(graph: GraphProto) -> Iterator[tuple[str, NDArray[np.generic]]]:
    from onnx import numpy_helper

    for tensor in graph.initializer:
        if np.prod(tensor.dims) <= _SMALL:
            yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and np.prod(attribute.t.dims) <= _SMALL:
                    yield node.output[0], numpy_helper.to_array(attribute.t)


def _value(node: NodeProto, inputs: Sequence[NDArray[np.generic]]) -> NDArray[np.generic] | None:
    """Return what a node gives; None if it is not small, or the node is not as it should be."""
    from onnx.reference import ReferenceEvaluator

    if node.op_type == "ConstantOfShape" and np.prod(inputs[0].astype(np.float64)) > _SMALL:
        return None
    try:
        (value,) = ReferenceEvaluator(node).run(None, dict(zip(node.input, inputs, strict=True)))
    except Exception:  # noqa: BLE001  a graph from anywhere, in an evaluator of its own errors
        return None
    return value if isinstance(value, np.ndarray) and value.size <= _SMALL else None
