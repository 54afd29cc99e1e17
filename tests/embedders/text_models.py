"""Small text models and their tokenizers, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.embedders.models import FEATURES, weights

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "red", "green", "blue", "a", "of", "photo"]


def table() -> NDArray[np.float32]:
    """Return a vector per word; a colour's is what `colour_model` gives for it."""
    rows = np.random.default_rng(3).normal(size=(len(WORDS), FEATURES)).astype(np.float32)
    rows[:4] *= 0.01  # the colours decide
    rows[4:7] = weights()
    return rows


def tokenizer(folder: Path) -> Path:
    """Write a `tokenizer.json` that puts <s> before and </s> behind lower-case words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    # Files carry settings of their own, which must not win.
    made.enable_padding(length=3)
    made.enable_truncation(3)
    path = folder / "tokenizer.json"
    path.write_text(made.to_str(), encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["padding"]
    return path


def text_model(
    kind: str = "clip",
    *,
    tokens: int | str = "tokens",
    batch: int | str = "n",
    integers: str = "int64",
    inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
) -> bytes:
    """Make a text model.

    Args:
        kind: `clip` (outputs `last_hidden_state` and `text_embeds`, the mean of what the
            mask shows), `siglip` (`pooler_output`, the mean of all tokens, padding
            among them), `bert` (`last_hidden_state` only), or `two` (`a` and `b`).
        tokens: Second axis.
        batch: First axis.
        integers: The inputs' number type.
        inputs: Names of the inputs; those but the first two are not used.
    """
    element = TensorProto.INT64 if integers == "int64" else TensorProto.INT32
    nodes = [helper.make_node("Gather", ["table", inputs[0]], ["last_hidden_state"])]
    if kind == "clip":
        nodes += [
            helper.make_node("Cast", [inputs[1]], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "axis"], ["weight"]),
            helper.make_node("Mul", ["last_hidden_state", "weight"], ["shown"]),
            helper.make_node("ReduceMean", ["shown"], ["text_embeds"], axes=[1], keepdims=0),
        ]
    elif kind == "siglip":
        nodes.append(
            helper.make_node(
                "ReduceMean", ["last_hidden_state"], ["pooler_output"], axes=[1], keepdims=0
            )
        )
    elif kind == "two":
        nodes += [
            helper.make_node("ReduceMax", ["last_hidden_state"], [name], axes=[1], keepdims=0)
            for name in "ab"
        ]
    vectors = {"clip": ["text_embeds"], "siglip": ["pooler_output"], "two": ["a", "b"]}
    outputs = [(name, (batch, FEATURES)) for name in vectors.get(kind, [])]
    if kind in ("clip", "bert"):
        outputs.insert(0, ("last_hidden_state", (batch, tokens, FEATURES)))
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info(name, element, (batch, tokens)) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [
            numpy_helper.from_array(table(), "table"),
            numpy_helper.from_array(np.array([2]), "axis"),
        ],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
