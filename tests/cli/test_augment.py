"""`onnxsearch augment`, and `search --augmented`."""

from __future__ import annotations

import json
from pathlib import Path

from onnxsearch.cli import augment, compare, info, search  # noqa: F401  they add their commands
from tests.cli.test_commands import Run, pictures, run  # noqa: F401
from tests.embedders.models import colour_model

NAME = "x:augmented"


def ran(run: Run, *arguments: object) -> str:  # noqa: F811
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_a_folder_is_augmented_and_searched(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "x.onnx").write_bytes(colour_model())
    ran(run, "index", pictures, "--model", tmp_path / "x.onnx", "--profile", "keras-tf")
    report = json.loads(ran(run, "augment", "--neighbours", 2, "--json"))
    assert (report["model"], report["images"], report["rebuilt"]) == (NAME, 3, True)
    assert "0 vectors written" in ran(run, "augment", "--neighbours", 2)
    image = pictures / "gold.png"
    hits = json.loads(ran(run, "search", image, "--augmented", "--json"))
    assert hits == json.loads(ran(run, "search", image, "--model", NAME, "--json"))
    assert (hits["model"], Path(hits["hits"][0]["uri"]).name) == (NAME, "gold.png")
    assert NAME in ran(run, "compare", image, "--model", NAME, "--model", "x")
    assert "0 images added, 0 removed" in ran(run, "info")


def test_what_is_not_there_is_named(
    run: Run,  # noqa: F811
    pictures: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    assert "there is no index" in run("augment").output
    (tmp_path / "x.onnx").write_bytes(colour_model())
    ran(run, "index", pictures, "--model", tmp_path / "x.onnx", "--profile", "keras-tf")
    refused = run("search", pictures / "gold.png", "--augmented")
    assert refused.exit_code == 1
    assert "has no augmented space" in refused.output
