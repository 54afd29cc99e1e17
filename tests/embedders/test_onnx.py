"""ONNX models of every shape as embedders."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from onnxsearch.embedders.base import Embedder, Tensor
from onnxsearch.embedders.onnx.embedder import OnnxEmbedder
from onnxsearch.embedders.onnx.session import RuntimeOptions
from onnxsearch.errors import (
    EmbeddingError,
    ImageNotFoundError,
    ImageTooLargeError,
    InvalidArgumentError,
    MissingExtraError,
    ModelError,
    ModelLoadError,
    ModelOutputError,
    ProfileError,
    ProviderError,
    UnknownModelError,
)
from onnxsearch.images.preprocessing.profile import PreprocessingProfile, Step
from onnxsearch.images.reading import ReadPolicy
from tests.embedders.models import FEATURES, colour_model, weights

SMALL = PreprocessingProfile("small", (6, 5), resample="nearest", steps=(Step("divide", (255,)),))


def photos(count: int = 5) -> list[NDArray[np.uint8]]:
    pixels = np.random.default_rng(1).integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)
    return list(pixels)


def expected(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the vectors of `colour_model` under the profile `SMALL`, by hand."""
    resized = [Image.fromarray(image).resize((5, 6), Image.Resampling.NEAREST) for image in images]
    means = np.stack([np.asarray(image, np.float32) / 255 for image in resized]).mean((1, 2))
    vectors = means @ weights()
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [(6, 5), ("h", "w")], ids=["fixed size", "open size"])
@pytest.mark.parametrize("batch", ["n", 1, 2, 4, 5])
def test_layout_size_and_batch_do_not_matter(
    layout: str, size: tuple[int | str, int | str], batch: int | str
) -> None:
    embedder = OnnxEmbedder(colour_model(layout, size=size, batch=batch), profile=SMALL)
    vectors = embedder.embed(photos(), batch_size=4)
    assert vectors.shape == (5, FEATURES)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected(photos()), atol=1e-6)
    assert embedder.embed([]).shape == (0, FEATURES)
    tensors = np.stack([embedder.prepare(photo) for photo in photos()])
    assert embedder.run(tensors[:0]).shape == (0, FEATURES)


def test_a_float16_model_is_fed_float16_and_gives_float32() -> None:
    embedder = OnnxEmbedder(colour_model(half=True), profile=SMALL)
    assert embedder.prepare(photos()[0]).dtype == np.float16
    vectors = embedder.embed(photos())
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected(photos()), atol=5e-3)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [(6, 5), ("h", "w")], ids=["fixed size", "open size"])
@pytest.mark.parametrize(("output", "pooling"), [("tokens", "mean"), ("map", "avg")])
def test_averages_over_tokens_and_feature_maps(
    layout: str, size: tuple[int | str, int | str], output: str, pooling: str
) -> None:
    model = colour_model(layout, size=size, output=output)
    embedder = OnnxEmbedder(model, profile=SMALL, pooling=pooling)  # type: ignore[arg-type]
    assert np.allclose(embedder.embed(photos()), expected(photos()), atol=1e-5)


@pytest.mark.parametrize(
    ("output", "pooling"), [("tokens", "cls"), ("tokens", "max"), ("map", "max")]
)
def test_other_poolings(output: str, pooling: str) -> None:
    model = colour_model("NHWC", output=output)
    embedder = OnnxEmbedder(model, profile=SMALL, pooling=pooling)  # type: ignore[arg-type]
    pixels = embedder.prepare(photos()[0])
    features = (pixels.mean(1) if output == "tokens" else pixels.reshape(-1, 3)) @ weights()
    vector = features[0] if pooling == "cls" else features.max(0)
    assert np.allclose(embedder.run(pixels[np.newaxis]), vector, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "pooling"),
    [("tokens", None), ("tokens", "avg"), ("map", None), ("map", "cls"), ("map", "mean")],
)
def test_pooling_is_asked_for_and_has_to_fit(output: str, pooling: str | None) -> None:
    with pytest.raises(ModelOutputError, match="expected pooling=one of"):
        OnnxEmbedder(
            colour_model(output=output),
            profile=SMALL,
            pooling=pooling,  # type: ignore[arg-type]
        )


