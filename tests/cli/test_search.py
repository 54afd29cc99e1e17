"""`onnxsearch search`: each of its options does what the argument of its name does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from onnxsearch import AlphaQE, F, Keywords, OnnxEmbedder, Query, QueryInput, Rerank, SearchEngine
from onnxsearch.cli import search  # noqa: F401  it adds its command
from tests.cli.test_commands import Run, check_refused, run  # noqa: F401
from tests.embedders.models import colour_model
from tests.embedders.text_models import text_model, tokenizer

COLOURS = ("crimson", "gold", "navy", "teal", "plum", "olive")
COMMAND = "import sys; sys.argv[0] = 'onnxsearch'; from onnxsearch.cli import main; main()"

Hits = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and two models."""
    path = tmp_path_factory.mktemp("album")
    for name in ("x", "y"):
        (path / f"{name}.onnx").write_bytes(colour_model(output=name))
    for colour in COLOURS:
        Image.new("RGB", (64, 48), colour).save(path / f"{colour}.png")
    return path


@pytest.fixture(scope="module")
def indexed(folder: Path) -> Iterator[SearchEngine]:
    """An index of them at the default location."""
    models = [OnnxEmbedder(folder / f"{n}.onnx", profile="keras-tf") for n in ("x", "y")]
    with SearchEngine.open(folder / ".onnxsearch", embedders=models) as engine:
        for number, colour in enumerate(COLOURS):
            metadata = {"price": 10 * number, "family": number % 2, "it's": {"new": number > 3}}
            engine.add(folder / f"{colour}.png", id=colour, metadata=metadata)
        engine.add((folder / "gold.png").read_bytes(), id="copy of gold")
        yield engine
    for model in models:
        model.close()


