"""Stand-ins for the models of the catalogue: their real file layout, tiny random weights.

Inputs, outputs, axes and configuration files are those of the published exports; the
towers of one model agree on four colour words, so that a text finds its image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.embedders.hub.processors import (
    CLIP_PROCESSOR,
    DINO_PROCESSOR,
    JINA_PROCESSOR,
    NOMIC_PROCESSOR,
    RESNET_PROCESSOR,
    SIGLIP_PROCESSOR,
    VIT_PROCESSOR,
)
from tests.embedders.hub.tokens import bert_tokenizer, clip_tokenizer, gemma_tokenizer

DIMENSION = 16
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3}

_generator = np.random.default_rng(23)
# Angles between colours are those between their vectors.
MIXING = np.linalg.qr(_generator.normal(size=(DIMENSION, 3)))[0].T.astype(np.float32)

Axes = tuple[int | str, ...]


def _model(
    nodes: str,
    inputs: Mapping[str, tuple[str, Axes]],
    outputs: Mapping[str, Axes],
    **weights: NDArray[np.generic],
) -> bytes:
    listed = ", ".join(f"{kind} {name}" for name, (kind, _) in inputs.items())
    given = ", ".join(f"float {name}" for name in outputs)
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({listed}) => ({given}) {{ {nodes} }}'
    model = onnx.parser.parse_model(text)
    for name, array in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    axes = {name: shape for name, (_, shape) in inputs.items()} | dict(outputs)
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, axes[value.name]))
    onnx.checker.check_model(model)
    # As large as what a hub stores apart from git.
    model.doc_string = "x" * 4_000
    return bytes(model.SerializeToString())


PIXELS: Mapping[str, tuple[str, Axes]] = {
    "pixel_values": ("float", ("batch_size", "num_channels", "height", "width"))
}
EMBED = "p = GlobalAveragePool(pixel_values) f = Flatten(p) {output} = MatMul(f, mixing)"
TOKENS = (
    "c = Conv<kernel_shape=[112, 112], strides=[112, 112]>(pixel_values, kernel) "
    "r = Reshape(c, shape) last_hidden_state = Transpose<perm=[0, 2, 1]>(r)"
)


def _tokens() -> dict[str, NDArray[np.generic]]:
    kernel = _generator.normal(size=(DIMENSION, 3, 112, 112)).astype(np.float16)
    return {"kernel": kernel.astype(np.float32), "shape": np.array([0, DIMENSION, -1])}


def clip_vision(output: str = "image_embeds") -> bytes:
    return _model(
        EMBED.format(output=output), PIXELS, {output: ("batch_size", DIMENSION)}, mixing=MIXING
    )


def siglip_vision() -> bytes:
    nodes = f"{TOKENS} {EMBED.format(output='pooler_output')}"
    outputs: dict[str, Axes] = {
        "last_hidden_state": ("batch_size", "patches", DIMENSION),
        "pooler_output": ("batch_size", DIMENSION),
    }
    return _model(nodes, PIXELS, outputs, mixing=MIXING, **_tokens())


def tokens_model(*, pooler: bool = False) -> bytes:
    outputs: dict[str, Axes] = {"last_hidden_state": ("batch_size", "patches", DIMENSION)}
    nodes = TOKENS
    if pooler:
        nodes += " g = Gather<axis=1>(last_hidden_state, zero) pooler_output = Tanh(g)"
        outputs["pooler_output"] = ("batch_size", DIMENSION)
    more = {"zero": np.array(0)} if pooler else {}
    return _model(nodes, PIXELS, outputs, **_tokens(), **more)


def classifier() -> bytes:
    return clip_vision("logits")


def resnet() -> bytes:
    """Return a model with a map of one pixel, as pooled ResNets have it."""
    nodes = (
        "c = Conv<kernel_shape=[1, 1]>(pixel_values, mixing) pooler_output = GlobalAveragePool(c)"
    )
    kernel = MIXING.T.reshape(DIMENSION, 3, 1, 1)
    outputs: dict[str, Axes] = {"pooler_output": ("batch_size", DIMENSION, 1, 1)}
    return _model(nodes, PIXELS, outputs, mixing=kernel)


def text_tower(tokenizer: str, output: str, *, inputs: tuple[str, ...] = ("input_ids",)) -> bytes:
    """Return a text model in the space of `clip_vision`: the mean of its words' vectors."""
    words = json.loads(tokenizer)["model"]["vocab"]
    table = np.full((max(words.values()) + 1, DIMENSION), 1e-4, np.float32)
    for name, colour in COLOURS.items():
        for form in (name, f"{name}</w>", f"▁{name}"):
            if form in words:
                table[words[form]] = (np.array(colour, np.float32) / 127.5 - 1) @ MIXING
    nodes = (
        "last_hidden_state = Gather(table, input_ids) "
        f"{output} = ReduceMean<axes=[1], keepdims=0>(last_hidden_state)"
    )
    axes: Axes = ("batch_size", "sequence_length")
    return _model(
        nodes,
        dict.fromkeys(inputs, ("int64", axes)),
        {"last_hidden_state": (*axes, DIMENSION), output: ("batch_size", DIMENSION)},
        table=table,
    )


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()


