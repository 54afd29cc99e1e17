"""`onnxsearch verify`, on an index that was tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from onnxsearch import LocalVectorStore, SearchEngine
from onnxsearch.cli import verify  # noqa: F401  it adds its command
from onnxsearch.cli.app import app
from onnxsearch.testing import FakeEmbedder, picture

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    with SearchEngine.open("album", embedders=FakeEmbedder("one")) as engine:
        engine.add(picture("cat"), id="a [cat]\x1b[31m")
    return lambda *arguments: CliRunner().invoke(app, ["verify", "-l", "album", *arguments])


def tamper() -> None:
    with LocalVectorStore("album/vectors.sqlite") as vectors:
        vectors.delete("onnxsearch__one", list(vectors.ids("onnxsearch__one")))


def test_all_is_well(run: Run) -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["1 records, 1 vectors", "all is well"]


def test_a_defect_is_told_and_mended(run: Run) -> None:
    tamper()
    found = run()
    assert found.exit_code == 3
    assert "1 x missing vector" in found.stdout
    assert r"a [cat]\x1b[31m in onnxsearch__one" in found.stdout
    assert "--repair" in found.stdout
    mended = run("--repair")
    assert mended.exit_code == 0
    assert "mended" in mended.stdout
    assert "all is well" in run().stdout


def test_json(run: Run) -> None:
    tamper()
    result = run("--json")
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert (report["ok"], report["counts"]["missing vector"]) == (False, 1)
    assert report["findings"][0]["id"] == "a [cat]\x1b[31m"


def test_there_must_be_an_index(run: Run) -> None:
    result = run("-l", "elsewhere")
    assert result.exit_code == 1
    assert "elsewhere" in result.stderr
    assert not Path("elsewhere").exists()