@pytest.fixture
def album(
    indexed: SearchEngine,
    folder: Path,
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> SearchEngine:
    """The index, in the working folder of the commands."""
    monkeypatch.delenv("ONNXSEARCH_MODELS", raising=False)
    monkeypatch.chdir(folder)
    return indexed


@pytest.fixture
def hits(run: Run) -> Hits:  # noqa: F811
    def found(*arguments: object) -> list[dict[str, Any]]:
        result = run("search", *arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        hits: list[dict[str, Any]] = json.loads(result.stdout)["hits"]
        return hits

    return found


GOLD: QueryInput = "gold.png"
MIXED = Query.examples(like=["gold.png", Query.id("teal")], unlike=["navy.png"])


@pytest.mark.parametrize(
    ("arguments", "query", "options"),
    [
        (["gold.png"], GOLD, {}),
        (["--id", "gold"], Query.id("gold"), {}),
        (["gold.png", "teal.png"], Query.examples(like=["gold.png", "teal.png"]), {}),
        (["gold.png", "--id", "teal", "--unlike", "navy.png"], MIXED, {}),
        (["gold.png", "--filter", "price < 30"], GOLD, {"filter": F("price") < 30}),
        (
            ["gold.png", "--filter", "`it's`.new == true or not price exists"],
            GOLD,
            {"filter": (F("it's", "new") == True) | ~F("price").exists()},  # noqa: E712
        ),
        (
            ["gold.png", "--exclude", "gold", "--exclude", "navy"],
            GOLD,
            {"exclude": ["gold", "navy"]},
        ),
        (["gold.png", "--exclude-query"], GOLD, {"exclude_query": True}),
        (["gold.png", "-k", "2", "--offset", "3"], GOLD, {"limit": 2, "offset": 3}),
        (["gold.png", "--group-by", "family"], GOLD, {"group_by": "family"}),
        (
            ["gold.png", "--group-by", "family", "--group-size", "2"],
            GOLD,
            {"group_by": "family", "group_size": 2},
        ),
        (["gold.png", "--min-score", "0.7"], GOLD, {"min_score": 0.7}),
        (["gold.png", "--max-distance", "0.5"], GOLD, {"max_distance": 0.5}),
        (["gold.png", "--model", "y"], GOLD, {"model": "y"}),
        (["gold.png", "--models", "x, y"], GOLD, {"models": ["x", "y"]}),
        (["gold.png", "--expand", "3"], GOLD, {"expand": AlphaQE(3)}),
        (["gold.png", "--rerank", "y"], GOLD, {"rerank": Rerank.by_model("y")}),
        (
            ["gold.png", "--models", "x,y", "--min-score", "0.97", "--exclude-query"],
            GOLD,
            {"models": ["x", "y"], "min_score": 0.97, "exclude_query": True},
        ),
        (["gold.png", "--box", "0,0,4,3"], GOLD, {"box": (0, 0, 4, 3)}),
        (["--keywords", "gold teal"], None, {"keywords": "gold teal"}),
        (
            ["gold.png", "--keywords", "note", "--keyword-field", "note"],
            GOLD,
            {"keywords": Keywords("note", ["note"])},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_finds_what_the_engine_finds(
    album: SearchEngine,
    hits: Hits,
    arguments: list[str],
    query: QueryInput | None,
    options: dict[str, Any],
) -> None:
    wanted = album.search(query, **options)
    assert len(wanted) > 0
    found = hits(*arguments)
    assert [hit["id"] for hit in found] == wanted.ids
    for field in ("similarity", "rerank_score"):
        assert [hit[field] for hit in found] == [getattr(hit, field) for hit in wanted]


def test_a_page_shows_the_ranks(album: SearchEngine, run: Run) -> None:  # noqa: F811
    page = run("search", "gold.png", "-k", 2, "--offset", 5)
    assert [line.split()[0] for line in page.stdout.splitlines()] == ["#", "6", "7"]
    none = run("search", "gold.png", "--filter", "price > 1000")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "no image matches" in none.stderr


def test_a_page_shows_scores_where_there_is_no_metric(album: SearchEngine, run: Run) -> None:  # noqa: F811
    lines = run("search", "--keywords", "gold").stdout.splitlines()
    assert lines[0].split() == ["#", "score", "file"]
    assert float(lines[1].split()[1]) == pytest.approx(
        album.search(keywords="gold")[0].score, abs=1e-4
    )
    fused = run("search", "gold.png", "--models", "x,y").stdout.splitlines()
    assert fused[0].split() == ["#", "score", "file"]


def test_a_filter_that_cannot_be_read_is_shown(run: Run, album: SearchEngine) -> None:  # noqa: F811
    refused = run("search", "gold.png", "--filter", "price = 3")
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        "error: --filter: filter, character 7: expected ==, which compares",
        "    price = 3",
        "          ^",
    ]
    hostile = run("search", "gold.png", "--filter", "a == '\x1b[31m")
    assert "\x1b" not in hostile.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "one or several IMAGE"),
        (["gold.png", "--text", "gold"], "--text alone"),
        (["--unlike", "gold.png"], "opposite"),
        (["gold.png", "--unlike", "absent.png"], "absent.png"),
        (["--id", "absent"], "absent"),
        (["--text", "gold"], "text"),
        (["gold.png", "--models", "x,y", "--model", "x"], "--models"),
        (["gold.png", "--models", "x,z"], "z"),
        (["gold.png", "--models", "x,y", "--max-distance", "1"], "max_distance"),
        (["gold.png", "--group-size", "2"], "group_by"),
        (["gold.png", "--min-score", "nan"], "min_score"),
        (["gold.png", "--model", "x.onnx", "--text-model", "t.onnx"], "--text-profile"),
        (["--text", "gold", "--exclude-query"], "exclude_query"),
        (["--keywords", "!"], "expected at least one"),
        (["--keywords", "gold", "--model", "x"], "model with keywords alone"),
        (["gold.png", "--keyword-field", "a"], "--keyword-field does nothing"),
        (["gold.png", "--box", "0,0,4"], "--box '0,0,4': expected LEFT,TOP,RIGHT,BOTTOM"),
        (["gold.png", "--box", "0,0,99,9"], "64 x 48 pixels"),
        (["gold.png", "--model", "x.regions"], "index DIR --regions"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(
    album: SearchEngine,
    run: Run,  # noqa: F811
    arguments: list[str],
    reason: str,
) -> None:
    check_refused(run("search", *arguments), reason)


def test_by_words_with_a_text_model_that_the_index_remembers(
    tmp_path: Path,
    run: Run,  # noqa: F811
    hits: Hits,
) -> None:
    pytest.importorskip("tokenizers", reason="the extra [text] is not installed")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (64, 48), colour).save(pictures / f"{colour}.png")
    text = tmp_path / "text"
    text.mkdir()
    words_file = tokenizer(text)
    words_file.write_text(words_file.read_text("utf-8").replace("<pad>", "[PAD]"), "utf-8")
    (text / "text.onnx").write_bytes(text_model())
    (tmp_path / "image.onnx").write_bytes(colour_model())
    models = ["-m", "image.onnx", "--profile", "keras-tf"]
    words = ["--text-model", "text/text.onnx", "--text-profile", "minilm"]
    first_run = run("index", pictures, *models)
    assert first_run.exit_code == 0, first_run.output
    refused = run("search", "--text", "a red apple")
    assert refused.exit_code == 1
    assert "text" in refused.stderr
    first = hits("--text", "a red apple", *models, *words)
    assert len(first) == len(COLOURS)
    assert hits("-t", "a red apple") == first
    assert hits("-t", "a red apple", "--filter", "x exists") == []


def answer(folder: Path, **variables: str) -> str:
    """Return what the command tells a shell that asks for completions."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(folder), **variables},
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.integration
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_be_told_to_complete(tmp_path: Path, shell: str) -> None:
    script = answer(tmp_path, _ONNXSEARCH_COMPLETE=f"source_{shell}")
    assert f"_ONNXSEARCH_COMPLETE=complete_{shell}" in script


@pytest.mark.integration
def test_a_shell_completes_names_of_models(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "onnxsearch search --model efficient", "COMP_CWORD": "3"}
    completed = answer(tmp_path, _ONNXSEARCH_COMPLETE="complete_bash", **words)
    assert completed.split() == ["efficientnet-lite0", "efficientnet-lite2"]
