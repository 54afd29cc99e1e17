"""The commands, on real files with the bundled model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from onnxsearch import SearchEngine, __version__
from onnxsearch.cli import compare, search, verify  # noqa: F401  they add their commands
from onnxsearch.cli.app import app
from onnxsearch.cli.options import DEFAULT_LOCATION, records_of
from tests.embedders.models import colour_model

COLOURS = ("crimson", "gold", "navy")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, away from the caller's own settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("LOCATION", "RECORDS", "METADATA", "MODELS"):
        monkeypatch.delenv(f"ONNXSEARCH_{name}", raising=False)
    for name in ("MILVUS_URI", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments, **env: CliRunner().invoke(app, list(map(str, arguments)), env=env)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (64, 48), colour).save(folder / f"{colour}.png")
    return folder


def check_refused(result: Result, reason: str) -> None:
    """Assert that a command says on standard error alone why it does nothing."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert reason in result.stderr


def test_index_and_search(run: Run, pictures: Path) -> None:
    first = run("index", pictures)
    assert first.exit_code == 0, first.output
    assert "3 indexed" in first.stdout
    assert first.stderr == ""
    assert "3 unchanged" in run("index", pictures).stdout
    found = run("search", pictures / "gold.png", "-k", 2)
    assert found.exit_code == 0, found.output
    _, nearest, *others = found.stdout.splitlines()
    assert nearest.split() == ["1", "0.0000", str(Path("pictures", "gold.png"))]
    assert len(others) == 1


def test_json(run: Run, pictures: Path) -> None:
    report = json.loads(run("index", pictures, "--json").stdout)
    assert report["counts"]["indexed"] == len(report["outcomes"]) == 3
    results = json.loads(run("search", pictures / "navy.png", "--json").stdout)
    assert results["metric"] == "l2"
    assert Path(results["hits"][0]["uri"]).name == "navy.png"


def test_an_album_that_moves_with_its_index_is_found(
    run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    assert "3 indexed" in run("index", ".", "--root", ".").stdout
    moved = pictures.rename(pictures.with_name("moved"))
    monkeypatch.chdir(moved)
    found = json.loads(run("search", "gold.png", "-k", 1, "--json").stdout)
    assert found["hits"][0]["id"] == "gold.png"
    assert found["hits"][0]["uri"] == str(moved / "gold.png")
    assert "3 unchanged" in run("index", ".", "--prune").stdout
    refused = run("index", moved.parent, "--root", ".")
    assert refused.exit_code == 1
    assert "outside root" in refused.stderr


def test_prune(run: Run, pictures: Path) -> None:
    run("index", pictures)
    (pictures / "gold.png").unlink()
    assert "removed" not in run("index", pictures).stdout
    assert "1 removed" in run("index", pictures, "--prune").stdout


def test_failures_are_told_and_counted(run: Run, pictures: Path) -> None:
    (pictures / "broken.png").write_bytes((pictures / "gold.png").read_bytes()[:60])
    (pictures / "bytes\udce9[red].jpg").write_text("no picture")
    result = run("index", pictures)
    assert result.exit_code == 3
    assert "3 indexed" in result.stdout
    assert "broken.png: " in result.stdout
    assert r"bytes\udce9[red].jpg: " in result.stdout
    report = run("index", pictures, "--json")
    assert report.exit_code == 3
    assert len(json.loads(report.stdout)["outcomes"]) == 5


def test_files_that_are_not_images_are_skipped(run: Run, pictures: Path) -> None:
    (pictures / ".hidden.png").write_bytes((pictures / "gold.png").read_bytes())
    (pictures / "notes.txt").write_text("not an image")
    result = run("index", pictures)
    assert (result.exit_code, "3 indexed" in result.stdout) == (0, True), result.output
    assert "2 skipped" in result.stdout
    hidden = run("index", pictures, "--include-hidden")
    assert "1 skipped" in hidden.stdout
    assert hidden.exit_code == 0


def test_patterns_and_empty_folders(run: Run, pictures: Path) -> None:
    pytest.importorskip("pathspec", reason="the extra [patterns] is not installed")
    assert "1 indexed" in run("index", pictures, "--exclude", "g*", "--exclude", "navy.png").stdout
    assert "prune" in run("index", pictures, "--allow-empty").stderr
    for path in pictures.iterdir():
        path.unlink()
    assert run("index", pictures, "--prune").exit_code == 1
    emptied = run("index", pictures, "--prune", "--allow-empty")
    assert (emptied.exit_code, "1 removed" in emptied.stdout) == (0, True), emptied.output


def test_location_from_the_environment(run: Run, pictures: Path, tmp_path: Path) -> None:
    run("index", pictures, ONNXSEARCH_LOCATION="from-environment")
    assert (tmp_path / "from-environment").exists()
    run("index", pictures, "--location", "given", ONNXSEARCH_LOCATION="elsewhere")
    assert (tmp_path / "given").exists()
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / DEFAULT_LOCATION).exists()