_UNWANTED = {
    "README.md": b"# a model\n", "pytorch_model.bin": b"\x80\x04pickle", "model.safetensors": b"x",
    "modeling.py": b"raise SystemExit\n", "onnx/model_fp16.onnx": b"not asked for",
}  # fmt: skip


def _clip() -> dict[str, bytes]:
    tokenizer = clip_tokenizer()
    return {
        "config.json": _json({"model_type": "clip"}),
        "preprocessor_config.json": _json(CLIP_PROCESSOR),
        "tokenizer.json": tokenizer.encode(),
        "tokenizer_config.json": _json({"tokenizer_class": "CLIPTokenizer"}),
        "onnx/vision_model.onnx": clip_vision(),
        "onnx/text_model.onnx": text_tower(tokenizer, "text_embeds"),
    }


def _siglip2() -> dict[str, bytes]:
    tokenizer = gemma_tokenizer()
    return {
        "config.json": _json({"model_type": "siglip"}),
        "preprocessor_config.json": _json(SIGLIP_PROCESSOR),
        "tokenizer.json": tokenizer.encode(),
        "tokenizer_config.json": _json({"tokenizer_class": "GemmaTokenizer"}),
        "onnx/vision_model.onnx": siglip_vision(),
        "onnx/text_model.onnx": text_tower(tokenizer, "pooler_output"),
    }


def _jina() -> dict[str, bytes]:
    tokenizer = bert_tokenizer()
    inputs = ("input_ids", "attention_mask")
    return {
        "config.json": _json({"model_type": "jina_clip"}),
        "preprocessor_config.json": _json(JINA_PROCESSOR),
        "tokenizer.json": tokenizer.encode(),
        "tokenizer_config.json": _json({"tokenizer_class": "BertTokenizer"}),
        "onnx/vision_model.onnx": clip_vision(),
        "onnx/text_model.onnx": text_tower(tokenizer, "text_embeds", inputs=inputs),
    }


def _with_processor(
    model: Callable[[], bytes], processor: Mapping[str, object], kind: str
) -> dict[str, bytes]:
    return {
        "config.json": _json({"model_type": kind}),
        "preprocessor_config.json": _json(processor),
        "onnx/model.onnx": model(),
    }


def _resnet() -> dict[str, bytes]:
    files = _with_processor(resnet, RESNET_PROCESSOR, "resnet")
    return {**files, "model.onnx": files.pop("onnx/model.onnx")}


def _mobilenet() -> dict[str, bytes]:
    processor = {"image_processor_type": "MobileNetV4ImageProcessor"}
    return _with_processor(classifier, processor, "mobilenet_v4")


_FILES: Mapping[str, Callable[[], dict[str, bytes]]] = {
    "clip-vit-b32": _clip,
    "clip-vit-b16": _clip,
    "clip-vit-l14": _clip,
    "siglip2-base": _siglip2,
    "dinov2-small": lambda: _with_processor(tokens_model, DINO_PROCESSOR, "dinov2"),
    "dinov2-base": lambda: _with_processor(tokens_model, DINO_PROCESSOR, "dinov2"),
    "nomic-embed-vision-v1.5": lambda: _with_processor(tokens_model, NOMIC_PROCESSOR, "nomic_bert"),
    "jina-clip-v1": _jina,
    "resnet50": _resnet,
    "mobilenetv4-small": _mobilenet,
    "vit-base": lambda: _with_processor(lambda: tokens_model(pooler=True), VIT_PROCESSOR, "vit"),
}


@cache
def family(name: str) -> Mapping[str, bytes]:
    """Return the files of the stand-in for a model of the catalogue, wanted and unwanted."""
    return {**_FILES[name](), **_UNWANTED}
