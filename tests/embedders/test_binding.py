"""Runs with bound inputs and outputs, as on a GPU, give what plain runs give, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from onnxsearch import (
    EmbeddingError,
    OnnxEmbedder,
    OnnxTextEmbedder,
    PreprocessingProfile,
    TextProfile,
)
from onnxsearch.embedders.onnx.binding import run_bound
from tests.embedders.gpus import CPU, CUDA, Gpus
from tests.embedders.models import (
    bytes_model,
    colour_model,
    convolutional_model,
)
from tests.embedders.text_models import text_model, tokenizer

SMALL = PreprocessingProfile("small", (6, 5))


MODELS: dict[str, Callable[[], bytes]] = {
    "float32": colour_model,
    "float16": lambda: colour_model(half=True),
    "uint8": bytes_model,
    "several outputs": lambda: colour_model(output="two"),
    "an output as large as the image": lambda: colour_model(output="map"),
    "a fixed batch": lambda: colour_model(batch=3),
    "channels last": lambda: colour_model("NHWC"),
}


@cache
def session(kind: str) -> ort.InferenceSession:
    return ort.InferenceSession(MODELS[kind](), providers=[CPU])


def images(kind: str, count: int, height: int, width: int, seed: int) -> NDArray[np.generic]:
    shape = (count, height, width, 3) if kind == "channels last" else (count, 3, height, width)
    if kind == "uint8":
        shape = (count, 6, 5, 3)
    values = np.random.default_rng(seed).uniform(0, 255, shape)
    return values.astype(kind if kind in ("float16", "uint8") else "float32")


@given(
    st.sampled_from(sorted(MODELS)),
    st.integers(1, 70),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 99),
    st.booleans(),
)
def test_a_bound_run_equals_a_plain_one(
    kind: str, count: int, height: int, width: int, seed: int, backwards: bool
) -> None:
    batch = images(kind, 3 if kind == "a fixed batch" else count, height, width, seed)
    feeds: Any = {"x": batch[::-1] if backwards else batch}
    plain = session(kind)
    names = [node.name for node in plain.get_outputs()][:: -1 if backwards else 1]
    bound = run_bound(plain, names, feeds, None)
    for values, expected in zip(bound, plain.run(names, feeds), strict=True):
        assert (values.dtype, values.shape) == (expected.dtype, expected.shape)
        assert values.tobytes() == expected.tobytes()


def test_values_stay_when_the_next_batch_is_run() -> None:
    batches: list[Any] = [images("float32", 4, 6, 5, seed) for seed in range(40)]
    plain = session("float32")
    expected = [plain.run(["vector"], {"x": batch})[0] for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda batch: run_bound(plain, ["vector"], {"x": batch}, None)[0], batches)
        )
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", [*MODELS, "regions"])
def test_an_embedder_on_a_gpu_gives_the_vectors_of_the_cpu(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpus(monkeypatch)
    regional = kind == "regions"
    model = convolutional_model() if regional else MODELS[kind]()
    settings: dict[str, Any] = {"profile": SMALL}
    if regional:
        settings = {"profile": PreprocessingProfile("large", (224, 224)), "regions": True}
    if kind == "several outputs":
        settings["output"] = "b"
    if kind == "an output as large as the image":
        settings["pooling"] = "avg"
    pixels = list(np.random.default_rng(3).integers(0, 256, (9, 12, 10, 3), dtype=np.uint8))
    on_cpu = OnnxEmbedder(model, **settings)
    on_gpu = OnnxEmbedder(model, providers=CUDA, **settings)
    for size in (1, 4, 9):
        # What a thread brings while another batch runs is one batch with it.
        np.testing.assert_allclose(
            on_gpu.embed(pixels, batch_size=size), on_cpu.embed(pixels, batch_size=size), rtol=1e-6
        )
    tensors = [on_cpu.prepare(each) for each in pixels]
    assert np.array_equal(on_gpu.embed_tensors(tensors), on_cpu.embed_tensors(tensors))
    if regional:
        for bound, plain in zip(
            on_gpu.embed_with_map(tensors), on_cpu.embed_with_map(tensors), strict=True
        ):
            assert np.array_equal(bound, plain)


def test_a_text_model_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch)
    profile = TextProfile("plain", 8, pad_token="<pad>")
    words = tokenizer(tmp_path)
    texts = ["red", "a photo of green", "blue blue"]
    on_cpu = OnnxTextEmbedder(text_model(), words, profile=profile)
    on_gpu = OnnxTextEmbedder(text_model(), words, profile=profile, providers=CUDA)
    gpus.runs.clear()
    assert np.array_equal(on_gpu.embed(texts), on_cpu.embed(texts))
    assert gpus.runs.total()


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_what_the_model_does_not_take_is_an_error(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpus(monkeypatch)
    embedder = OnnxEmbedder(colour_model(), name="colours", profile=SMALL, providers=CUDA)
    with pytest.raises(EmbeddingError, match=r"'colours' failed on input .*\(1, 3, 6, 5\)"):
        embedder.run(np.zeros((1, 3, 6, 5), dtype))