def test_other_bundled_model(run: Run, pictures: Path) -> None:
    small = ("--model", "efficientnet-lite0")
    assert run("index", pictures, *small).exit_code == 0
    found = json.loads(run("search", pictures / "gold.png", *small, "--json").stdout)
    assert found["model"] == "efficientnet-lite0"
    assert len(found["hits"]) == 3


def test_progress_is_shown_on_a_terminal(run: Run, pictures: Path) -> None:
    result = run("index", pictures, FORCE_COLOR="1")
    assert "Indexing" in result.stderr
    assert "Indexing" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["index", "nowhere"], "nowhere"),
        (["index", "empty"], "no file"),
        (["index", "pictures", "--model", "vgg99"], "vgg99"),
        (["index", "pictures", "--model", "vgg99.onnx"], "vgg99.onnx"),
        (["index", "pictures", "--profile", "keras-caffe"], "--model"),
        (["search", "pictures/gold.png"], "onnxsearch index"),
        (["search", "nowhere.jpg", "-l", "pictures"], "nowhere.jpg"),
    ],
)
def test_errors(run: Run, pictures: Path, arguments: list[str], complaint: str) -> None:
    (pictures.parent / "empty").mkdir()
    check_refused(run(*arguments), complaint)


def test_searching_makes_no_index(run: Run, pictures: Path, tmp_path: Path) -> None:
    run("search", pictures / "gold.png")
    assert not (tmp_path / DEFAULT_LOCATION).exists()


@pytest.mark.parametrize(
    "arguments", [["index"], ["search", "x.jpg", "--limit", "0"], ["index", "--no-such"]]
)
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_interrupted(run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SearchEngine, "index", interrupted)
    result = run("index", pictures)
    assert result.exit_code == 130
    assert "what was indexed is kept" in result.stderr


def test_version(run: Run) -> None:
    assert run("--version").stdout.strip() == __version__


def test_the_package_is_a_command() -> None:
    command = [sys.executable, "-m", "onnxsearch", "--version"]
    assert subprocess.check_output(command, text=True).strip() == __version__


def test_the_home_folder_is_known_everywhere(run: Run, pictures: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    assert run("index", "~/pictures", "--location=~/index", **home).exit_code == 0
    assert (tmp_path / "index").is_dir()
    assert run("search", "~/pictures/gold.png", "--location=~/index", **home).exit_code == 0
    assert run("verify", "--location=~/index", **home).exit_code == 0


@pytest.mark.parametrize("command", [["search", "pictures/gold.png"], ["verify", "--repair"]])
def test_what_is_no_index_is_left_as_it_is(run: Run, pictures: Path, command: list[str]) -> None:
    before = sorted(pictures.iterdir())
    result = run(*command, "--location", "pictures")
    assert (result.exit_code, "no index" in result.stderr) == (1, True), result.output
    assert sorted(pictures.iterdir()) == before
    assert run("index", pictures).exit_code == 0
    # With the records of another index, all vectors would be nobody's.
    elsewhere = run(*command, ONNXSEARCH_RECORDS="typo.sqlite")
    assert (elsewhere.exit_code, "typo.sqlite" in elsewhere.stderr) == (1, True)
    assert not (pictures.parent / "typo.sqlite").exists()
    assert "3 unchanged" in run("index", pictures).stdout


def test_the_records_of_a_folder_are_not_those_of_the_shells_redis(
    run: Run, pictures: Path
) -> None:
    nowhere = "redis://127.0.0.1:9/0"
    assert run("index", pictures, REDIS_URL=nowhere).exit_code == 0
    assert run("search", pictures / "gold.png", REDIS_URL=nowhere).exit_code == 0
    assert run("index", pictures, ONNXSEARCH_RECORDS=nowhere).exit_code == 1
    assert records_of("http://127.0.0.1:9", None) is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--pooling", "mean"], "--pooling is for models from files"),
        (["-m", "efficientnet-lite0", "--name", "mine"], "--name is for models from files"),
        (["-m", "a.onnx", "--layout", "HWC"], "'NHWC', 'NCHW'"),
        (["-m", "a.onnx", "--pooling", "median"], "expected one of 'cls'"),
        (["-m", "a.onnx", "-m", "b.onnx", "--name", "mine"], "name of its own"),
        (["-m", "a.onnx", *["--output", "y"] * 2], "--output is given 2 times, for 1 model"),
    ],
)
def test_options_that_fit_no_model_are_refused(
    run: Run, pictures: Path, options: list[str], complaint: str
) -> None:
    result = run("index", pictures, *options)
    assert result.exit_code == 1
    assert complaint in result.stderr


