"""The bundled models are what their papers say, and run well on every CPU."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest

from onnxsearch import OnnxEmbedder, PreprocessingProfile
from onnxsearch.embedders.bundled import bundled_model, bundled_models


@pytest.fixture(params=bundled_models())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_provenance_names_the_bytes_that_ship(name):
    model = bundled_model(name)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    provenance = (model.parent / "PROVENANCE.md").read_text(encoding="utf-8")
    assert f"| {model.name} | {model.stat().st_size:,} | {digest} |" in provenance


def test_the_licence_is_beside_them(name):
    licence = bundled_model(name).parent / "LICENSE"
    assert "Apache License" in licence.read_text(encoding="utf-8")


def test_it_carries_its_own_profile(name):
    assert OnnxEmbedder(bundled_model(name)).profile == PreprocessingProfile.named(name)


def test_any_recent_onnx_runtime_reads_it(name):
    model = onnx.load(bundled_model(name))
    assert model.ir_version <= 10
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]


def test_weights_have_seven_bits(name):
    # More saturate on x86 CPUs without VNNI; see PROVENANCE.md.
    weights = [
        onnx.numpy_helper.to_array(value)
        for value in onnx.load(bundled_model(name)).graph.initializer
        if value.data_type == onnx.TensorProto.INT8
    ]
    extremes = [np.abs(weight.astype(int)).max() for weight in weights]
    assert len(weights) > 40
    assert max(extremes) == 64


def test_a_batch_gives_the_vectors_of_its_pictures(name, album):
    embedder = OnnxEmbedder.bundled(name)
    photos = sorted(album.glob("*/*.jpg"))[:3]
    together = embedder.embed(photos)
    apart = np.concatenate([embedder.embed(photo) for photo in photos])
    np.testing.assert_allclose(together, apart, atol=1e-5)
