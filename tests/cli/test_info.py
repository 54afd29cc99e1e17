"""The models of an index at the command line: remembered, selected by name, shown by `info`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from onnxsearch.cli import compare, info, search, verify  # noqa: F401  they add their commands
from tests.cli.test_commands import Run, pictures, run  # noqa: F401
from tests.embedders.models import colour_model


@pytest.fixture(autouse=True)
def no_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONNXSEARCH_MODELS", raising=False)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "x.onnx").write_bytes(colour_model())
    (folder / "y.onnx").write_bytes(colour_model(output="named"))
    return folder


def test_search_finds_what_was_indexed_with_a_model(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    models: Path,
) -> None:
    indexed = run("index", pictures, "-m", "models/x.onnx", "--profile", "keras-tf")
    assert (indexed.exit_code, indexed.stderr) == (0, ""), indexed.output
    found = run("search", pictures / "gold.png", "--json")
    results = json.loads(found.stdout)
    assert (results["model"], len(results["hits"])) == ("x", 3), found.output
    assert "3 unchanged" in run("index", pictures).stdout


def test_models_are_selected_by_name(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    models: Path,
) -> None:
    both = ["-m", "models/x.onnx", "-m", "models/y.onnx", "--profile", "keras-tf"]
    run("index", pictures, *both)
    found = run("search", pictures / "gold.png", "-m", "y", "--json")
    assert json.loads(found.stdout)["model"] == "y", found.output
    compared = run("compare", pictures / "gold.png", "--json")
    assert list(json.loads(compared.stdout)["results"]) == ["x", "y"]
    turned = run("compare", pictures / "gold.png", "-m", "y", "-m", "x", "--json")
    assert list(json.loads(turned.stdout)["results"]) == ["y", "x"]
    unknown = run("search", pictures / "gold.png", "-m", "z")
    assert (unknown.exit_code, "it has x, y" in unknown.stderr) == (1, True)
    by_file = run("search", pictures / "gold.png", "-m", "models/y.onnx", "--json")
    assert json.loads(by_file.stdout)["model"] == "y", "its profile need not be given again"
    mixed = run("search", pictures / "gold.png", "-m", "y", "--profile", "keras-tf")
    assert "--profile is for models from files" in mixed.stderr


def test_a_name_means_the_model_of_the_index_before_any_other(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    models: Path,
) -> None:
    named = ["--profile", "keras-tf", "--name", "efficientnet-lite0"]
    run("index", pictures, "-m", "models/x.onnx", *named)
    found = run("search", pictures / "gold.png", "-m", "efficientnet-lite0", "--json")
    assert len(json.loads(found.stdout)["hits"]) == 3, found.output
    other = run("search", pictures / "gold.png", "-m", "efficientnet-lite2", "--json")
    assert (other.exit_code, "it has efficientnet-lite0" in other.stderr) == (1, True)
    wrong = run("search", pictures / "gold.png", "-m", "models/y.onnx", "--profile", "keras-tf")
    assert (wrong.exit_code, "no model 'y'" in wrong.stderr) == (1, True)
    shown = json.loads(run("info", "--json").stdout)
    assert [model["name"] for model in shown["models"]] == ["efficientnet-lite0"]
    assert shown["others"] == {}, "a search adds no model to an index"


def test_index_with_other_models_says_so(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    models: Path,
) -> None:
    x, y = (["-m", f"models/{name}.onnx", "--profile", "keras-tf"] for name in ("x", "y"))
    run("index", pictures, *x)
    other = run("index", pictures, *y)
    assert (other.exit_code, "the index also has x" in other.stderr) == (0, True), other.output
    wrong = run("index", pictures, "-m", "models/x.onnx", "--profile", "keras-caffe")
    assert (wrong.exit_code, "another space" in wrong.stderr) == (1, True)
    assert "the index also has" not in run("index", pictures).stderr


def test_a_missing_model_is_named_and_can_be_given(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    models: Path,
) -> None:
    run("index", pictures, "-m", "models/x.onnx", "--profile", "keras-tf")
    moved = models.rename(models.with_name("elsewhere"))
    missing = run("search", pictures / "gold.png")
    assert missing.exit_code == 1
    assert all(word in missing.stderr for word in ("x.onnx", "--model-path", "ONNXSEARCH_MODELS"))
    shown = run("info")
    assert shown.exit_code == 0, shown.output
    assert f"{models / 'x.onnx'}, not there" in shown.stdout
    assert run("verify").exit_code == 0
    places = os.pathsep.join(["nowhere", str(moved)])
    assert run("search", pictures / "gold.png", ONNXSEARCH_MODELS=places).exit_code == 0
    moved.rename(models.with_name("further"))
    assert run("search", pictures / "gold.png").exit_code == 1
    assert run("search", pictures / "gold.png", "--model-path", "further").exit_code == 0
    assert run("search", pictures / "gold.png").exit_code == 0, "it is remembered there"


def test_info(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    models: Path,
) -> None:
    assert run("info").exit_code == 1, "there is no index"
    run(
        "index",
        pictures,
        "-m",
        "models/x.onnx",
        "--profile",
        "keras-tf",
        "-m",
        "efficientnet-lite0",
    )
    shown = run("info").stdout
    for text in ("3 images", "x (the default)", "keras-tf", "bundled: efficientnet-lite0"):
        assert text in shown
    document = json.loads(run("info", "--json").stdout)
    assert document["images"] == 3
    assert [model["name"] for model in document["models"]] == ["x", "efficientnet-lite0"]
    assert document["models"][0]["vectors"] == 3
    assert document["models"][0]["settings"]["profile"]["name"] == "keras-tf"


def test_the_former_name_of_records(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
) -> None:
    old = run("index", pictures, "--metadata", "r.sqlite")
    assert (old.exit_code, "--records" in old.stderr) == (0, True), old.output
    new = run("index", pictures, "--records", "r.sqlite")
    assert ("3 unchanged" in new.stdout, new.stderr) == (True, "")
    assert "--records" in run("info", ONNXSEARCH_METADATA="r.sqlite").stderr
    assert "--metadata" not in run("index", "--help").stdout
