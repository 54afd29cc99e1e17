"""`onnxsearch map`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onnxsearch.cli import map  # noqa: F401  adds its command
from tests.cli.test_commands import Run, pictures, run  # noqa: F401  fixtures


@pytest.mark.integration
def test_a_page_of_all_images(run: Run, pictures: Path, tmp_path: Path) -> None:  # noqa: F811
    assert run("index", pictures).exit_code == 0
    page = tmp_path / "out.html"
    found = run("map", "--output", page)
    assert found.exit_code == 0, found.output
    assert "3 images, 0 clusters" in found.stdout
    assert "gold.png" in page.read_text("utf-8")
    document = json.loads(run("map", "-o", page, "--seed", 3, "--json").stdout)
    assert document["page"] == str(page)
    assert [Path(each["uri"]).name for each in document["images"]] == sorted(
        path.name for path in pictures.iterdir()
    )
    none = run("map", "-o", page, "--filter", "rating > 3")
    assert "0 images" in none.stdout


def test_mistakes(run: Run, pictures: Path, tmp_path: Path) -> None:  # noqa: F811
    assert run("map", tmp_path / "nowhere").exit_code == 1
    run("index", pictures)
    assert run("map", "-o", tmp_path / "no" / "map.html").exit_code == 1
    assert run("map", "--filter", "rating >").exit_code == 2
