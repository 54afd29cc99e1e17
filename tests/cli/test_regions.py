"""Regions at the command line: asked for at `index`, remembered, searched by every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxsearch import SearchEngine
from onnxsearch.cli import info, search  # noqa: F401  they add their commands
from onnxsearch.embedders.regions import regions_name
from tests.cli.test_commands import Run, run  # noqa: F401  fixtures
from tests.embedders.models import colour_model, convolutional_model

pytest.importorskip("onnx")

REGIONS = regions_name("conv")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of noise, and two models: one with a feature map, and one without."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(3)
    for name in "abc":
        pixels = random.integers(0, 256, (12, 12, 3), np.uint8)
        image = Image.fromarray(pixels).resize((96, 96), Image.Resampling.NEAREST)
        image.save(folder / f"{name}.png")
    (tmp_path / "conv.onnx").write_bytes(convolutional_model())
    (tmp_path / "flat.onnx").write_bytes(colour_model())
    return folder


def described(run: Run) -> dict[str, Any]:  # noqa: F811
    (model,) = json.loads(run("info", "--json").stdout)["models"]
    found: dict[str, Any] = model
    return found


def test_an_index_remembers_that_regions_are_wanted(run: Run, photos: Path) -> None:  # noqa: F811
    made = run("index", photos, "-m", "conv.onnx", "--profile", "keras-tf", "--regions")
    assert (made.exit_code, made.stderr) == (0, ""), made.output
    assert described(run)["regions"] == 3
    assert "regions     of 3 images" in run("info").stdout
    (photos / "d.png").write_bytes((photos / "a.png").read_bytes()[:-1] + b"\x00")
    assert run("index", photos).exit_code == 0, "without any option"
    assert described(run)["regions"] == described(run)["vectors"] == 4
    found = run("search", photos / "b.png", "-m", REGIONS, "--box", "40,8,72,40", "--json")
    hit = json.loads(found.stdout)["hits"][0]
    assert Path(hit["id"]).name == "b.png", found.output
    assert 0 <= hit["region"][0] < hit["region"][2] <= 1
    table = run("search", photos / "b.png", "-m", REGIONS).stdout.splitlines()
    assert table[0].split() == ["#", "distance", "left,top,right,bottom", "file"]
    edges = [int(edge.removesuffix("%")) for edge in table[1].split()[2].split(",")]
    assert len(edges) == 4


@pytest.mark.integration
def test_an_index_that_exists_gets_regions(run: Run, photos: Path) -> None:  # noqa: F811
    run("index", photos, "-m", "conv.onnx", "--profile", "keras-tf")
    assert described(run)["regions"] is None
    missing = run("search", photos / "a.png", "-m", REGIONS)
    assert (missing.exit_code, "index DIR --regions" in missing.stderr) == (1, True)
    added = run("index", photos, "--regions")
    assert (added.exit_code, added.stderr) == (0, ""), added.output
    assert "3 indexed" in added.stdout
    assert described(run)["regions"] == 3
    assert run("search", photos / "a.png", "-m", REGIONS).exit_code == 0


@pytest.mark.integration
def test_a_model_that_is_given_without_regions_keeps_them(run: Run, photos: Path) -> None:  # noqa: F811
    loaded = ["-m", "conv.onnx", "--profile", "keras-tf"]
    run("index", photos, *loaded, "--regions")
    Image.new("RGB", (50, 50), "gold").save(photos / "gold.png")
    plain = run("index", photos, *loaded)
    assert "also has regions of conv" in plain.stderr
    assert (described(run)["vectors"], described(run)["regions"]) == (4, 3)
    assert "1 indexed" in run("index", photos).stdout
    assert described(run)["regions"] == 4
    with SearchEngine.open(".onnxsearch") as engine:
        assert engine.search(photos / "a.png", model=REGIONS, limit=1)[0].region is not None


@pytest.mark.parametrize("models", [["flat.onnx"], ["conv.onnx", "flat.onnx"]])
def test_a_model_without_a_feature_map_is_refused(
    run: Run,  # noqa: F811
    photos: Path,
    models: list[str],
) -> None:
    named = [each for model in models for each in ("-m", model)]
    refused = run("index", photos, *named, "--profile", "keras-tf", "--regions")
    assert (refused.exit_code, "feature map" in refused.stderr) == (1, True), refused.output
    assert not Path(".onnxsearch").exists(), "no index is left behind"


@pytest.mark.integration
def test_a_new_index_has_regions_of_the_bundled_model(run: Run, photos: Path) -> None:  # noqa: F811
    made = run("index", photos, "--regions")
    assert (made.exit_code, made.stderr) == (0, ""), made.output
    assert (described(run)["name"], described(run)["regions"]) == ("efficientnet-lite2", 3)
