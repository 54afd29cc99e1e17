"""Graphs as exporters write them: each gives one vector per image, or an error with a remedy."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsearch import OnnxEmbedder, OnnxSearchError, PreprocessingProfile, Step, inspect_model
from tests.embedders.exports import EXPORTS

PROFILE = PreprocessingProfile("exports", (8, 8), steps=(Step("divide", (255,)),))
RAW = PreprocessingProfile("bytes", (8, 8))
generator = np.random.default_rng(23)
IMAGES = [
    *(generator.integers(110, 120, (8, 8, 3), np.uint8) for _ in range(3)),
    *(generator.integers(0, 2, (8, 8, 3), np.uint8) * 255 for _ in range(2)),
]
LOADING = [name for name, export in EXPORTS.items() if not export.error]
REFUSED = [name for name, export in EXPORTS.items() if export.error]


def loaded(name: str) -> OnnxEmbedder:
    profile = RAW if name.startswith("tf2onnx, ") and "saved" not in name else PROFILE
    arguments = {"profile": profile, **EXPORTS[name].arguments}
    return OnnxEmbedder(EXPORTS[name].make(), name="export", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LOADING)
def test_one_vector_an_image_whatever_its_batch(name: str) -> None:
    embedder = loaded(name)
    assert embedder.dimension == EXPORTS[name].dimension
    alone = np.concatenate([embedder.embed(image) for image in IMAGES])
    assert len(np.unique(alone.round(5), axis=0)) == len(IMAGES)
    for size in (2, 3, 5):
        assert np.allclose(embedder.embed(IMAGES, batch_size=size), alone, rtol=0, atol=1e-5)
    assert np.allclose(embedder.embed(IMAGES[::-1])[::-1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_an_error_that_says_what_to_do(name: str) -> None:
    with pytest.raises(OnnxSearchError, match=EXPORTS[name].error):
        loaded(name)


def test_the_number_of_exports() -> None:
    assert len(LOADING) >= 30
    assert len(REFUSED) >= 20


@pytest.mark.parametrize("name", EXPORTS)
def test_each_can_be_inspected(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    path.write_bytes(EXPORTS[name].make())
    try:
        report = inspect_model(path)
    except OnnxSearchError:
        return
    assert report.inputs
    assert report.outputs
