"""Small ONNX models, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]
FEATURES = 8


def weights(channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(channels, FEATURES)).astype(np.float32)


def colour_model(
    layout: str = "NCHW",
    *,
    size: Shape = ("height", "width"),
    batch: int | str = "n",
    output: str = "vector",
    half: bool = False,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Make a model that averages each colour and multiplies by `weights`.

    Args:
        layout: Order of the input's axes.
        size: Height and width: numbers, or names where they are open.
        batch: First axis.
        output: What comes out: `vector` (n, 8), `tokens` (n, height, 8), `map` (n, 8,
            height, width) or its NHWC twin, `place` (n, 8, 1, 1), `two` (outputs `a`
            and `b`), `named` (outputs `other` and `embedding`), or `nan`.
        half: float16 instead of float32.
        metadata: The model's metadata.
    """
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    table = weights().astype(np.float16 if half else np.float32)
    shape = (batch, 3, *size) if layout == "NCHW" else (batch, *size, 3)
    spatial = [2, 3] if layout == "NCHW" else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=spatial, keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["vector"]),
    ]
    initializers = [numpy_helper.from_array(table, "weights")]
    outputs: dict[str, Shape] = {"vector": (batch, FEATURES)}
    if output == "tokens":
        nodes = [
            helper.make_node("Transpose", ["x"], ["nhwc"], perm=_to_nhwc(layout)),
            helper.make_node("ReduceMean", ["nhwc"], ["rows"], axes=[2], keepdims=0),
            helper.make_node("MatMul", ["rows", "weights"], ["vector"]),
        ]
        outputs = {"vector": (batch, size[0], FEATURES)}
    elif output == "map":
        nodes = [
            helper.make_node("Transpose", ["x"], ["nhwc"], perm=_to_nhwc(layout)),
            helper.make_node("MatMul", ["nhwc", "weights"], ["map_nhwc"]),
            helper.make_node("Transpose", ["map_nhwc"], ["vector"], perm=_from_nhwc(layout)),
        ]
        pixels = (FEATURES, *size) if layout == "NCHW" else (*size, FEATURES)
        outputs = {"vector": (batch, *pixels)}
    elif output == "place":
        nodes.append(helper.make_node("Unsqueeze", ["vector", "axes"], ["place"]))
        initializers.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
        outputs = {"place": (batch, FEATURES, 1, 1)}
    elif output in ("two", "named"):
        names = ("a", "b") if output == "two" else ("other", "embedding")
        nodes.append(helper.make_node("Neg", ["vector"], [names[0]]))
        nodes.append(helper.make_node("Identity", ["vector"], [names[1]]))
        outputs = dict.fromkeys(names, (batch, FEATURES))
    elif output == "nan":
        nodes.append(helper.make_node("Sub", ["vector", "vector"], ["zero"]))
        nodes.append(helper.make_node("Div", ["zero", "zero"], ["nan"]))
        outputs = {"nan": (batch, FEATURES)}
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        initializers,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def convolutional_model() -> bytes:
    """Make a model with two convolutions that halve the resolution, and the mean of the last map.

    It takes (n, 3, 224, 224), so that regions are pooled from a map of 112 x 112 cells.
    """
    random = np.random.default_rng(5)
    shapes = {"first": (FEATURES, 3, 3, 3), "second": (FEATURES, FEATURES, 3, 3)}
    initializers = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    halved = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["large"], **halved),
        helper.make_node("Relu", ["large"], ["map"]),
        helper.make_node("Conv", ["map", "second"], ["small"], **halved),
        helper.make_node("GlobalAveragePool", ["small"], ["means"]),
        helper.make_node("Flatten", ["means"], ["vector"]),
    ]
    return vector_model(nodes, initializers, ("n", 3, 224, 224), FEATURES)


def bytes_model() -> bytes:
    """Make a model that takes bytes, (n, 6, 5, 3), and multiplies their means by `weights`."""
    nodes = [
        helper.make_node("Cast", ["x"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["vector"]),
    ]
    constants = [numpy_helper.from_array(weights(), "weights")]
    return vector_model(nodes, constants, ("n", 6, 5, 3), FEATURES, kind=TensorProto.UINT8)


def vector_model(
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[onnx.TensorProto],
    axes: Sequence[int | str | None],
    features: int,
    *,
    name: str = "x",
    kind: int = TensorProto.FLOAT,
) -> bytes:
    """Make a model of nodes that turn the input, `name`, into `vector`, of so many features."""
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(name, kind, axes)],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, (axes[0], features))],
        initializers,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


def _to_nhwc(layout: str) -> list[int]:
    return [0, 2, 3, 1] if layout == "NCHW" else [0, 1, 2, 3]


def _from_nhwc(layout: str) -> list[int]:
    return [0, 3, 1, 2] if layout == "NCHW" else [0, 1, 2, 3]
