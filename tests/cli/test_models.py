"""`onnxsearch inspect` and `onnxsearch annotate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from onnxsearch import OnnxEmbedder
from onnxsearch.cli.models import app
from tests.embedders.models import colour_model

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model("NHWC"))
    return path


def test_inspect_then_annotate(run: Run, model: Path) -> None:
    before = run("inspect", model)
    assert before.exit_code == 0, before.output
    lines = before.stdout.splitlines()
    assert "  input       x: tensor(float) (n, height, width, 3)" in lines
    assert "IR 8, operators ai.onnx 17" in before.stdout
    assert any(line.startswith("  missing     profile: nothing says") for line in lines)
    assert lines[-2].startswith("A suggestion; check profile")
    assert lines[-1] == f'OnnxEmbedder("{model}", profile="keras-caffe")'
    written = run("annotate", model, "--profile", "keras-tf", "--size", 299)
    assert written.exit_code == 0, written.output
    assert "keras-tf, 299 x 299 pixels" in written.stdout
    after = run("inspect", model).stdout
    assert "keras-tf, 299 x 299 pixels, from the model's metadata" in after
    assert "missing" not in after
    assert after.splitlines()[-1] == f'OnnxEmbedder("{model}")'
    assert OnnxEmbedder(model).profile.size == (299, 299)


def test_inspect_as_json(run: Run, model: Path) -> None:
    document = json.loads(run("inspect", model, "--json").stdout)
    assert document["kind"] == "pictures"
    assert document["layout"] == "NHWC"
    assert document["opsets"] == {"ai.onnx": 17}
    assert document["inputs"][0]["shape"] == ["n", "height", "width", 3]
    assert document["profile"] is None
    assert document["missing"][0]["options"][0] == '"keras-caffe"'
    run("annotate", model, "--profile", "keras-caffe")
    document = json.loads(run("inspect", model, "--json").stdout)
    assert document["profile"]["name"] == "keras-caffe"
    assert document["profile"]["source"] == "the model's metadata"
    assert document["missing"] == []


def test_annotate_as_json(run: Run, model: Path) -> None:
    written = run("annotate", model, "--profile", "keras-tf", "--size", 299, "--json")
    expected = {"path": str(model), "profile": "keras-tf", "size": [299, 299]}
    assert json.loads(written.stdout) == expected


def test_errors(run: Run, model: Path, tmp_path: Path) -> None:
    missing = run("inspect", tmp_path / "missing.onnx")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "does not exist" in missing.stderr
    wrong = run("annotate", model, "--profile", "keras-cafe")
    assert wrong.exit_code == 1
    assert "Did you mean 'keras-caffe'" in wrong.stderr
    assert run("annotate", model).exit_code == 2