def test_a_vector_takes_no_pooling() -> None:
    with pytest.raises(ModelOutputError, match="expected pooling=None"):
        OnnxEmbedder(colour_model(), profile=SMALL, pooling="avg")


@pytest.mark.parametrize("pooling", [None, "avg"])
def test_a_feature_map_of_one_pixel_is_a_vector(pooling: str | None) -> None:
    model = colour_model(output="place")
    embedder = OnnxEmbedder(model, profile=SMALL, pooling=pooling)  # type: ignore[arg-type]
    assert np.allclose(embedder.embed(photos()), expected(photos()), atol=1e-6)


def test_one_of_two_outputs_has_to_be_chosen() -> None:
    model = colour_model(output="two")
    with pytest.raises(ModelOutputError, match=r"'a' \[1, 8\], 'b' \[1, 8\]"):
        OnnxEmbedder(model, profile=SMALL)
    with pytest.raises(ModelOutputError, match="no output 'c'"):
        OnnxEmbedder(model, profile=SMALL, output="c")
    a, b = (OnnxEmbedder(model, profile=SMALL, output=name) for name in "ab")
    assert np.allclose(a.embed(photos()), -b.embed(photos()), atol=1e-6)
    assert a.fingerprint != b.fingerprint


def test_an_output_with_a_usual_name_is_taken() -> None:
    embedder = OnnxEmbedder(colour_model(output="named"), profile=SMALL)
    assert embedder.output == "embedding"


def test_nan_is_an_error_and_not_a_vector() -> None:
    embedder = OnnxEmbedder(colour_model(output="nan"), profile=SMALL)
    with pytest.raises(EmbeddingError, match="NaN"):
        embedder.embed(photos())


@pytest.mark.parametrize(
    "output",
    [[[1.0, 2.0, 3.0]] * 5, np.ones((5, 3), complex), np.full((5, 3), None), np.full((5, 3), "a")],
    ids=["list", "complex", "object", "text"],
)
def test_what_is_not_an_array_of_real_numbers_is_an_error(output: Any) -> None:
    class Own(Embedder):
        name, dimension, fingerprint = "own", 3, "own-1"

        def prepare(self, image: Any) -> Any:
            return np.zeros(3)

        def run(self, batch: Any) -> Any:
            return output

    with pytest.raises(EmbeddingError, match=r"run\(\) of model 'own'.*real numbers"):
        Own().embed(photos())


@pytest.mark.parametrize("content", [b"", b"garbage", colour_model()[:200]])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"bad\.onnx"):
        OnnxEmbedder(path, profile=SMALL)
    with pytest.raises(ModelLoadError):
        OnnxEmbedder(content, profile=SMALL)


def test_a_missing_model_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="does not exist"):
        OnnxEmbedder(tmp_path / "missing.onnx", profile=SMALL)
    with pytest.raises(ModelLoadError, match="is a folder"):
        OnnxEmbedder(tmp_path, profile=SMALL)


def test_a_model_that_does_not_take_images() -> None:
    text = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "agraph (int64[n, m] input_ids) => (int64[n, m] y) { y = Identity(input_ids) }"
    )
    with pytest.raises(ModelLoadError, match=r"input 'input_ids' is tensor\(int64\)"):
        OnnxEmbedder(text.SerializeToString(), profile=SMALL)


def test_no_profile_is_guessed() -> None:
    with pytest.raises(ProfileError, match="keras-caffe"):
        OnnxEmbedder(colour_model())
    with pytest.raises(ProfileError, match="Did you mean 'keras-caffe'"):
        OnnxEmbedder(colour_model(), profile="keras-cafe")


