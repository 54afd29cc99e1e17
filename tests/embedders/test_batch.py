"""An image's vector does not depend on the images beside it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    ModelLoadError,
    ModelOutputError,
    OnnxEmbedder,
    PreprocessingProfile,
    SearchEngine,
)
from onnxsearch.testing import EmbedderContract
from tests.embedders.models import FEATURES, weights

SMALL = PreprocessingProfile("small", (6, 5))
generator = np.random.default_rng(11)
PALE = [generator.integers(118, 126, (12, 10, 3), np.uint8) for _ in range(4)]
CONTRASTS = [generator.integers(0, 2, (12, 10, 3), np.uint8) * 255 for _ in range(3)]
IMAGES = [PALE[0], CONTRASTS[0], *PALE[1:], *CONTRASTS[1:]]


def model(
    nodes: str, batch: str | int = "n", columns: int = FEATURES, *, size: str = "6, 5"
) -> bytes:
    """Make a model (batch, 3, size) -> (batch, columns) of `m`, an average (batch, 3)."""
    text = (
        f'<ir_version: 8, opset_import: ["": 17]> g (float[{batch}, 3, {size}] x)'
        f" => (float[{batch}, {columns}] y)"
        f"<float[3, 8] w = {{{', '.join(map(str, weights().ravel()))}}},"
        " int8[3, 8] q = {"
        + ", ".join(str(int(value * 50)) for value in weights().ravel())
        + "}, float[3] ones = {1, 1, 1}, float[3] zeros = {0, 0, 0},"
        " int64[2] single = {1, 8}, int64[2] flat = {1, -1}> {"
        f"m = ReduceMean<axes=[2, 3], keepdims=0>(x) {nodes} }}"
    )
    return bytes(onnx.parser.parse_model(text).SerializeToString())


QUANTISED = (
    "b, s, z = DynamicQuantizeLinear(m) i = MatMulInteger(b, q, z) f = Cast<to=1>(i) y = Mul(f, s)"
)
ACROSS = {
    "dynamic quantisation": QUANTISED,
    "mean over the batch": "b = ReduceMean<axes=[0], keepdims=1>(m) c = Sub(m, b) "
    "d = Add(c, ones) y = MatMul(d, w)",
    "largest of the batch": "b = ReduceMax<axes=[0], keepdims=1>(m) c = Div(m, b) y = MatMul(c, w)",
    "softmax over the batch": "v = MatMul(m, w) c = Softmax<axis=0>(v) d = Mul(c, v) y = Add(d, v)",
    "normalised first": "l = LayerNormalization(m, ones, zeros) " + QUANTISED.replace("(m)", "(l)"),
    "the image behind": "o = Constant<value_ints=[1]>() t = Constant<value_ints=[0]>() "
    "e = Constant<value_ints=[99]>() b = Slice(m, o, e, t) z = Slice(m, t, o, t) "
    "h = Concat<axis=0>(b, z) c = Mul(h, m) y = MatMul(c, w)",
    "images before": "a = Constant<value_int=0>() c = CumSum(m, a) y = MatMul(c, w)",
    "images behind": "a = Constant<value_int=0>() c = CumSum<reverse=1>(m, a) y = MatMul(c, w)",
    "reshape to a single image": "v = MatMul(m, w) y = Reshape(v, single)",
    "reshape to a single row": "v = MatMul(m, w) y = Reshape(v, flat)",
}


def one_by_one(embedder: OnnxEmbedder) -> NDArray[np.float32]:
    return np.concatenate([embedder.embed(image) for image in IMAGES])


@pytest.mark.parametrize("kind", ACROSS)
@pytest.mark.parametrize("batch", ["n", 1, 2, 4])
def test_graphs_that_look_across_the_batch(kind: str, batch: str | int) -> None:
    if "reshape" in kind and batch in (2, 4):
        pytest.skip("such a graph contradicts itself")
    embedder = OnnxEmbedder(model(ACROSS[kind], batch), profile=SMALL)
    assert embedder.dimension == FEATURES
    alone = one_by_one(embedder)
    for size in (1, 2, 3, 8):
        assert np.array_equal(embedder.embed(IMAGES, batch_size=size), alone)
    backwards = embedder.embed(IMAGES[::-1], batch_size=3)
    assert np.array_equal(backwards[::-1], alone)
    for other in (embedder.parallel(2), pickle.loads(pickle.dumps(embedder))):
        assert np.array_equal(other.embed(IMAGES), alone)


@pytest.mark.parametrize("batch", ["n", 2, 4])
def test_a_vector_across_the_batch_is_that_of_the_image_alone(batch: str | int) -> None:
    free = OnnxEmbedder(model(QUANTISED, 1), profile=SMALL)
    assert np.allclose(
        OnnxEmbedder(model(QUANTISED, batch), profile=SMALL).embed(IMAGES),
        free.embed(IMAGES),
        atol=1e-6,
    )


def test_other_graphs_keep_their_batch() -> None:
    runs: list[int] = []

    class Counting(OnnxEmbedder):
        def pool(self, output: NDArray[np.number]) -> NDArray[np.number]:
            runs.append(len(output))
            return super().pool(output)

    for nodes in ("y = MatMul(m, w)", "v = MatMul(m, w) y = Relu(v)"):
        embedder = Counting(model(nodes), profile=SMALL)
        assert not embedder._model.one_by_one
        runs.clear()
        embedder.embed_tensors([embedder.prepare(image) for image in IMAGES])
        assert runs == [7]


def test_bundled_models_keep_their_batch() -> None:
    for name in ("efficientnet-lite0", "efficientnet-lite2"):
        assert not OnnxEmbedder.bundled(name)._model.one_by_one


@pytest.mark.parametrize("profile", ["keras-raw", "keras-caffe", "keras-tf", "torchvision"])
def test_quantisation_is_found_at_every_scale(profile: str) -> None:
    # Noise would average away, and leave all images the same range.
    for side in (8, 56, 224):
        nodes = (
            f"a = AveragePool<kernel_shape=[{side}, {side}], strides=[{side}, {side}]>(x)"
            " g = GlobalMaxPool(a) p = Flatten(g) " + QUANTISED.replace("(m)", "(p)")
        )
        embedder = OnnxEmbedder(model(nodes, size="224, 224"), profile=profile)
        assert embedder._model.one_by_one


def test_a_quantised_model_finds_every_image() -> None:
    embedder = OnnxEmbedder(model(QUANTISED), profile=SMALL, name="quantised")
    with InMemoryVectorStore() as vectors, InMemoryMetadataStore() as metadata:
        engine = SearchEngine(embedder, vectors, metadata, batch_size=4)
        for number, image in enumerate(IMAGES):
            engine.add(image, id=str(number))
        for number, results in enumerate(engine.search_many(IMAGES, limit=1)):
            assert results[0].id == str(number)
            assert results[0].distance == pytest.approx(0, abs=1e-6)


def test_random_models_are_refused() -> None:
    noise = model("r = RandomNormalLike(m) sum = Add(m, r) y = MatMul(sum, w)")
    with pytest.raises(ModelLoadError, match="other values for the same image each time"):
        OnnxEmbedder(noise, profile=SMALL)


def test_a_fixed_batch_is_filled_with_copies() -> None:
    # The largest value of the batch: with black images beside it, that of the image.
    nodes = "n2 = Neg(m) b = ReduceMax<axes=[0], keepdims=1>(n2) c = Sub(m, b) y = MatMul(c, w)"
    embedder = OnnxEmbedder(model(nodes, 4), profile=SMALL)
    alone = OnnxEmbedder(model(nodes, 1), profile=SMALL)
    assert np.allclose(embedder.embed(IMAGES), alone.embed(IMAGES), atol=1e-6)


def test_an_output_without_a_row_for_each_image() -> None:
    squeezed = model("v = MatMul(m, w) y = Squeeze(v)")
    with pytest.raises(ModelOutputError, match=r"no output can hold a vector.*'y' \[8\]"):
        OnnxEmbedder(squeezed, profile=SMALL)
    with pytest.raises(ModelOutputError, match=r"\[8\] for one image: expected a first axis"):
        OnnxEmbedder(squeezed, profile=SMALL, output="y")
    summed = model("v = MatMul(m, w) y = ReduceSum<keepdims=1>(v)", 4, 1)
    with pytest.raises(ModelOutputError, match="no output can hold a vector"):
        OnnxEmbedder(summed, profile=SMALL)


def bare_quantised(axes: Sequence[str | int]) -> bytes:
    table = (weights() * 50).astype(np.int8)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("DynamicQuantizeLinear", ["mean"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "table", "zero"], ["integers"]),
        helper.make_node("Cast", ["integers"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["vector"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, (axes[0], FEATURES))],
        [numpy_helper.from_array(table, "table")],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(made.SerializeToString())


class TestQuantisedModel(EmbedderContract):
    picklable = True
    tolerance = 0

    def make_embedder(self) -> OnnxEmbedder:
        return OnnxEmbedder(bare_quantised(("n", 3, 6, 5)), name="quantised", profile=SMALL)
