"""The commands that give data out: list, export, import and duplicates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from onnxsearch import SearchEngine
from onnxsearch.cli import duplicates, imports, records  # noqa: F401  they add their commands
from onnxsearch.cli.options import DEFAULT_LOCATION
from tests.cli.test_commands import Run, pictures, run  # noqa: F401


@pytest.fixture
def indexed(run: Run, pictures: Path) -> Path:  # noqa: F811
    shutil.copy(pictures / "gold.png", pictures / "copy.png")
    assert run("index", pictures).exit_code == 0
    with SearchEngine.open(DEFAULT_LOCATION) as engine:
        engine.update(str(pictures / "navy.png"), metadata={"rating": 5, "name": "the sea"})
    return pictures


def test_list(run: Run, indexed: Path) -> None:  # noqa: F811
    found = run("list", "--order-by", "-id")
    assert (found.exit_code, found.stderr) == (0, ""), found.output
    assert found.stdout.splitlines() == [
        f"{Path('pictures', 'navy.png')}  rating=5  name=the sea",
        f"{Path('pictures', 'crimson.png')}",
        f"{Path('pictures', 'copy.png')}  (1 copy)",
    ]
    document = json.loads(run("list", "--json", "--order-by", "rating", "--limit", 1).stdout)
    assert [record["id"] for record in document["records"]] == [str(indexed / "navy.png")]
    assert document["records"][0]["metadata"] == {"rating": 5, "name": "the sea"}


def test_a_filter_chooses_what_is_listed_and_exported(run: Run, indexed: Path) -> None:  # noqa: F811
    found = json.loads(run("list", "--json", "--filter", "rating > 4").stdout)
    assert [record["id"] for record in found["records"]] == [str(indexed / "navy.png")]
    nothing = run("list", "--filter", "rating > 5")
    assert (nothing.stdout, nothing.stderr) == ("", "no image matches\n")
    assert run("export", "best.csv", "--filter", "name = 'the sea'").exit_code != 0
    exported = run("export", "best.csv", "--filter", "name == 'the sea'")
    assert exported.stdout == "1 image in best.csv\n"
    assert run("list", "--filter", "rating >").exit_code != 0


def test_list_of_nothing(run: Run) -> None:  # noqa: F811
    found = run("list")
    assert (found.exit_code, "there is no index" in found.stderr) == (1, True)
    with SearchEngine.open(DEFAULT_LOCATION):
        pass
    empty = run("list")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "nothing is indexed" in empty.stderr


def test_export_and_import(run: Run, indexed: Path) -> None:  # noqa: F811
    exported = run("export", "album.parquet")
    assert (exported.exit_code, exported.stdout) == (0, "3 images in album.parquet\n")
    assert json.loads(run("export", "album.jsonl", "--json").stdout)["images"] == 3
    imported = run("import", "album.parquet", "--location", "other")
    assert imported.exit_code == 0, imported.output
    assert imported.stdout.startswith("3 stored, 0 unchanged")
    again = json.loads(run("import", "album.parquet", "--location", "other", "--json").stdout)
    assert (again["copied"], again["unchanged"]) == (0, 3)
    query = indexed / "gold.png"
    here, there = (
        json.loads(run("search", query, "--json", "--location", place).stdout)["hits"]
        for place in (DEFAULT_LOCATION, "other")
    )
    assert here == there
    wrong = run("export", "album.xlsx")
    assert (wrong.exit_code, ".parquet" in wrong.stderr) == (1, True)
    refused = run("import", query, "--location", "other")
    assert (refused.exit_code, "is not an export" in refused.stderr) == (1, True)


def test_duplicates(run: Run, indexed: Path) -> None:  # noqa: F811
    Image.open(indexed / "navy.png").save(indexed / "navy again.png", compress_level=0)
    run("index", indexed)
    found = run("duplicates", "--html", "page.html")
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines() == [
        "1. 2 images",
        f"   {Path('pictures', 'copy.png')}",
        f"   {Path('pictures', 'gold.png')}",
        "2. 2 images",
        f"   {Path('pictures', 'navy again.png')}",
        f"   {Path('pictures', 'navy.png')}",
    ]
    page = Path("page.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 4
    assert page.count("exact copy") == 1
    assert "2 groups of duplicates" in page
    assert page.count("Suggested to keep") == 2
    document = json.loads(run("duplicates", "--json", "-d", 0.0).stdout)
    assert [str(indexed / "copy.png"), str(indexed / "gold.png")] in document["groups"]
    assert run("duplicates", "-m", "nothing").exit_code == 1


def test_no_duplicates(run: Run, pictures: Path) -> None:  # noqa: F811
    run("index", pictures)
    assert run("duplicates", "--html", "page.html").stdout == "no duplicates\n"
    assert "No image has a duplicate" in Path("page.html").read_text("utf-8")