def test_the_profile_in_the_models_metadata_is_used_unless_another_is_given() -> None:
    model = colour_model(metadata={"onnxsearch.profile": SMALL.to_json()})
    assert OnnxEmbedder(model).profile == SMALL
    assert OnnxEmbedder(model, profile="keras-tf").profile.name == "keras-tf"
    with pytest.raises(ProfileError, match="cannot be read"):
        OnnxEmbedder(colour_model(metadata={"onnxsearch.profile": "keras-caffe"}))


def test_a_profile_of_another_size_than_the_models_is_refused() -> None:
    with pytest.raises(ProfileError, match=r"6 x 5 pixels, and the model takes 8 x 8"):
        OnnxEmbedder(colour_model(size=(8, 8)), profile=SMALL)


def test_a_family_of_profiles_takes_its_size_from_the_model() -> None:
    embedder = OnnxEmbedder(colour_model(size=(260, 260)), profile="efficientnet-lite")
    assert embedder.profile == PreprocessingProfile.named("efficientnet-lite2")
    with pytest.raises(ProfileError, match="needs a size"):
        OnnxEmbedder(colour_model(), profile="efficientnet-lite")


@pytest.mark.parametrize("providers", ["CUDAExecutionProvider", ["NoSuchProvider"], []])
def test_a_missing_provider_is_an_error(providers: str | list[str]) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        providers = ["NoSuchProvider"]
    with pytest.raises(ProviderError, match="CPUExecutionProvider"):
        OnnxEmbedder(colour_model(), profile=SMALL, providers=providers)


def test_provider_options_are_passed_on() -> None:
    options = ("CPUExecutionProvider", {"no_such_option": "1"})
    embedder = OnnxEmbedder(colour_model(), profile=SMALL, providers=[options])
    assert embedder.dimension == FEATURES


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "My model (v2).int8.onnx"
    path.write_bytes(colour_model())
    assert OnnxEmbedder(path, profile=SMALL).name == "My-model-v2-.int8"
    assert OnnxEmbedder(path, profile=SMALL, name="mine").name == "mine"
    assert OnnxEmbedder(colour_model(), profile=SMALL).name.startswith("onnx-")
    with pytest.raises(InvalidArgumentError, match="model name"):
        OnnxEmbedder(path, profile=SMALL, name="a/b")


def test_numbers_of_threads_are_checked() -> None:
    with pytest.raises(InvalidArgumentError, match="threads 0"):
        OnnxEmbedder(colour_model(), profile=SMALL, threads=0)
    with pytest.raises(InvalidArgumentError, match="workers 0"):
        OnnxEmbedder(colour_model(), profile=SMALL).parallel(0)


