"""Models whose graph leaves the order of their axes open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxsearch import (
    InvalidArgumentError,
    ModelLoadError,
    OnnxEmbedder,
    PreprocessingProfile,
    annotate_model,
    inspect_model,
)
from onnxsearch.embedders.onnx.axes import find_layout
from tests.embedders.models import FEATURES, bytes_model, vector_model, weights

SMALL = PreprocessingProfile("small", (6, 5))
HF_AXES = ("batch_size", "num_channels", "height", "width")


def convolution(axes: Sequence[str | int | None], name: str = "x", layout: str = "NCHW") -> bytes:
    """Make a model that convolves three colours, and so takes one order of axes only."""
    kernel = numpy_helper.from_array(weights().T.reshape(FEATURES, 3, 1, 1), "kernel")
    order = [0, 1, 2, 3] if layout == "NCHW" else [0, 3, 1, 2]
    nodes = [
        helper.make_node("Transpose", [name], ["nchw"], perm=order),
        helper.make_node("Conv", ["nchw", "kernel"], ["map"]),
        helper.make_node("ReduceMean", ["map"], ["vector"], axes=[2, 3], keepdims=0),
    ]
    model = vector_model(nodes, [kernel], axes, FEATURES, name=name)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize(
    ("axes", "layout"),
    [
        (HF_AXES, "NCHW"),
        (("batch", "channels", "height", "width"), "NCHW"),
        (("N", "C", "H", "W"), "NCHW"),
        (("n", None, "h", "w"), "NCHW"),
        (("batch", "height", "width", "channels"), "NHWC"),
        (("n", "h", "w", "c"), "NHWC"),
        (("n", "c", 6, 5), "NCHW"),
        (("n", "a", "b", 3), "NHWC"),
        (("n", 6, 5, "c"), "NHWC"),
    ],
)
def test_names_and_sizes_of_axes(axes: Sequence[str | int | None], layout: str) -> None:
    embedder = OnnxEmbedder(convolution(axes, layout=layout), profile=SMALL)
    assert embedder.input.layout == layout
    assert embedder.dimension == FEATURES
    image = np.random.default_rng(3).integers(0, 256, (6, 5, 3), np.uint8)
    by_hand = image.reshape(-1, 3).mean(0) @ weights()
    vector = embedder.embed(image)[0]
    assert np.allclose(vector, by_hand / np.linalg.norm(by_hand), atol=1e-5)


def test_the_name_of_the_input_and_the_profile() -> None:
    open_axes = (None, None, None, None)
    assert OnnxEmbedder(convolution(open_axes, "pixel_values"), profile=SMALL).dimension == 8
    keras = OnnxEmbedder(convolution(open_axes, layout="NHWC"), profile="keras-tf")
    assert keras.input.layout == "NHWC"
    assert keras.prepare(np.zeros((9, 9, 3), np.uint8)).shape == (224, 224, 3)
    assert OnnxEmbedder(convolution(open_axes), profile="torchvision").input.layout == "NCHW"


def test_a_configuration_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(convolution((None, None, None, None)))
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 6, "width": 5}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    embedder = OnnxEmbedder(path)
    assert (embedder.input.layout, embedder.profile.size) == ("NCHW", (6, 5))
    assert inspect_model(path).layout == "NCHW"


def test_an_unclear_layout_has_to_be_passed(tmp_path: Path) -> None:
    axes = ("a", "b", "c2", "d")
    model = convolution(axes, layout="NHWC")
    with pytest.raises(ModelLoadError, match=r"layout='NCHW' for .*layout='NHWC' for"):
        OnnxEmbedder(model, profile=SMALL)
    embedder = OnnxEmbedder(model, profile=SMALL, layout="NHWC")
    assert embedder.prepare(np.zeros((9, 9, 3), np.uint8)).shape == (6, 5, 3)
    with pytest.raises(ModelLoadError, match=r"was fed NCHW.*pass layout='NHWC'"):
        OnnxEmbedder(model, profile=SMALL, layout="NCHW")
    path = tmp_path / "model.onnx"
    path.write_bytes(convolution(axes))
    report = inspect_model(path)
    assert [missing.argument for missing in report.missing] == ["layout", "profile"]
    assert report.missing[0].options == ('"NCHW"', '"NHWC"')
    assert report.call is not None
    assert "layout=" in report.call
    assert annotate_model(path, SMALL) == SMALL
    assert OnnxEmbedder(path, layout="NCHW").profile == SMALL


def test_a_layout_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelLoadError, match=r"layout='NHWC'.*expected 3 colours"):
        OnnxEmbedder(convolution(("n", 3, 6, 5)), profile=SMALL, layout="NHWC")
    with pytest.raises(InvalidArgumentError, match="layout 'HWC': expected one of 'NCHW', 'NHWC'"):
        OnnxEmbedder(
            convolution(HF_AXES),
            profile=SMALL,
            layout="HWC",  # type: ignore[arg-type]
        )
    # Two axes of length 3: the caller decides.
    assert find_layout("x", ("n", 3, 5, 3)) == "NCHW"
    assert find_layout("x", ("n", 3, 5, 3), "NHWC") == "NHWC"


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 28, 28, 1), (1, 4, 8, 8)])
def test_other_numbers_of_colours_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelLoadError, match="expected 3 colours"):
        find_layout("x", shape)


def test_a_model_that_takes_bytes() -> None:
    model = bytes_model()
    embedder = OnnxEmbedder(model, profile=SMALL)
    image = np.random.default_rng(3).integers(0, 256, (6, 5, 3), np.uint8)
    assert embedder.prepare(image).dtype == np.uint8
    assert np.array_equal(embedder.prepare(image), image)
    assert embedder.embed([image, image[::-1]]).shape == (2, FEATURES)
    with pytest.raises(Exception, match=r"takes them as they are, uint8.*without steps"):
        OnnxEmbedder(model, profile=PreprocessingProfile.named("keras-tf", (6, 5)))
