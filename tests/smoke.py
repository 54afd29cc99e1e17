"""Check the installed package without pytest: `python tests/smoke.py [EXTRA ...]`.

The arguments are the installed extras. Features of these extras must work; features of the
others must say how to install them.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

import onnxsearch
from onnxsearch.embedders.bundled import bundled_model
from onnxsearch.embedders.hub.client import HubClient
from onnxsearch.embedders.onnx.tokenization import TextEncoder

COLOURS = ("crimson", "forestgreen", "gold", "navy", "white")
FRAMEWORKS = {
    "langchain": "langchain_core",
    "llamaindex": "llama_index",
    "haystack": "haystack",
    "sklearn": "sklearn",
}
"""Extras of adapters, and the packages that they need."""


def main(extras: set[str]) -> None:
    for name in onnxsearch.__all__:
        getattr(onnxsearch, name)
    importlib.import_module("onnxsearch.testing")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = folder / "pictures"
        pictures.mkdir()
        for colour in COLOURS:
            Image.new("RGB", (320, 240), colour).save(pictures / f"{colour}.png")
        finds_itself(str(folder / "embedded"), pictures)
        if "lite" in extras:
            finds_itself(str(folder / "milvus.db"), pictures)
        else:
            says_how_to_get_lite(str(folder / "milvus.db"))
        command_line("cli" in extras)
        edits_models("onnx" in extras, folder / "model.onnx")
        reads_text("text" in extras)
        downloads(bool({"hub", "text"} & extras), folder / "cache")
        reads_heic("heif" in extras, folder / "photo.heic")
        makes_tables("arrow", "pyarrow", "arrow" in extras)
        makes_tables("pandas", "pandas", "pandas" in extras)
        plots("plots" in extras)
        reads_urls("remote" in extras)
        reads_videos("video" in extras, folder / "clip.mp4")
        reads_tables("arrow" in extras, folder / "table.parquet")
        excludes(bool({"cli", "patterns"} & extras), str(folder / "excluding"), pictures)
        observes("otel" in extras)
        serves("serve" in extras, str(folder / "serving"), pictures)
        serves_agents("mcp" in extras)
        watches("watch" in extras, str(folder / "watching"), pictures)
    for extra, package in FRAMEWORKS.items():
        adapts(extra, package, extra in extras)
    print(f"onnxsearch {onnxsearch.__version__} works with: {sorted(extras) or 'no extras'}")


def finds_itself(location: str, pictures: Path) -> None:
    with onnxsearch.SearchEngine.open(location) as engine:
        report = engine.index(pictures)
        assert report.counts[onnxsearch.Status.INDEXED] == len(COLOURS), report
        query = pictures / "gold.png"
        first = engine.search(query, limit=1)[0]
        assert first.uri is not None
        assert Path(first.uri).name == query.name, first
        assert first.distance < 1e-3, first


def serves(installed: bool, location: str, pictures: Path) -> None:
    try:
        from onnxsearch.serving import create_app
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[serve]" in str(error), error
        return
    with onnxsearch.SearchEngine.open(location) as engine:
        engine.index(pictures)
        assert create_app(engine).routes


def serves_agents(installed: bool) -> None:
    try:
        importlib.import_module("onnxsearch.serving.mcp")
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[mcp]" in str(error), error
    else:
        assert installed


def watches(installed: bool, location: str, pictures: Path) -> None:
    with onnxsearch.SearchEngine.open(location) as engine:
        try:
            report = next(engine.watch(pictures))
        except onnxsearch.MissingExtraError as error:
            assert not installed
            assert "onnxsearch[watch]" in str(error), error
        else:
            assert installed
            assert report.counts["indexed"] == len(COLOURS), report


def makes_tables(extra: str, package: str, installed: bool) -> None:
    report = onnxsearch.IndexReport([])
    # pymilvus and Milvus Lite may bring the packages too.
    present = importlib.util.find_spec(package) is not None
    assert present or not installed
    try:
        report.to_arrow() if extra == "arrow" else report.to_pandas()
    except onnxsearch.MissingExtraError as error:
        assert not present
        assert f"onnxsearch[{extra}]" in str(error), error
    else:
        assert present


def plots(installed: bool) -> None:
    estimate = onnxsearch.Estimate(0.5, 0.4, 0.6)
    scores = onnxsearch.Scores({1: estimate}, {1: estimate}, estimate, estimate, {0.0: estimate})
    table = onnxsearch.QueryTable((), (), {})
    evaluation = onnxsearch.Evaluation({"model": scores}, 1, 2, table)
    assert "0.400 to 0.600" in evaluation._repr_html_()
    try:
        evaluation.plot()
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[plots]" in str(error), error
    else:
        assert importlib.util.find_spec("matplotlib") is not None


def adapts(extra: str, package: str, installed: bool) -> None:
    present = importlib.util.find_spec(package) is not None
    assert present or not installed
    try:
        importlib.import_module(f"onnxsearch.integrations.{extra}")
    except onnxsearch.MissingExtraError as error:
        assert not present
        assert f"onnxsearch[{extra}]" in str(error), error
    else:
        assert present


def says_how_to_get_lite(location: str) -> None:
    try:
        onnxsearch.SearchEngine.open(location).close()
    except onnxsearch.MissingExtraError as error:
        assert "onnxsearch[lite]" in str(error), error
    else:
        raise AssertionError("Milvus Lite is not installed, and yet it opened")


def command_line(installed: bool) -> None:
    command = Path(sys.executable).with_name("onnxsearch")
    result = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    if installed:
        assert result.returncode == 0, result.stderr
        assert "index" in result.stdout
    else:
        assert result.returncode == 2, result.stderr
        assert "onnxsearch[cli]" in result.stderr


def edits_models(installed: bool, path: Path) -> None:
    shutil.copyfile(bundled_model("efficientnet-lite0"), path)
    try:
        onnxsearch.annotate_model(path, "torchvision")
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[onnx]" in str(error), error
    else:
        assert installed
        assert onnxsearch.OnnxEmbedder(path).profile.name == "torchvision"


def reads_text(installed: bool) -> None:
    profile = onnxsearch.TextProfile.named("clip")
    try:
        TextEncoder("missing.json", profile)
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[text]" in str(error), error
    except onnxsearch.ModelLoadError:
        assert installed


def downloads(installed: bool, cache: Path) -> None:
    # tokenizers, of the extra `text`, needs huggingface_hub too.
    try:
        onnxsearch.OnnxEmbedder.hub("dinov2-small", cache=cache)
    except onnxsearch.ModelNotDownloadedError as error:
        assert "models get dinov2-small" in str(error), error
    else:
        raise AssertionError("a model that was not downloaded was loaded")
    try:
        HubClient()
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[hub]" in str(error), error
    else:
        assert installed


def reads_heic(installed: bool, path: Path) -> None:
    if installed:
        import pillow_heif

        pillow_heif.from_pillow(Image.new("RGB", (64, 48), "gold")).save(path)
        assert onnxsearch.open_image(path).size == (64, 48)
        return
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    try:
        onnxsearch.open_image(path)
    except onnxsearch.UnsupportedImageError as error:
        assert "onnxsearch[heif]" in str(error), error
    else:
        raise AssertionError("pillow-heif is not installed, but a HEIC file was opened")


def reads_urls(installed: bool) -> None:
    try:
        list(onnxsearch.Remote("https://example.org/cat.jpg"))
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[remote]" in str(error), error


def reads_tables(installed: bool, path: Path) -> None:
    path.write_bytes(b"no table")
    try:
        onnxsearch.Table(path)
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[arrow]" in str(error), error
    except onnxsearch.BrokenImageError:
        pass


def reads_videos(installed: bool, path: Path) -> None:
    path.write_bytes(b"no video")
    try:
        (outcome,) = onnxsearch.Video(path)
    except onnxsearch.MissingExtraError as error:
        assert not installed
        assert "onnxsearch[video]" in str(error), error
    else:
        assert installed
        assert isinstance(outcome, onnxsearch.Outcome)


def observes(installed: bool) -> None:
    from onnxsearch._internal.telemetry.otel import open_telemetry

    # Another package may have brought the API.
    assert open_telemetry() is not None or not installed


def excludes(installed: bool, location: str, pictures: Path) -> None:
    with onnxsearch.SearchEngine.open(location) as engine:
        try:
            report = engine.index(pictures, exclude=["gold.*"])
        except onnxsearch.MissingExtraError as error:
            assert not installed
            assert "onnxsearch[patterns]" in str(error), error
        else:
            assert installed
            assert report.counts[onnxsearch.Status.SKIPPED] == 1, report


if __name__ == "__main__":
    main(set(sys.argv[1:]))
