"""Tiny graphs in the shape of what exporters write: their names, axes, types and operators.

Each takes images of 8 x 8 pixels, and is named after the program that writes such graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxsearch import PreprocessingProfile

Axes = Sequence[int | str | None]

generator = np.random.default_rng(17)
WEIGHTS: dict[str, NDArray[np.generic]] = {
    "w": generator.normal(size=(12, 16)).astype(np.float32),
    "w16": generator.normal(size=(12, 16)).astype(np.float16),
    "wq": generator.integers(-120, 120, (12, 16)).astype(np.int8),
    "wu": generator.integers(0, 255, (12, 16)).astype(np.uint8),
    "ws": np.float32(0.01),
    "wz": np.uint8(128),
    "k": generator.normal(size=(16, 3, 4, 4)).astype(np.float32),
    "kq": generator.integers(-120, 120, (16, 3, 4, 4)).astype(np.int8),
    "k16": generator.normal(size=(16, 3, 4, 4)).astype(np.float16),
    "one16": np.ones(16, np.float32),
    "half16": np.full(16, 0.5, np.float32),
    "mean16": np.zeros(16, np.float32),
    "variance16": np.ones(16, np.float32),
    "nbits": generator.integers(0, 255, (16, 1, 8)).astype(np.uint8),
    "nscale": np.abs(generator.normal(size=16)).astype(np.float32),
    "nscale16": np.abs(generator.normal(size=16)).astype(np.float16),
    "qs": np.float32(0.02),
    "qz": np.uint8(128),
    "wqs": np.float32(0.01),
    "wqz": np.int8(0),
    "first": np.array([1, -1]),
    "first16": np.array([1, 16]),
    "quarter": np.array([4, 16]),
    "tokens": np.array([0, 16, 4]),
    "start": np.array([0]),
    "stop": np.array([1]),
}

POOLED = "p = AveragePool<kernel_shape=[4, 4], strides=[4, 4]>({x}) f = Flatten({p}) "
CONVOLVED = "c = Conv<kernel_shape=[4, 4], strides=[4, 4]>({x}, k) "
TO_NCHW = "t = Transpose<perm=[0, 3, 1, 2]>({x}) "
DYNAMIC = (
    "q, s, z = DynamicQuantizeLinear(f) i = MatMulInteger(q, {weights}, z{zero}) "
    "j = Cast<to=1>(i) r = Mul(s, ws) y = Mul(j, r) "
)


def body(text: str, x: str = "x", **more: str) -> str:
    return text.format(x=x, p="p", **more)


def graph(
    nodes: str,
    inputs: Mapping[str, tuple[str, Axes]],
    outputs: Mapping[str, tuple[str, Axes]],
    *,
    opset: int = 17,
    ir: int = 8,
    domains: Mapping[str, int] | None = None,
    renamed: Mapping[str, str] | None = None,
    weights_as_inputs: bool = False,
    unknown_axes: bool = False,
) -> bytes:
    """Make a model of text in ONNX's own notation.

    Args:
        nodes: The graph's nodes; they may use the arrays of `WEIGHTS` by name.
        inputs: Type and axes of each input.
        outputs: Type and axes of each output.
        opset: Version of the operators.
        ir: Version of the file format.
        domains: Versions of other operators, by domain.
        renamed: Names that the notation cannot write, by those that it can.
        weights_as_inputs: List the weights among the inputs, as old files do.
        unknown_axes: Say nothing about the axes of inputs and outputs.
    """
    domains = {"": opset, **(domains or {})}
    imports = ", ".join(f'"{domain}": {version}' for domain, version in domains.items())
    listed = [
        ", ".join(f"{kind} {name}" for name, (kind, _) in values.items())
        for values in (inputs, outputs)
    ]
    text = (
        f"<ir_version: {ir}, opset_import: [{imports}]> g ({listed[0]}) => ({listed[1]})"
        f" {{ {nodes} }}"
    )
    model = onnx.parser.parse_model(text)
    used = {name for node in model.graph.node for name in node.input}
    for name in sorted(used & WEIGHTS.keys()):
        tensor = numpy_helper.from_array(np.asarray(WEIGHTS[name]), name)
        model.graph.initializer.append(tensor)
        if weights_as_inputs:
            info = helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))
            model.graph.input.append(info)
    for values in (model.graph.input, model.graph.output):
        for value in values:
            axes = {**inputs, **outputs}.get(value.name)
            if axes is not None and value.type.HasField("tensor_type"):
                elem = value.type.tensor_type.elem_type
                info = helper.make_tensor_value_info(value.name, elem, axes[1])
                value.CopyFrom(info)
    if unknown_axes:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.ClearField("shape")
    for old, new in (renamed or {}).items():
        _rename(model.graph, old, new)
    return bytes(model.SerializeToString())


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for value in (*graph.input, *graph.output):
        if value.name == old:
            value.name = new
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


@dataclass(frozen=True)
class Export:
    """A graph, and what is to become of it."""

    make: Callable[[], bytes]
    arguments: Mapping[str, object] = field(default_factory=dict)
    error: str = ""
    """What its error says; empty for a graph that loads."""
    dimension: int = 16


NCHW: Axes = ("batch", 3, 8, 8)
HF: Axes = ("batch_size", "num_channels", "height", "width")


def image_model(
    nodes: str,
    axes: Axes = NCHW,
    *,
    name: str = "x",
    kind: str = "float",
    outputs: Mapping[str, tuple[str, Axes]] | None = None,
    **more: object,
) -> bytes:
    given = outputs or {"y": ("float", (axes[0], 16))}
    return graph(nodes, {name: (kind, axes)}, given, **more)  # type: ignore[arg-type]


PLAIN = body(POOLED) + "y = MatMul(f, w)"


def hf(nodes: str, outputs: Mapping[str, tuple[str, Axes]], **more: object) -> bytes:
    return image_model(nodes, HF, name="pixel_values", outputs=outputs, **more)


def hf_pooled(text: str) -> str:
    return body(POOLED, "pixel_values") + text


HF_TOKENS = (
    body(CONVOLVED, "pixel_values")
    + "r = Reshape(c, tokens) last_hidden_state = Transpose<perm=[0, 2, 1]>(r) "
)
TOKEN_OUTPUT: dict[str, tuple[str, Axes]] = {
    "last_hidden_state": ("float", ("batch_size", "sequence_length", 16))
}
EMBEDS: dict[str, tuple[str, Axes]] = {"image_embeds": ("float", ("batch_size", 16))}
NBITS = (
    "y = com.microsoft.MatMulNBits<K = 12, N = 16, bits = 4, block_size = 16>(f, nbits, {scale})"
)

EXPORTS: dict[str, Export] = {
    # --- optimum
    "optimum, CLIP's image tower": Export(
        lambda: hf(
            HF_TOKENS + "image_embeds = ReduceMean<axes=[1], keepdims=0>(last_hidden_state)",
            {**EMBEDS, **TOKEN_OUTPUT},
        )
    ),
    "optimum, ViT with a pooler": Export(
        lambda: hf(
            HF_TOKENS + "h = Gather<axis=1>(last_hidden_state, start) g = Squeeze(h, stop)"
            " pooler_output = Tanh(g)",
            {**TOKEN_OUTPUT, "pooler_output": ("float", ("batch_size", 16))},
        )
    ),
    "optimum, DINOv2": Export(
        lambda: hf(HF_TOKENS, TOKEN_OUTPUT), error=r"expected pooling=one of cls, mean, max"
    ),
    "optimum, DINOv2 with pooling": Export(
        lambda: hf(HF_TOKENS, TOKEN_OUTPUT), arguments={"pooling": "cls"}
    ),
    "optimum, ResNet's map": Export(
        lambda: hf(
            body(CONVOLVED, "pixel_values") + "last_hidden_state = Relu(c)",
            {"last_hidden_state": ("float", ("batch_size", 16, "height", "width"))},
        ),
        arguments={"pooling": "avg"},
    ),
    "optimum, CLIP's two towers": Export(
        lambda: graph(
            hf_pooled("image_embeds = MatMul(f, w) text_embeds = Cast<to=1>(input_ids)"),
            {
                "input_ids": ("int64", ("text_batch_size", "sequence_length")),
                "pixel_values": ("float", HF),
                "attention_mask": ("int64", ("text_batch_size", "sequence_length")),
            },
            {**EMBEDS, "text_embeds": ("float", ("text_batch_size", "sequence_length"))},
        ),
        error=r"3 inputs.*vision_model\.onnx",
    ),
    "optimum, DETR with a mask": Export(
        lambda: graph(
            hf_pooled(
                "m = Cast<to=1>(pixel_mask) n2 = ReduceMax<keepdims=0>(m) "
                "v = MatMul(f, w) logits = Mul(v, n2)"
            ),
            {
                "pixel_values": ("float", HF),
                "pixel_mask": ("int64", ("batch_size", 64, 64)),
            },
            {"logits": ("float", ("batch_size", 16))},
        ),
        error=r"'pixel_mask' tensor\(int64\).*with a single input",
    ),
    # --- transformers.js
    "transformers.js, fp32": Export(
        lambda: hf(hf_pooled("image_embeds = MatMul(f, w)"), EMBEDS, opset=14)
    ),
    "transformers.js, fp16": Export(
        lambda: hf(
            hf_pooled("g = Cast<to=10>(f) h = MatMul(g, w16) image_embeds = Cast<to=1>(h)"), EMBEDS
        )
    ),
    "transformers.js, int8": Export(
        lambda: hf(
            hf_pooled(body(DYNAMIC, weights="wq", zero="") + "image_embeds = Identity(y)"), EMBEDS
        )
    ),
    "transformers.js, uint8": Export(
        lambda: hf(
            hf_pooled(body(DYNAMIC, weights="wu", zero=", wz") + "image_embeds = Identity(y)"),
            EMBEDS,
        )
    ),
    "transformers.js, int8 of a convolution": Export(
        lambda: hf(
            "q, s, z = DynamicQuantizeLinear(pixel_values) "
            "i = ConvInteger<kernel_shape=[4, 4], strides=[4, 4]>(q, kq, z) "
            "j = Cast<to=1>(i) r = Mul(s, ws) c = Mul(j, r) "
            "image_embeds = ReduceMean<axes=[2, 3], keepdims=0>(c)",
            EMBEDS,
        )
    ),
    "transformers.js, q4": Export(
        lambda: hf(
            hf_pooled(NBITS.format(scale="nscale") + " image_embeds = Identity(y)"),
            EMBEDS,
            domains={"com.microsoft": 1},
        )
    ),
    "transformers.js, q4f16": Export(
        lambda: hf(
            body(POOLED, "pixel_values").replace(
                "f = Flatten(p)", "h = Flatten(p) f = Cast<to=10>(h)"
            )
            + NBITS.format(scale="nscale16")
            + " image_embeds = Cast<to=1>(y)",
            EMBEDS,
            domains={"com.microsoft": 1},
        )
    ),
    # --- torch.onnx, by tracing
    "torch, traced, as it is": Export(
        lambda: image_model(PLAIN, (1, 3, 8, 8), renamed={"x": "input.1", "y": "495"})
    ),
    "torch, traced, open batch": Export(
        lambda: image_model(
            body(CONVOLVED) + "g = GlobalAveragePool(c) s = Shape(g) b = Gather<axis=0>(s, start) "
            "o = ConstantOfShape<value = int64[1] {-1}>(stop) d = Concat<axis=0>(b, o) "
            "y = Reshape(g, d)",
            opset=11,
        )
    ),
    "torch, traced, view(1, -1)": Export(
        lambda: image_model(PLAIN.replace("y =", "v =") + " y = Reshape(v, first)")
    ),
    "torch, traced, view(1, 16)": Export(
        lambda: image_model(PLAIN.replace("y =", "v =") + " y = Reshape(v, first16)")
    ),
    "torch, traced, batch of 4": Export(lambda: image_model(PLAIN, (4, 3, 8, 8))),
    "torch, traced, squeezed": Export(
        lambda: image_model(PLAIN.replace("y =", "v =") + " y = Squeeze(v)"),
        error=r"no output can hold a vector.*'y' \[16\]",
    ),
    "torch, traced, transformer with the tokens first": Export(
        lambda: image_model(
            body(CONVOLVED) + "r = Reshape(c, tokens) y = Transpose<perm=[2, 0, 1]>(r)",
            outputs={"y": ("float", (4, "batch", 16))},
        ),
        arguments={"pooling": "mean"},
        error=r"no output can hold a vector.*'y' \[4, 1, 16\]",
    ),
    "torch, traced, batch normalisation left in training mode": Export(
        lambda: image_model(
            body(CONVOLVED)
            + "n, a, b = BatchNormalization<training_mode=1>(c, one16, half16, mean16, variance16) "
            "r = Relu(n) y = ReduceMean<axes=[2, 3], keepdims=0>(r)",
            opset=15,
        ),
    ),
    "torch, traced, normalised over the batch by hand": Export(
        lambda: image_model(
            body(CONVOLVED)
            + "a = ReduceMean<axes=[0, 2, 3], keepdims=1>(c) d = Sub(c, a) e = Mul(d, d) "
            "v = ReduceMean<axes=[0, 2, 3], keepdims=1>(e) s = Sqrt(v) n = Div(d, s) "
            "r = Relu(n) y = ReduceMean<axes=[2, 3], keepdims=0>(r)"
        )
    ),
    "torch, traced, opset 9": Export(
        lambda: image_model(
            body(CONVOLVED)
            + "n = BatchNormalization(c, one16, half16, mean16, variance16) r = Relu(n) "
            "g = GlobalAveragePool(r) y = Flatten(g)",
            opset=9,
            ir=4,
        )
    ),
    "torch, traced, a flag for training": Export(
        lambda: graph(
            PLAIN.replace("y =", "v =") + " t = Cast<to=1>(training) y = Add(v, t)",
            {"x": ("float", NCHW), "training": ("bool", ())},
            {"y": ("float", ("batch", 16))},
        ),
        error=r"'training' tensor\(bool\).*with a single input",
    ),
    "torch, traced, a batch of 4 fixed inside": Export(
        lambda: image_model(
            PLAIN.replace("y =", "v =") + " u = Reshape(v, quarter) y = Flatten(u)"
        ),
        error=r"(?s)first run.*fixes the length of its batch",
    ),
    # --- torch.onnx, with dynamo
    "torch, dynamo, as it is": Export(
        lambda: image_model(
            PLAIN.replace("y =", "v =") + " y = Reshape<allowzero=1>(v, first16)",
            (1, 3, 8, 8),
            opset=20,
            ir=10,
            renamed={"y": "linear_1"},
        )
    ),
    "torch, dynamo, dynamic shapes": Export(
        lambda: image_model(PLAIN, ("s77", 3, "s53", "s0"), opset=20, ir=10, name="x")
    ),
    "torch, dynamo, all axes open": Export(
        lambda: image_model(PLAIN, ("s77", "s27", "s53", "s0"), opset=20, ir=10),
        error=r"leave open where the colours are.*layout='NCHW'",
    ),
    "torch, dynamo, all axes open, layout said": Export(
        lambda: image_model(PLAIN, ("s77", "s27", "s53", "s0"), opset=20, ir=10),
        arguments={"layout": "NCHW"},
    ),
    # --- tf2onnx and Keras
    "tf2onnx, saved model": Export(
        lambda: image_model(
            body(TO_NCHW) + body(POOLED, "t") + "output_0 = MatMul(f, w)",
            ("unk__1", "unk__2", "unk__3", 3),
            outputs={"output_0": ("float", ("unk__4", 16))},
            opset=15,
            renamed={"x": "keras_tensor"},
        )
    ),
    "tf2onnx, bytes": Export(
        lambda: image_model(
            "b = Cast<to=1>(x) " + body(TO_NCHW, "b") + body(POOLED, "t") + "y = MatMul(f, w)",
            ("unk__1", 8, 8, 3),
            kind="uint8",
        )
    ),
    "tf2onnx, detection": Export(
        lambda: image_model(
            "b = Cast<to=1>(x) "
            + body(TO_NCHW, "b")
            + body(POOLED, "t")
            + "num = MatMul(f, w) detection_boxes = Unsqueeze(num, stop) "
            "detection_classes = Cast<to=7>(num)",
            (1, "unk__2", "unk__3", 3),
            kind="uint8",
            outputs={
                "detection_boxes": ("float", (1, "n", 16)),
                "detection_classes": ("int64", (1, 16)),
                "num": ("float", (1, 16)),
            },
        ),
        arguments={"output": "detection_classes"},
        error=r"output 'detection_classes' tensor\(int64\).*expected floating point",
    ),
    "Keras 3": Export(
        lambda: image_model(
            body(TO_NCHW) + body(POOLED, "t") + "y = MatMul(f, w)",
            ("unk__A", "unk__B", "unk__C", 3),
            renamed={"x": "keras_tensor", "y": "Identity:0"},
            opset=18,
        )
    ),
    "Keras 3, without top": Export(
        lambda: image_model(
            body(TO_NCHW) + body(CONVOLVED, "t") + "y = Transpose<perm=[0, 2, 3, 1]>(c)",
            ("unk__A", "unk__B", "unk__C", 3),
            outputs={"y": ("float", ("unk__D", "unk__E", "unk__F", 16))},
        ),
        arguments={"pooling": "max"},
    ),
    "Keras 3, all axes open": Export(
        lambda: image_model(
            body(TO_NCHW) + body(POOLED, "t") + "y = MatMul(f, w)", (None, None, None, None)
        ),
        arguments={"profile": PreprocessingProfile.named("keras-raw", 8)},
    ),
    "Keras, inputs_as_nchw": Export(
        lambda: image_model(PLAIN, ("unk__A", 3, "unk__B", "unk__C"), opset=15)
    ),
    # --- timm
    "timm": Export(lambda: image_model(PLAIN, renamed={"x": "input0", "y": "output0"}, opset=16)),
    "timm, features": Export(
        lambda: image_model(
            body(CONVOLVED) + "y = Relu(c)", outputs={"y": ("float", ("batch", 16, 2, 2))}
        ),
        error=r"expected pooling=one of avg, max",
    ),
    # --- insightface
    "insightface, recognition": Export(
        lambda: image_model(
            PLAIN,
            ("None", 3, 8, 8),
            outputs={"y": ("float", (1, 16))},
            renamed={"x": "input.1", "y": "683"},
            opset=11,
            ir=6,
        )
    ),
    "insightface, old MXNet with weights as inputs": Export(
        lambda: image_model(
            PLAIN,
            (1, 3, 8, 8),
            opset=8,
            ir=3,
            weights_as_inputs=True,
            renamed={"x": "data", "y": "fc1"},
        )
    ),
    "insightface, detection": Export(
        lambda: image_model(
            body(CONVOLVED)
            + "a = Transpose<perm=[2, 3, 0, 1]>(c) score = Flatten<axis=3>(a) box = Neg(score) ",
            (1, 3, "?", "?"),
            outputs={"score": ("float", ("?", 16)), "box": ("float", ("?", 16))},
        ),
        error=r"no output can hold a vector.*'score' \[4, 16\], 'box' \[4, 16\]",
    ),
    # --- Paddle
    "PaddleClas": Export(
        lambda: image_model(
            PLAIN, (-1, 3, 8, 8), renamed={"y": "save_infer_model/scale_0.tmp_1"}, opset=11
        )
    ),
    "PaddleClas, open size": Export(
        lambda: image_model(
            PLAIN,
            (
                "p2o.DynamicDimension.0",
                3,
                "p2o.DynamicDimension.1",
                "p2o.DynamicDimension.2",
            ),
        )
    ),
    "PaddleDetection": Export(
        lambda: graph(
            PLAIN.replace("x)", "image)").replace("y =", "v =")
            + " m = ReduceMax<keepdims=0>(scale_factor) y = Mul(v, m)",
            {"image": ("float", (-1, 3, 8, 8)), "scale_factor": ("float", (-1, 2))},
            {"y": ("float", (-1, 16))},
        ),
        error=r"2 inputs.*'scale_factor'.*expected exactly 1",
    ),
    # --- OpenMMLab
    "mmdeploy, mmpretrain": Export(
        lambda: image_model(
            PLAIN, ("batch", 3, "height", "width"), renamed={"x": "input", "y": "output"}, opset=11
        )
    ),
    "mmdeploy, detection": Export(
        lambda: image_model(
            body(CONVOLVED) + "r = Reshape(c, tokens) dets = Transpose<perm=[0, 2, 1]>(r) "
            "labels = ArgMax<axis=2, keepdims=0>(dets)",
            ("batch", 3, "height", "width"),
            outputs={
                "dets": ("float", ("batch", "num_dets", 5)),
                "labels": ("int64", ("batch", "num_dets")),
            },
        ),
        error=r"\[1, 4, 16\] with pooling=None: expected pooling",
    ),
    "mmdeploy, end to end, rows without a batch": Export(
        lambda: image_model(
            body(CONVOLVED) + "r = Transpose<perm=[0, 2, 3, 1]>(c) dets = Flatten<axis=3>(r)",
            ("batch", 3, 8, 8),
            outputs={"dets": ("float", ("num_dets", 16))},
        ),
        error=r"no output can hold a vector.*'dets' \[4, 16\]",
    ),
    # --- YOLO
    "YOLO, detection": Export(
        lambda: image_model(
            body(CONVOLVED) + "output0 = Reshape(c, tokens)",
            (1, 3, 8, 8),
            name="x",
            outputs={"output0": ("float", (1, 16, 4))},
            renamed={"x": "images"},
            opset=19,
            ir=9,
        ),
        error=r"output.*\[1, 16, 4\].*expected pooling",
    ),
    "YOLO, classification": Export(
        lambda: image_model(PLAIN, (1, 3, 8, 8), renamed={"x": "images", "y": "output0"})
    ),
    "YOLO, classification, dynamic": Export(
        lambda: image_model(
            body(CONVOLVED) + "g = GlobalAveragePool(c) v = Flatten(g) y = Softmax<axis=-1>(v)",
            ("batch", 3, "height", "width"),
            renamed={"x": "images", "y": "output0"},
        )
    ),
    "YOLO, half": Export(
        lambda: image_model(
            "c = Conv<kernel_shape=[4, 4], strides=[4, 4]>(x, k16) g = GlobalAveragePool(c) "
            "y = Flatten(g)",
            (8, 3, 8, 8),
            kind="float16",
            outputs={"y": ("float16", (8, 16))},
        )
    ),
    # --- quantised with calibration
    "onnxruntime, QDQ": Export(
        lambda: image_model(
            "q = QuantizeLinear(x, qs, qz) d = DequantizeLinear(q, qs, qz) "
            + body(POOLED, "d")
            + "a = QuantizeLinear(f, qs, qz) b = DequantizeLinear(a, qs, qz) "
            "v = DequantizeLinear(wq, wqs, wqz) y = MatMul(b, v)"
        )
    ),
    "onnxruntime, QOperator": Export(
        lambda: image_model(
            "q = QuantizeLinear(x, qs, qz) "
            "c = QLinearConv<kernel_shape=[4, 4], strides=[4, 4]>(q, qs, qz, kq, wqs, wqz, qs, qz) "
            "d = DequantizeLinear(c, qs, qz) y = ReduceMean<axes=[2, 3], keepdims=0>(d)"
        )
    ),
    "sentence-transformers, int8 vector": Export(
        lambda: image_model(
            PLAIN.replace("y =", "v =") + " embedding = QuantizeLinear(v, qs, wqz)",
            outputs={"embedding": ("int8", ("batch", 16))},
        ),
        error=r"no output can hold a vector.*'embedding' tensor\(int8\)",
    ),
    "skl2onnx, a classifier": Export(
        lambda: image_model(
            PLAIN.replace("y =", "v =") + " label = ArgMax<axis=1>(v) "
            f"y = ai.onnx.ml.ZipMap<classlabels_int64s = {[*range(16)]}>(v)",
            outputs={
                "label": ("int64", ("batch", 1)),
                "y": ("seq(map(int64, float))", ()),
            },
            domains={"ai.onnx.ml": 3},
        ),
        error=r"no output can hold a vector",
    ),
    "a classifier of labels": Export(
        lambda: image_model(
            PLAIN.replace("y =", "v =") + " label = ArgMax<axis=1>(v) sure = Greater(v, v)",
            outputs={"label": ("int64", ("batch", 1)), "sure": ("bool", ("batch", 16))},
        ),
        error=r"'label' tensor\(int64\).*'sure' tensor\(bool\)",
    ),
    # --- others
    "ONNX Model Zoo, MNIST": Export(
        lambda: image_model("y = Flatten(x)", (1, 1, 8, 8), outputs={"y": ("float", (1, 64))}),
        error="expected 3 colours",
    ),
    "without a batch": Export(
        lambda: image_model("y = Flatten(x)", (3, 8, 8), outputs={"y": ("float", (3, 64))}),
        error=r"\[3, 8, 8\]: expected float.*\(n, 3, height, width\)",
    ),
    "without any axes": Export(
        lambda: image_model(PLAIN, axes=NCHW, unknown_axes=True),
        error=r"leave open where the colours are",
    ),
    "without any axes, layout said": Export(
        lambda: image_model(PLAIN, axes=NCHW, unknown_axes=True), arguments={"layout": "NCHW"}
    ),
    "video": Export(
        lambda: image_model(
            "y = Flatten(x)", ("b", 16, 3, 8, 8), outputs={"y": ("float", ("b", "d"))}
        ),
        error=r"\['b', 16, 3, 8, 8\]: expected",
    ),
    "doubles": Export(
        lambda: image_model(
            "y = Flatten(x)", kind="double", outputs={"y": ("double", ("batch", 192))}
        ),
        error=r"tensor\(double\).*expected float, float16 or uint8",
    ),
    "a newer format": Export(
        lambda: image_model(PLAIN, ir=99), error="IR version.*install a newer onnxruntime"
    ),
    "newer operators": Export(
        lambda: image_model(PLAIN, opset=99), error="(?i)opset.*install a newer onnxruntime"
    ),
    "operators of one's own": Export(
        lambda: image_model(body(POOLED) + "y = com.example.Embed(f)", domains={"com.example": 1}),
        error="com.example:Embed.*export with operators of ONNX",
    ),
}
