"""`onnxsearch index` of archives, tables, videos and URLs, with the bundled model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from onnxsearch.testing import picture_bytes, write_pictures
from tests.cli.test_commands import Run, run as run  # the fixture
from tests.indexing.test_videos import film
from tests.indexing.web import serving


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", ["a", "b", "raw/c"])
    return tmp_path / "pictures"


def ids(run: Run, *arguments: object) -> list[str]:
    """Index; return the ids of what was stored."""
    result = run("index", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return [each["id"] for each in json.loads(result.stdout)["outcomes"] if each["id"]]


def test_an_archive(run: Run, pictures: Path, tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "trip"), "gztar", pictures))
    found = ids(run, path, "--exclude", "raw/")
    assert sorted(found) == [f"{path}!/a.png", f"{path}!/b.png"]
    assert "1 indexed, 2 unchanged" in run("index", path).stdout


def test_a_table(run: Run, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("sku,photo,price\n7,a.png,5\n8,b.png,6\n")
    options = ("--image-column", "photo", "--id-column", "sku", "--image-root", pictures)
    assert ids(run, table, *options) == ["7", "8"]
    missing = run("index", table)
    assert missing.exit_code == 1
    assert "its columns are 'sku', 'photo', 'price'" in " ".join(missing.stderr.split())


def test_a_video(run: Run, tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", ["red"] * 10 + ["blue"] * 10)
    assert ids(run, path, "--scenes", "0.3") == [f"{path}#t=0.000", f"{path}#t=1.000"]


def test_urls(run: Run, tmp_path: Path) -> None:
    with serving() as web:
        one, two = (web.serve(f"/{name}.png", picture_bytes(name)) for name in "ab")
        assert ids(run, one, "--allow-private") == [one]
        (tmp_path / "urls.txt").write_text(f"# mine\n{two}\n\n")
        assert ids(run, tmp_path / "urls.txt", "--allow-private") == [two]
        refused = run("index", one)
        assert refused.exit_code == 3
        assert "private network" in " ".join(refused.stdout.split())


@pytest.mark.parametrize(
    ("name", "option", "reason"),
    [
        ("t.csv", ["--every", "5"], "--every does nothing for a table: leave it out, or give"),
        ("t.csv", ["--prune"], "--prune does nothing for a table"),
        ("a.zip", ["--id-column", "x"], "--id-column does nothing for an archive"),
        ("a.mp4", ["--exclude", "x"], "--exclude does nothing for a video"),
        ("https://h/a.png", ["--root", "."], "--root does nothing for a URL"),
        ("pictures", ["--scenes", "0.3"], "--scenes does nothing for a folder"),
        ("pictures", ["--download"], "--download does nothing for a folder"),
    ],
)
def test_options_that_do_nothing_are_refused(
    run: Run, pictures: Path, name: str, option: list[str], reason: str
) -> None:
    result = run("index", name, *option)
    assert result.exit_code == 1
    assert reason in " ".join(result.stderr.split())
    assert not Path(".onnxsearch").exists()


@pytest.mark.parametrize("name", ["a.zip", "a.csv", "a.mp4", "nothing.txt", "nothing"])
def test_a_source_that_does_not_exist_is_an_error(run: Run, pictures: Path, name: str) -> None:
    result = run("index", name)
    assert result.exit_code == 1
    assert "there is no" in " ".join(result.stderr.split())


def test_a_folder_may_be_named_like_an_archive(run: Run, pictures: Path) -> None:
    assert len(ids(run, pictures.rename("photos.zip"))) == 3
