"""Whatever changes a vector changes the fingerprint, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metric,
    OnnxEmbedder,
    PreprocessingProfile,
    ReadPolicy,
    SearchEngine,
    SpaceMismatchError,
    Tensor,
)
from onnxsearch.embedders.bundled import bundled_model
from onnxsearch.testing import FakeEmbedder
from onnxsearch.types import JSONValue
from tests.embedders.models import FEATURES, colour_model

SMALL = PreprocessingProfile("small", (6, 5))
DRAFT = ReadPolicy(draft=64)


def jpeg(folder: Path) -> Path:
    pixels = np.random.default_rng(2).integers(0, 256, (480, 640, 3), np.uint8)
    path = folder / "photo.jpg"
    Image.fromarray(pixels).save(path, quality=90)
    return path


def embedder(**arguments: object) -> OnnxEmbedder:
    return OnnxEmbedder(colour_model(), name="colours", profile=SMALL, **arguments)  # type: ignore[arg-type]


def test_drafts_change_the_fingerprint() -> None:
    plain = embedder().fingerprint
    assert embedder(reading=DRAFT).fingerprint not in (
        plain,
        embedder(reading=ReadPolicy(draft=128)).fingerprint,
    )
    for policy in (ReadPolicy(), ReadPolicy(max_pixels=10_000), ReadPolicy(truncated_jpeg=True)):
        assert embedder(reading=policy).fingerprint == plain


@pytest.mark.parametrize("model", [embedder, FakeEmbedder], ids=["onnx", "fake"])
def test_an_engine_that_reads_drafts_has_a_space_of_its_own(
    tmp_path: Path, model: Callable[[], OnnxEmbedder]
) -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    SearchEngine(model(), vectors, metadata, reading=DRAFT).add(jpeg(tmp_path), id="photo")
    for reading in (ReadPolicy(), ReadPolicy(draft=128)):
        with pytest.raises(SpaceMismatchError, match="draft"):
            SearchEngine(model(), vectors, metadata, reading=reading)
    again = SearchEngine(model(), vectors, metadata, reading=DRAFT)
    assert again.search(jpeg(tmp_path))[0].distance == pytest.approx(0, abs=1e-6)


def test_migration_keeps_the_engines_drafts(tmp_path: Path) -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = SearchEngine(FakeEmbedder("old"), vectors, metadata, reading=DRAFT)
    engine.add(jpeg(tmp_path))
    engine.migrate("old", FakeEmbedder("new"))
    assert SearchEngine(FakeEmbedder("new"), vectors, metadata, reading=DRAFT).count() == 1


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("profile", SMALL), ("output", "other"), ("fingerprint", "x"), ("input", None)],
)
def test_attributes_in_the_fingerprint_are_read_only(attribute: str, value: object) -> None:
    made = embedder()
    with pytest.raises(AttributeError):
        setattr(made, attribute, value)


class Mirrored(OnnxEmbedder):
    def run(self, batch: Tensor) -> Tensor:
        return super().run(batch[..., ::-1])


class GeneralisedMean(OnnxEmbedder):
    p = 3.0

    def pool(self, output: Tensor) -> Tensor:
        return np.asarray(output.astype(np.float64).clip(1e-6).mean((2, 3)) ** (1 / self.p))


class Stored(GeneralisedMean):
    def __init__(self, model: bytes, p: float, **arguments: object) -> None:
        self._p = p
        super().__init__(model, **arguments)  # type: ignore[arg-type]


class Whitened(OnnxEmbedder):
    def __init__(self, model: bytes, matrix: object, **arguments: object) -> None:
        self.matrix = matrix
        super().__init__(model, **arguments)  # type: ignore[arg-type]

    def run(self, batch: Tensor) -> Tensor:
        return super().run(batch)


class Declared(GeneralisedMean):
    calls = 0

    def parameters(self) -> Mapping[str, JSONValue]:
        return {"p": self.p}


def test_parameters_of_subclasses_change_the_fingerprint() -> None:
    maps = colour_model(output="map")
    one, two = (GeneralisedMean(maps, profile=SMALL) for _ in range(2))
    assert one.fingerprint == two.fingerprint
    two.p = 1.0
    assert one.fingerprint != two.fingerprint
    assert one.parallel(2).fingerprint == one.fingerprint
    assert two.parallel(2).fingerprint == two.fingerprint
    private = [Stored(maps, p, profile=SMALL).fingerprint for p in (1, 2, 2)]
    assert private[0] != private[1] == private[2]
    eye = np.eye(3, dtype=np.float32)
    matrices = [eye, eye * 2, eye.copy(), eye.astype(np.float64), eye.tolist(), np.float32(2)]
    marks = [Whitened(maps, each, profile=SMALL, pooling="avg").fingerprint for each in matrices]
    assert marks[0] == marks[2]
    assert len(set(marks)) == len(marks) - 1


def test_a_cached_property_changes_nothing() -> None:
    class Cached(GeneralisedMean):
        @cached_property
        def power(self) -> float:
            return 1 / self.p

    made = Cached(colour_model(output="map"), profile=SMALL)
    before = made.fingerprint
    assert made.power == pytest.approx(1 / 3)
    assert made.fingerprint == before


def test_overridden_parameters_replace_the_default() -> None:
    maps = colour_model(output="map")
    first, second = (Declared(maps, profile=SMALL) for _ in range(2))
    second.calls = 7
    assert first.fingerprint == second.fingerprint
    second.p = 2.0
    assert first.fingerprint != second.fingerprint


def test_overridden_methods_change_the_fingerprint() -> None:
    class Doubled(OnnxEmbedder):
        def embed_tensors(self, tensors: object) -> Tensor:
            return super().embed_tensors(tensors) * 2  # type: ignore[arg-type]

    class Renamed(OnnxEmbedder):
        """Changes nothing that a vector depends on."""

        colour = "red"

    plain = embedder().fingerprint
    assert Doubled(colour_model(), name="colours", profile=SMALL).fingerprint != plain
    assert Renamed(colour_model(), name="colours", profile=SMALL).fingerprint == plain


def test_the_metric() -> None:
    assert embedder().metric is Metric.L2
    cosine = embedder(metric=Metric.COSINE)
    assert cosine.metric is Metric.COSINE
    grey = np.full((9, 9, 3), 9, np.uint8)
    assert np.array_equal(cosine.embed(grey), embedder().embed(grey))
    with SearchEngine(cosine, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.add(grey, id="grey")
        results = engine.search(grey)
        assert results.metric is Metric.COSINE
    with pytest.raises(InvalidArgumentError, match="packs bits"):
        embedder(metric=Metric.HAMMING)
    with pytest.raises(InvalidArgumentError, match="metric 'l3'"):
        embedder(metric="l3")


def test_a_subclass_that_packs_bits() -> None:
    class Bits(OnnxEmbedder):
        def pool(self, output: Tensor) -> Tensor:
            return np.packbits(output > 0, axis=1)

    bits = Bits(colour_model(), name="bits", profile=SMALL, metric=Metric.HAMMING)
    assert (bits.dimension, bits.columns) == (FEATURES, FEATURES // 8)
    vectors = bits.embed([np.full((9, 9, 3), 9, np.uint8)] * 2)
    assert (vectors.shape, vectors.dtype) == ((2, 1), np.uint8)
    with SearchEngine(bits, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.add(np.full((9, 9, 3), 9, np.uint8), id="grey")
        assert engine.search(np.full((9, 9, 3), 9, np.uint8))[0].distance == 0


LITE_0 = "2fe662e02b95ec37f9443d83950e32ea174d8571cb033654d97a6a6a94401c86"
LITE_2 = "8a664c8fb2ff2e21b008a3c78d7f716f4070f5857e13734f0b373f8602e6b97e"
LITE_0_LIKE_KERAS = "8d30a1f8a83eef793c48f103e22505159c91ae2aabe7f1a5f76cb10b357dd3ad"
LITE_0_MIRRORED = "de1a66069c92575c15c8b943d49ecd75a019f97b6911060bf86cc263c8a267d3"


def test_fingerprints_of_earlier_versions_stay() -> None:
    """Collections that are stored hold it; a changed fingerprint makes them unusable."""
    lite0, lite2 = (bundled_model(f"efficientnet-lite{number}") for number in (0, 2))
    assert OnnxEmbedder(lite0).fingerprint == LITE_0
    assert OnnxEmbedder(lite2).fingerprint == LITE_2
    assert OnnxEmbedder(lite0, profile="keras-tf").fingerprint == LITE_0_LIKE_KERAS
    assert Mirrored(lite0).fingerprint == LITE_0_MIRRORED