def test_errors_of_images_pass_through(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(colour_model(), profile=SMALL, reading=ReadPolicy(max_pixels=100))
    with pytest.raises(ImageNotFoundError):
        embedder.embed(tmp_path / "missing.jpg")
    with pytest.raises(ImageTooLargeError, match="10 x 12 pixels"):
        embedder.embed(photos())


def test_a_batch_that_does_not_fit_is_an_embedding_error() -> None:
    embedder = OnnxEmbedder(colour_model(size=(6, 5)), profile=SMALL)
    with pytest.raises(EmbeddingError, match=r"\(1, 3, 7, 7\)"):
        embedder.run(np.zeros((1, 3, 7, 7), np.float32))


# --- fingerprints


def test_the_fingerprint_depends_on_contents_only(tmp_path: Path) -> None:
    model = colour_model()
    paths = [tmp_path / "a.onnx", tmp_path / "sub" / "b.onnx"]
    paths[1].parent.mkdir()
    for path in paths:
        path.write_bytes(model)
    a, b = (OnnxEmbedder(path, profile=SMALL) for path in paths)
    assert a.fingerprint == b.fingerprint == OnnxEmbedder(model, profile=SMALL).fingerprint
    assert a.fingerprint == OnnxEmbedder(paths[0], profile=SMALL, threads=1).fingerprint
    assert len(a.fingerprint) == 64
    renamed = replace(SMALL, name="other")
    assert OnnxEmbedder(model, profile=renamed).fingerprint == a.fingerprint


def test_whatever_changes_a_vector_changes_the_fingerprint() -> None:
    class Doubled(OnnxEmbedder):
        def pool(self, output: Tensor) -> Tensor:
            return np.concatenate([output, output], axis=1)

    maps = colour_model(output="map")
    embedders = [
        OnnxEmbedder(colour_model(), profile=SMALL),
        OnnxEmbedder(colour_model("NHWC"), profile=SMALL),
        OnnxEmbedder(colour_model(), profile=replace(SMALL, colours="BGR")),
        OnnxEmbedder(maps, profile=SMALL, pooling="avg"),
        OnnxEmbedder(maps, profile=SMALL, pooling="max"),
        Doubled(colour_model(), profile=SMALL),
    ]
    assert len({embedder.fingerprint for embedder in embedders}) == len(embedders)


def with_external_data(folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save_model(
        onnx.load_from_string(colour_model()),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def test_external_data_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    embedder = OnnxEmbedder(path, profile=SMALL)
    assert np.allclose(embedder.embed(photos()), expected(photos()), atol=1e-6)
    before = embedder.fingerprint
    data = tmp_path / "weights.bin"
    data.write_bytes(bytes(reversed(data.read_bytes())))
    assert OnnxEmbedder(path, profile=SMALL).fingerprint != before


def test_a_link_to_a_model_with_external_data(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    path = with_external_data(store)
    link = tmp_path / "linked.onnx"
    link.symlink_to(path)
    embedder = OnnxEmbedder(link, profile=SMALL)
    assert embedder.name == "linked"
    assert embedder.fingerprint == OnnxEmbedder(path, profile=SMALL).fingerprint


def test_a_cache_in_which_model_and_weights_are_links(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    path = with_external_data(tmp_path)
    plain = OnnxEmbedder(path, profile=SMALL)
    vectors, fingerprint = plain.embed(photos()), plain.fingerprint
    for name, blob in (("model.onnx", "5e1f"), ("weights.bin", "0dd5")):
        (tmp_path / name).rename(blobs / blob)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob))
    embedder = OnnxEmbedder(snapshot / "model.onnx", profile=SMALL)
    assert np.array_equal(embedder.embed(photos()), vectors)
    assert embedder.fingerprint == fingerprint
    assert sorted(file.name for file in blobs.iterdir()) == ["0dd5", "5e1f"]


# --- models that take one image at a time


def one_at_a_time(nodes: str) -> bytes:
    """Make a model (1, 3, 6, 5) -> (1, 8) of an average `m` (1, 3) and some nodes."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> one (float[1, 3, 6, 5] x) => (float[1, 8] y)'
        f"<float[3, 8] w = {{{', '.join(str(value) for value in weights().ravel())}}},"
        " float[1, 3] one = {1, 2, 3}, int64[2] s = {1, 8}, int64[2] flat = {1, 3}> {"
        f"m = ReduceMean<axes=[2, 3], keepdims=0>(x) {nodes} }}"
    )
    return bytes(model.SerializeToString())


OPENED = RuntimeOptions(open_batch=True)
BATCHES = {
    "opened": ("v = MatMul(m, w) y = Reshape<allowzero=1>(v, s)", None),
    "shared constant": ("n = Reshape(m, flat) k = Reshape(n, flat) y = MatMul(k, w)", None),
    "one for all": ("b = ReduceMean<axes=[0], keepdims=1>(m) y = MatMul(b, w)", 1),
    "mixes": ("b = ReduceMean<axes=[0], keepdims=1>(m) c = Add(m, b) y = MatMul(c, w)", 1),
    "cannot run": (
        "c = Concat<axis=0>(m, one) d = ReduceMean<axes=[0], keepdims=1>(c) y = MatMul(d, w)",
        1,
    ),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_one_image_at_a_time_is_opened_where_that_changes_nothing(kind: str) -> None:
    nodes, batch = BATCHES[kind]
    model = one_at_a_time(nodes)
    embedder = OnnxEmbedder(model, profile=SMALL, runtime=OPENED)
    assert embedder.input.batch == batch
    together = embedder.embed(photos())
    alone = np.concatenate([embedder.embed(photo) for photo in photos()])
    assert np.allclose(together, alone, atol=1e-6)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    tensors = [embedder.prepare(photo)[np.newaxis] for photo in photos()]
    plain = np.concatenate([session.run(None, {"x": tensor})[0] for tensor in tensors])
    assert np.allclose(embedder.run(np.concatenate(tensors)), plain, atol=1e-5)
    again = pickle.loads(pickle.dumps(embedder))
    assert np.array_equal(again.embed(photos()), together)
    assert again.fingerprint == embedder.fingerprint


def test_models_with_external_data_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = onnx.load_from_string(colour_model(batch=1))
    onnx.save_model(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    embedder = OnnxEmbedder(path, profile=SMALL, runtime=OPENED)
    assert embedder.input.batch == 1
    assert np.allclose(embedder.embed(photos()), expected(photos()), atol=1e-6)


def test_opening_a_batch_needs_the_package_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"onnxsearch\[onnx\]"):
        OnnxEmbedder(colour_model(batch=1), profile=SMALL, runtime=OPENED)


def test_the_cpu_runs_one_image_at_a_time() -> None:
    embedder = OnnxEmbedder(colour_model(batch=1), profile=SMALL)
    assert embedder.input.batch == 1
    assert np.allclose(embedder.embed(photos()), expected(photos()), atol=1e-6)


# --- threads, processes, subclasses


@pytest.mark.parametrize(
    "runtime",
    [RuntimeOptions(spinning=True), RuntimeOptions(arena=False), RuntimeOptions(shrink=True)],
)
def test_how_the_machine_is_used_changes_no_vector(runtime: RuntimeOptions) -> None:
    plain = OnnxEmbedder(colour_model(), profile=SMALL)
    embedder = OnnxEmbedder(colour_model(), profile=SMALL, runtime=runtime)
    again = pickle.loads(pickle.dumps(embedder))
    assert embedder.fingerprint == plain.fingerprint
    for each in (embedder, embedder.parallel(2), again):
        assert np.array_equal(each.embed(photos()), plain.embed(photos()))


def test_shrinking_needs_an_arena() -> None:
    with pytest.raises(InvalidArgumentError, match="arena"):
        RuntimeOptions(arena=False, shrink=True)


def test_many_threads_share_an_embedder() -> None:
    embedder = OnnxEmbedder(colour_model(), profile=SMALL)
    image = Image.fromarray(photos()[0])
    vector = embedder.embed(image)
    with ThreadPoolExecutor(16) as pool:
        for other in pool.map(embedder.embed, [image] * 200):
            assert np.array_equal(other, vector)


def test_many_threads_make_embedders() -> None:
    def make(number: int) -> NDArray[np.float32]:
        return OnnxEmbedder(colour_model(batch=number % 3 + 1), profile=SMALL).embed(photos())

    with ThreadPoolExecutor(8) as pool:
        for vectors in pool.map(make, range(24)):
            assert np.allclose(vectors, expected(photos()), atol=1e-6)


def test_the_parallel_embedder_is_to_the_same_space() -> None:
    embedder = OnnxEmbedder(colour_model(), profile=SMALL, threads=4)
    sibling = embedder.parallel(4)
    assert sibling is not embedder
    assert sibling.fingerprint == embedder.fingerprint
    assert np.array_equal(sibling.embed(photos()), embedder.embed(photos()))
    assert embedder.parallel(1) is embedder


def test_closing_releases_and_using_loads_anew() -> None:
    embedder = OnnxEmbedder(colour_model(), profile=SMALL)
    vectors = embedder.embed(photos())
    embedder.close()
    embedder.close()
    assert np.array_equal(embedder.embed(photos()), vectors)


def test_pickling_keeps_the_path_and_not_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model())
    embedder = OnnxEmbedder(path, profile=SMALL)
    again = pickle.loads(pickle.dumps(embedder))
    assert again.fingerprint == embedder.fingerprint
    assert np.array_equal(again.embed(photos()), embedder.embed(photos()))
    path.unlink()
    with pytest.raises(ModelLoadError, match="does not exist"):
        pickle.loads(pickle.dumps(embedder)).embed(photos())


def test_a_spawned_process_gives_the_same_vectors() -> None:
    embedder = OnnxEmbedder(colour_model(), profile=SMALL)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        vectors = pool.submit(embedder.embed, photos()).result()
        fingerprint = pool.submit(getattr, embedder, "fingerprint").result()
    assert np.array_equal(vectors, embedder.embed(photos()))
    assert fingerprint == embedder.fingerprint


def test_a_subclass_pools_its_own_way() -> None:
    class GeneralisedMean(OnnxEmbedder):
        def pool(self, output: Tensor) -> Tensor:
            cubes = output.astype(np.float32).clip(1e-6) ** 3
            return np.cbrt(cubes.mean((2, 3)))

    embedder = GeneralisedMean(colour_model(output="map"), profile=SMALL)
    assert embedder.dimension == FEATURES
    assert embedder.embed(photos()).shape == (5, FEATURES)
    assert isinstance(embedder.parallel(1), GeneralisedMean)


def test_a_subclass_prepares_its_own_way() -> None:
    class Mirrored(OnnxEmbedder):
        def prepare(self, image: object) -> Tensor:
            return super().prepare(image)[..., ::-1]  # type: ignore[arg-type]

    plain = OnnxEmbedder(colour_model(), profile=SMALL)
    mirrored = Mirrored(colour_model(), profile=SMALL)
    assert np.array_equal(mirrored.prepare(photos()[0]), plain.prepare(photos()[0])[..., ::-1])
    assert mirrored.fingerprint != plain.fingerprint


def test_pooling_that_does_not_give_vectors_is_refused() -> None:
    class Flat(OnnxEmbedder):
        def pool(self, output: Tensor) -> Tensor:
            return output.reshape(-1)

    with pytest.raises(ModelOutputError, match=r"pool\(\) made shape \(8,\)"):
        Flat(colour_model(), profile=SMALL)


# --- real models


@pytest.mark.parametrize(
    ("name", "size"), [("efficientnet-lite2", 260), ("efficientnet-lite0", 224)]
)
def test_the_bundled_models(name: str, size: int) -> None:
    embedder = OnnxEmbedder.bundled(name)
    assert (embedder.name, embedder.dimension) == (name, 1280)
    exact = PreprocessingProfile.named("efficientnet-lite", size)
    assert embedder.profile == replace(exact, resampler="reducing")
    image = np.full((300, 400, 3), (200, 120, 40), np.uint8)
    vector = embedder.embed(image)
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_a_missing_bundled_model() -> None:
    with pytest.raises(UnknownModelError, match="efficientnet-lite2 and efficientnet-lite0"):
        OnnxEmbedder.bundled("resnet50")
    assert issubclass(UnknownModelError, ModelError)


@pytest.mark.integration
def test_vgg16_equals_onnxruntime_run_by_hand(shared: Callable[[str], Path]) -> None:
    model = shared("models/vgg16-notop.onnx")
    photo = next(iter(sorted(shared("data/grocery").glob("*/*.jpg"))))
    embedder = OnnxEmbedder(model, profile="keras-caffe", output="embedding")
    image = Image.open(photo).convert("RGB").resize((224, 224), Image.Resampling.NEAREST)
    pixels = np.asarray(image, np.float32)[..., ::-1].copy()
    pixels[..., 0] -= 103.939
    pixels[..., 1] -= 116.779
    pixels[..., 2] -= 123.68
    tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    assert np.array_equal(embedder.prepare(photo), tensor)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (vector,) = session.run(["embedding"], {"input": tensor[np.newaxis]})[0]
    assert np.allclose(embedder.embed(photo)[0], vector / np.linalg.norm(vector), atol=1e-6)
    assert embedder.dimension == 512
