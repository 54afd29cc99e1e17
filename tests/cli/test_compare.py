"""`onnxsearch compare`, with the two bundled models."""

from __future__ import annotations

import json
from pathlib import Path

from onnxsearch.cli import compare  # noqa: F401  adds its command
from tests.cli.test_commands import Run, pictures, run  # noqa: F401  fixtures

MODELS = ("-m", "efficientnet-lite2", "-m", "efficientnet-lite0")


def test_models_side_by_side(run: Run, pictures: Path, tmp_path: Path) -> None:  # noqa: F811
    assert run("index", pictures, *MODELS).exit_code == 0
    page = tmp_path / "out.html"
    found = run("compare", pictures / "gold.png", *MODELS, "--html", page)
    assert found.exit_code == 0, found.output
    head, first, *others = found.stdout.splitlines()
    assert head.split() == ["#", "efficientnet-lite2", "efficientnet-lite0"]
    assert first.split() == ["1", "0.0000", "gold.png", "0.0000", "gold.png"]
    assert len(others) == 3
    assert "overlap 1.00" in others[-1]
    assert page.read_text("utf-8").count("gold.png") > 2
    assert str(page) in found.stderr.replace("\n", "")

    document = json.loads(run("compare", pictures / "gold.png", *MODELS, "-k", 1, "--json").stdout)
    assert list(document["results"]) == ["efficientnet-lite2", "efficientnet-lite0"]
    assert document["agreements"][0]["overlap"] == 1
    assert document["agreements"][0]["kendall_tau"] is None


def test_one_model_is_too_few(run: Run, pictures: Path) -> None:  # noqa: F811
    run("index", pictures)
    result = run("compare", pictures / "gold.png", "-m", "efficientnet-lite2")
    assert result.exit_code == 1
    assert "two models" in result.stderr
    assert "two models" in run("compare", pictures / "gold.png").stderr
