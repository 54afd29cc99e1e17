"""Inspection of model files, and writing their profile into them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxsearch import (
    InvalidArgumentError,
    ModelLoadError,
    OnnxEmbedder,
    OnnxTextEmbedder,
    PreprocessingProfile,
    ProfileError,
)
from onnxsearch.embedders.onnx.header import read_header
from onnxsearch.embedders.onnx.inspection import annotate_model, inspect_model
from tests.embedders.models import colour_model
from tests.embedders.text_models import text_model, tokenizer

SMALL = PreprocessingProfile("small", (6, 5))


def written(folder: Path, model: bytes, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model)
    return path


def called(call: str | None) -> OnnxEmbedder | OnnxTextEmbedder:
    assert call is not None
    made = eval(call)
    assert isinstance(made, OnnxEmbedder | OnnxTextEmbedder)
    return made


def test_a_model_that_carries_its_profile(tmp_path: Path) -> None:
    model = colour_model("NHWC", metadata={"onnxsearch.profile": SMALL.to_json()})
    path = written(tmp_path, model)
    report = inspect_model(path)
    assert (report.bytes, report.kind, report.layout) == (len(model), "pictures", "NHWC")
    assert (report.ir_version, report.opsets) == (8, {"ai.onnx": 17})
    assert report.inputs[0].name == "x"
    assert report.inputs[0].shape == ("n", "height", "width", 3)
    assert [node.shape for node in report.outputs] == [("n", 8)]
    assert report.profile == SMALL
    assert report.profile.source == "the model's metadata"
    assert report.output == "vector"
    assert report.missing == ()
    assert report.call == f'OnnxEmbedder("{path}")'
    assert called(report.call).dimension == 8


def test_a_profile_from_a_file_beside_the_model(tmp_path: Path) -> None:
    settings = {"image_processor_type": "ViTImageProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    report = inspect_model(written(tmp_path, colour_model()))
    assert report.profile is not None
    assert "preprocessor_config.json" in report.profile.source
    assert report.missing == ()


@pytest.mark.parametrize(
    ("model", "first"),
    [
        (colour_model("NHWC"), '"keras-caffe"'),
        (colour_model("NCHW"), '"torchvision"'),
        (
            colour_model("NHWC", size=(299, 299)),
            'PreprocessingProfile.named("keras-caffe", size=299)',
        ),
        (colour_model("NCHW", size=(300, 300)), '"efficientnet-lite"'),
    ],
    ids=["keras", "torch", "keras 299", "lite4"],
)
def test_a_missing_profile_is_suggested_and_not_taken(
    tmp_path: Path, model: bytes, first: str
) -> None:
    report = inspect_model(written(tmp_path, model))
    assert report.profile is None
    (missing,) = report.missing
    assert (missing.argument, missing.options[0]) == ("profile", first)
    assert isinstance(called(report.call), OnnxEmbedder)
    for option in missing.options:
        assert isinstance(called(f'OnnxEmbedder("{report.path}", profile={option})'), OnnxEmbedder)
    with pytest.raises(ProfileError):
        OnnxEmbedder(report.path)


def test_outputs_and_pooling_are_asked_for(tmp_path: Path) -> None:
    carried = {"onnxsearch.profile": SMALL.to_json()}
    two = inspect_model(written(tmp_path, colour_model(output="two", metadata=carried)))
    assert two.output is None
    assert [(each.argument, each.options) for each in two.missing] == [("output", ('"a"', '"b"'))]
    assert called(two.call).output == "a"
    tokens = inspect_model(written(tmp_path, colour_model(output="tokens", metadata=carried)))
    (missing,) = tokens.missing
    assert (missing.argument, missing.options) == ("pooling", ('"cls"', '"mean"', '"max"'))
    assert called(tokens.call).dimension == 8


def test_text_models_are_inspected(tmp_path: Path) -> None:
    tokenizer(tmp_path)
    (tmp_path / "onnx").mkdir()
    vectors = inspect_model(written(tmp_path / "onnx", text_model(tokens=64)))
    assert (vectors.kind, vectors.layout, vectors.profile) == ("text", None, None)
    (missing,) = vectors.missing
    assert missing.options == ('"siglip"', '"siglip2"')
    tokens = inspect_model(written(tmp_path, text_model("bert")))
    assert [each.argument for each in tokens.missing] == ["profile", "pooling"]
    call = tokens.call
    assert call is not None
    assert call.endswith('tokenizer.json", profile="minilm", pooling="mean")')
    (tmp_path / "tokenizer.json").unlink()
    assert "tokenizer.json" in inspect_model(tmp_path / "model.onnx").missing[-1].reason


def test_models_for_both_and_for_neither(tmp_path: Path) -> None:
    head = '<ir_version: 8, opset_import: ["": 17]> g '
    both = head + "(float[n, 3, 8, 8] pixel_values, int64[n, t] input_ids) => (float[n, 3] y) {"
    both += " y = ReduceMean<axes=[2, 3], keepdims=0>(pixel_values) }"
    neither = head + "(float[n, 7] x) => (float[n, 7] y) { y = Identity(x) }"
    for text, kind, reason in ((both, "both", "vision_model.onnx"), (neither, "neither", "float")):
        model = onnx.parser.parse_model(text).SerializeToString()
        report = inspect_model(written(tmp_path, model))
        assert (report.kind, report.call) == (kind, None)
        assert reason in report.missing[0].reason


@pytest.mark.parametrize("axes", ["n", "n, t, 3", ""])
def test_token_ids_with_other_axes_than_texts_have(tmp_path: Path, axes: str) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (int64[{axes}] input_ids) =>'
        f" (int64[{axes}] y) {{ y = Identity(input_ids) }}"
    )
    report = inspect_model(written(tmp_path, model.SerializeToString()))
    assert (report.kind, report.call) == ("neither", None)
    assert "expected 'input_ids' (n, tokens)" in report.missing[0].reason


def test_files_without_a_model_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"garbage", b"\x80" * 100):
        path = written(tmp_path, content)
        with pytest.raises(ModelLoadError, match=r"model\.onnx"):
            inspect_model(path)
        with pytest.raises(ModelLoadError, match=r"model\.onnx.* is not an ONNX file"):
            read_header(path)
    with pytest.raises(ModelLoadError, match="does not exist"):
        inspect_model(tmp_path / "missing.onnx")


def test_a_report_can_be_pickled(tmp_path: Path) -> None:
    report = inspect_model(written(tmp_path, colour_model()))
    assert pickle.loads(pickle.dumps(report)) == report


# --- annotate


def test_annotating_writes_the_profile_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, colour_model(metadata={"licence": "MIT"}))
    path.chmod(0o640)
    before = OnnxEmbedder(path, profile="keras-tf")
    vector = before.embed(np.zeros((9, 9, 3), np.uint8))
    assert annotate_model(path, "keras-tf").name == "keras-tf"
    after = OnnxEmbedder(path)
    assert after.profile == before.profile
    assert np.array_equal(after.embed(np.zeros((9, 9, 3), np.uint8)), vector)
    model, old = onnx.load(path), onnx.load_from_string(colour_model())
    assert (model.ir_version, model.opset_import) == (old.ir_version, old.opset_import)
    assert model.graph == old.graph
    assert path.stat().st_mode & 0o777 == 0o640
    assert annotate_model(path, SMALL) == SMALL
    assert OnnxEmbedder(path).profile == SMALL
    properties = [entry.key for entry in onnx.load(path).metadata_props]
    assert properties == ["licence", "onnxsearch.profile"]
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_annotating_through_a_link_and_in_another_size(tmp_path: Path) -> None:
    path = written(tmp_path, colour_model("NHWC"))
    link = tmp_path / "link.onnx"
    link.symlink_to(path)
    annotate_model(link, "keras-tf", 299)
    assert link.is_symlink()
    assert OnnxEmbedder(path).profile == PreprocessingProfile.named("keras-tf", 299)


def test_annotating_keeps_external_data(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = onnx.load_from_string(colour_model())
    onnx.save_model(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    weights = (tmp_path / "w.bin").read_bytes()
    annotate_model(path, SMALL)
    assert (tmp_path / "w.bin").read_bytes() == weights
    assert OnnxEmbedder(path).dimension == 8
    assert inspect_model(path).bytes == path.stat().st_size + len(weights)


def test_a_failed_annotation_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, colour_model(size=(6, 5)))
    before = path.read_bytes()
    with pytest.raises(ProfileError, match="6 x 5"):
        annotate_model(path, "keras-tf")
    with pytest.raises(ProfileError, match="Did you mean"):
        annotate_model(path, "keras-ft")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InvalidArgumentError, match="cannot be written: no space"):
        annotate_model(path, SMALL)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_annotating_needs_the_package_onnx(tmp_path: Path) -> None:
    path = written(tmp_path, colour_model())
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "from onnxsearch.embedders.onnx.inspection import annotate_model\n"
        f"annotate_model({str(path)!r}, 'keras-tf')"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert b'pip install "onnxsearch[onnx]"' in result.stderr


def test_real_models(shared: Callable[[str], Path]) -> None:
    report = inspect_model(shared("models/efficientnet-lite0.onnx"))
    assert report.producer.startswith("pytorch")
    assert [node.name for node in report.outputs] == ["embedding", "logits"]
    assert report.output == "embedding"
    text = inspect_model(shared("models/minilm-l6-v2-int8-text.onnx"))
    assert text.kind == "text"
    assert text.call is not None
    call = text.call.replace("tokenizer.json", str(shared("models/minilm-vocab.txt")))
    assert called(call).dimension == 384