def test_options_of_models_from_files(run: Run, pictures: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tokens = colour_model(output="tokens", size=(224, 224))
        (tmp_path / f"{name}.onnx").write_bytes(tokens)
    both = ["--model", "one.onnx", "--model", "two.onnx", "--profile", "keras-tf"]
    options = ["--pooling", "cls", "--pooling", "mean", "--name", "first", "--name", "second"]
    assert run("index", pictures, *both).exit_code == 1, "tokens want pooling"
    result = run("index", pictures, *both, *options)
    assert result.exit_code == 0, result.output
    compared = run("compare", pictures / "gold.png", *both, *options, "--json")
    assert list(json.loads(compared.stdout)["results"]) == ["first", "second"]
    named = [
        "--model",
        "two.onnx",
        "--profile",
        "keras-tf",
        "--pooling",
        "mean",
        "--name",
        "second",
    ]
    found = run("search", pictures / "gold.png", *named, "--json")
    assert json.loads(found.stdout)["model"] == "second", found.output


PIPED = "import sys; sys.argv[0] = 'onnxsearch'; from onnxsearch.cli import main; main()"


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("json", [[], ["--json"]], ids=["table", "json"])
def test_output_that_cannot_be_written(
    run: Run, pictures: Path, tmp_path: Path, json: list[str]
) -> None:
    run("index", pictures)
    command = [sys.executable, "-c", PIPED, "search", "pictures/gold.png", *json]

    def outcome(stdout: int | IO[bytes]) -> tuple[int, str]:
        result = subprocess.run(
            command, cwd=tmp_path, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60
        )
        return result.returncode, result.stderr

    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        assert outcome(closed) == (141, "")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            code, message = outcome(full)
        assert (code, message.count("\n")) == (1, 1)
        assert "cannot be written: No space left" in message


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
def test_streams_that_are_closed(run: Run, pictures: Path, tmp_path: Path) -> None:
    run("index", pictures)

    def exit_code(image: str) -> int:
        script = 'exec "$0" -c "$1" search "$2" >&- 2>&-'
        command = ["sh", "-c", script, sys.executable, PIPED, image]
        return subprocess.run(command, cwd=tmp_path, timeout=60, check=False).returncode

    assert exit_code("pictures/gold.png") == 0
    assert exit_code("pictures/none.png") == 1


@pytest.mark.integration
def test_installed_command(tmp_path: Path, album: Path) -> None:
    def onnxsearch(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("onnxsearch"), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    indexed = onnxsearch("index", album, "--location", "index")
    assert "indexed" in indexed.stdout
    assert indexed.stderr == ""
    query = album.with_name("queries") / "cat.jpg"
    found = json.loads(onnxsearch("search", query, "-l", "index", "--json").stdout)
    assert Path(found["hits"][0]["uri"]).parent.name == "cat"


@pytest.mark.parametrize("package", ["rich", "typer"])
def test_missing_extra(package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None; from onnxsearch.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == (
        f'error: {package!r} is not installed. Install it with: pip install "onnxsearch[cli]"\n'
    )
