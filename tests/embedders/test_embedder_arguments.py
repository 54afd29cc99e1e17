"""Arguments of another type or value are errors of ours that name them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from onnxsearch import (
    InvalidArgumentError,
    OnnxEmbedder,
    OnnxTextEmbedder,
    PreprocessingProfile,
    RuntimeOptions,
    TextProfile,
)
from tests.embedders.models import colour_model

SMALL = PreprocessingProfile("small", (6, 5))
WRONG: list[Any] = [object(), 7.5, b"x", ["x"], "no such thing"]
TEXTS = ("output", "regions")
"""Arguments that may be any text; what is wrong with it is another error."""


def optional(call: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(call).parameters.values()
    return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("argument", optional(OnnxEmbedder.__init__))
def test_arguments_of_an_embedder(argument: str, wrong: Any) -> None:
    if isinstance(wrong, str) and argument in (*TEXTS, "name", "profile", "providers"):
        pytest.skip("a text")
    if isinstance(wrong, list) and argument == "providers":
        pytest.skip("a list of texts")
    arguments: dict[str, Any] = {"profile": SMALL, argument: wrong}
    with pytest.raises(InvalidArgumentError, match=argument):
        OnnxEmbedder(colour_model(), **arguments)


@pytest.mark.parametrize("wrong", ["", 0, 1, None, (), b""])
def test_regions(wrong: Any) -> None:
    for load in (
        lambda: OnnxEmbedder(colour_model(), profile=SMALL, regions=wrong),
        lambda: OnnxEmbedder.bundled(regions=wrong),
        lambda: OnnxEmbedder.hub("no such model", regions=wrong),
    ):
        with pytest.raises(InvalidArgumentError, match="regions"):
            load()


@pytest.mark.parametrize("wrong", [7, None, [7], [("CPUExecutionProvider",)], [("a", 7)]])
def test_providers(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="providers"):
        OnnxEmbedder(colour_model(), profile=SMALL, providers=wrong)


@pytest.mark.parametrize("field", ["spinning", "arena", "shrink", "open_batch"])
def test_fields_of_runtime_options(field: str) -> None:
    for wrong in WRONG:
        with pytest.raises(InvalidArgumentError, match=field):
            RuntimeOptions(**{field: wrong})


@pytest.mark.parametrize("field", ["name", "max_tokens", "pad", "pad_token", "mask_padding"])
def test_fields_of_text_profiles(field: str) -> None:
    for wrong in (object(), 7.5, None):
        values: dict[str, Any] = {"name": "plain", "max_tokens": 8, field: wrong}
        with pytest.raises(InvalidArgumentError, match=field):
            TextProfile(**values)


@pytest.mark.parametrize("wrong", [7, None, ["clip"]])
def test_arguments_of_methods(wrong: Any) -> None:
    embedder = OnnxEmbedder(colour_model(), profile=SMALL)
    image = np.zeros((6, 5, 3), np.uint8)
    calls: list[tuple[str, Callable[[], object]]] = [
        ("batch_size", lambda: embedder.embed(image, batch_size=str(wrong))),  # type: ignore[arg-type]
        ("workers", lambda: embedder.parallel(str(wrong))),  # type: ignore[arg-type]
        ("path", lambda: embedder.verify(wrong)),
        ("least_cosine", lambda: embedder.verify("x.npz", least_cosine=str(wrong))),  # type: ignore[arg-type]
        ("name", lambda: OnnxEmbedder.bundled(wrong)),
        ("name", lambda: TextProfile.named(wrong)),
    ]
    for argument, call in calls:
        with pytest.raises(InvalidArgumentError, match=argument):
            call()
    if not isinstance(wrong, list):
        with pytest.raises(InvalidArgumentError, match="images"):
            embedder.embed(wrong)


def test_no_tensors_give_no_vectors() -> None:
    embedder = OnnxEmbedder(colour_model(), profile=SMALL)
    assert embedder.embed_tensors([]).shape == (0, 8)


@pytest.mark.parametrize("argument", ["profile", "pooling", "output", "threads"])
def test_arguments_of_a_text_embedder(argument: str, tmp_path: Any) -> None:
    pytest.importorskip("tokenizers")
    from tests.embedders.text_models import text_model, tokenizer

    words = tokenizer(tmp_path)
    plain = TextProfile("plain", 8, pad_token="<pad>")
    for wrong in (object(), 7.5, b"x"):
        arguments: dict[str, Any] = {"profile": plain, argument: wrong}
        with pytest.raises(InvalidArgumentError, match=argument):
            OnnxTextEmbedder(text_model(), words, **arguments)
    embedder = OnnxTextEmbedder(text_model(), words, profile=plain)
    for texts in (7, None, b"x"):
        with pytest.raises(InvalidArgumentError, match="text"):
            embedder.embed(texts)  # type: ignore[arg-type]
