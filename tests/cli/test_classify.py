"""`onnxsearch classify`: by examples in folders, fields and tables, and by words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from onnxsearch import OnnxEmbedder, OnnxTextEmbedder, SearchEngine, TextProfile
from onnxsearch.cli import advise, classify  # noqa: F401  they add their commands
from tests.cli.test_commands import Run, check_refused, run  # noqa: F401  fixtures
from tests.embedders.models import colour_model
from tests.embedders.text_models import text_model, tokenizer

FOLDERS = {
    "warm": ("crimson", "gold", "tomato"),
    "cold": ("navy", "teal", "blue"),
    "inbox": ("red", "darkblue"),
}
RIGHT = {"red.png": "warm", "darkblue.png": "cold"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of images of colours in folders; its model takes words."""
    pytest.importorskip("tokenizers", reason="the extra [text] is not installed")
    folder = tmp_path_factory.mktemp("colours")
    (folder / "image.onnx").write_bytes(colour_model())
    (folder / "text.onnx").write_bytes(text_model())
    words = OnnxTextEmbedder(
        folder / "text.onnx", tokenizer(folder), profile=TextProfile("plain", 8, pad_token="<pad>")
    )
    for name, colours in FOLDERS.items():
        (folder / "photos" / name).mkdir(parents=True)
        for colour in colours:
            Image.new("RGB", (64, 48), colour).save(folder / "photos" / name / f"{colour}.png")
    model = OnnxEmbedder(folder / "image.onnx", profile="keras-tf", text=words)
    with model, SearchEngine.open(folder / ".onnxsearch", embedders=model) as engine:
        engine.index(
            folder / "photos", metadata=lambda path: {"heat": path.parent.name, "n": len(path.stem)}
        )
    return folder


@pytest.fixture
def colours(filled: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    monkeypatch.chdir(filled)
    return filled


Shown = Callable[..., dict[str, Any]]


@pytest.fixture
def shown(colours: Path, run: Run) -> Shown:  # noqa: F811
    def document(*arguments: object) -> dict[str, Any]:
        result = run("classify", *arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return document


def labels_of(document: dict[str, Any]) -> dict[str, str]:
    return {Path(each["id"]).name: each["label"] for each in document["predictions"]}


def test_new_images_get_the_labels_of_folders(
    shown: Shown,
    run: Run,  # noqa: F811
) -> None:
    found = shown("--unknown", "inbox")
    assert labels_of(found) == RIGHT
    assert (found["labels"], found["calibration"]["images"]) == (["cold", "warm"], 6)
    assert {each["known"] for each in found["predictions"]} == {None}
    table = run("classify", "--unknown", "inbox")
    assert table.exit_code == 0, table.output
    head, *rows = table.stdout.splitlines()
    assert head.split() == ["probability", "label", "file"]
    assert {row.split()[-1]: row.split()[1] for row in rows} == {
        str(Path("photos", "inbox", name)): label for name, label in RIGHT.items()
    }
    assert "accuracy" in table.stderr


def test_a_metadata_field_holds_the_labels(shown: Shown) -> None:
    by_field = shown("--labels", "heat", "--unknown", "inbox")
    assert by_field == shown("--unknown", "inbox")
    assert labels_of(shown("--unknown", "inbox", "--filter", "n > 3")) == {"darkblue.png": "cold"}


def test_what_is_shown_is_chosen(shown: Shown, run: Run) -> None:  # noqa: F811
    known = ("--unknown", "inbox")
    assert len(shown(*known, "--show", "all")["predictions"]) == 8
    everything = shown(*known, "--show", "all", "--least", "0.5")["predictions"]
    assert all(each["probability"] >= 0.5 for each in everything)
    assert shown(*known, "--least", "1")["predictions"] == []
    # No image of the inbox is like the other one.
    table = run("classify", "--show", "contradictions")
    head, *rows = table.stdout.splitlines()
    assert head.split() == ["probability", "label", "known", "file"]
    assert {"red.png", "darkblue.png"} <= {Path(row.split()[-1]).name for row in rows}
    nothing = run("classify")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "no image without a label" in nothing.stderr
    assert "--show contradictions" in nothing.stderr


TABLES = {
    "labels.csv": "image,label,note\nphotos/warm/gold.png,warm,\nphotos/warm/crimson.png,warm,x\n"
    "photos/cold/navy.png,cold,\nphotos/cold/teal.png,cold,\nphotos/inbox/red.png,,\n",
    "labels.tsv": "label\timage\nwarm\tphotos/warm/gold.png\nwarm\tphotos/warm/crimson.png\n"
    "cold\tphotos/cold/navy.png\ncold\tphotos/cold/teal.png\n",
    "labels.jsonl": '{"image": "photos/warm/gold.png", "label": "warm"}\n'
    '{"image": "photos/../photos/warm/crimson.png", "label": "warm"}\n'
    '{"image": "photos/cold/navy.png", "label": "cold"}\n'
    '{"image": "photos/cold/teal.png", "label": "cold"}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_holds_the_labels(colours: Path, shown: Shown, name: str) -> None:
    (colours / name).write_text(TABLES[name], encoding="utf-8")
    found = shown("--labels-file", name)
    assert found["calibration"]["images"] == 4
    assert RIGHT.items() <= labels_of(found).items()


def test_images_of_a_table_that_are_not_stored_are_counted(
    colours: Path,
    run: Run,  # noqa: F811
) -> None:
    (colours / "more.csv").write_text(TABLES["labels.csv"] + "gone.png,warm,\n", encoding="utf-8")
    result = run("classify", "--labels-file", "more.csv")
    assert result.exit_code == 0, result.output
    assert "1 of 6 images" in result.stderr
    assert "such as 'gone.png'" in result.stderr
    advised = run("advise", "--labels-file", "more.csv", "--json")
    assert json.loads(advised.stdout)["metric"] == "mean_average_precision"


def test_words_are_labels(shown: Shown, run: Run) -> None:  # noqa: F811
    found = shown("red", "blue")
    assert (found["labels"], found["calibration"]) == (["red", "blue"], None)
    assert len(found["predictions"]) == 8
    assert shown("red", "blue", "--prompt", "{} apple") != found
    with SearchEngine.open(".onnxsearch") as engine:
        wanted = {Path(each.id).name: each.label for each in engine.classify(["red", "blue"])}
    assert labels_of(found) == wanted
    assert "not calibrated" in run("classify", "red", "blue").stderr
    measured = shown("warm", "cold", "--labels", "heat", "--unknown", "inbox")
    assert measured["calibration"]["images"] == 6
    assert set(labels_of(measured)) == set(RIGHT)


BAD_TABLES = {
    "none.txt": ("", "ends in .csv, .tsv or .jsonl"),
    "columns.csv": ("file,kind\na.png,x\n", "has the columns file, kind"),
    "twice.csv": ("image,label\na.png,x\na.png,y\n", "row 2: image 'a.png' has label 'y'"),
    "wide.csv": ("image,label\na.png,x,y\n", "row 1 has 3 values"),
    "list.jsonl": ('{"image": "a.png", "label": ["x"]}\n', "row 1 has image 'a.png'"),
    "number.jsonl": ('{"image": 3, "label": "x"}\n', "row 1 has image 3"),
    "broken.jsonl": ("{", "row 1 is not JSON"),
    "empty.csv": ("image,label\n", "0 images have 0 different labels"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_table_that_is_none_is_refused(
    colours: Path,
    run: Run,  # noqa: F811
    name: str,
) -> None:
    text, reason = BAD_TABLES[name]
    (colours / name).write_text(text, encoding="utf-8")
    refused = run("classify", "--labels-file", name)
    assert (refused.exit_code, refused.stdout) == (1, ""), refused.output
    assert reason in refused.stderr


def test_two_labels_of_one_image_are_refused(colours: Path, run: Run) -> None:  # noqa: F811
    rows = ["image,label", "photos/warm/gold.png,warm", f"{colours}/photos/warm/gold.png,cold"]
    (colours / "two.csv").write_text("\n".join(rows), encoding="utf-8")
    refused = run("classify", "--labels-file", "two.csv")
    assert (refused.exit_code, "several labels of one image" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--labels", "heat", "--labels-file", "labels.csv"], "expected one of the two"),
        (["--labels-file", "no such.csv"], "there is no file"),
        (["--labels", "no_such_field"], "0 images have 0 different labels"),
        (["--unknown", "inbx"], "--unknown 'inbx': no image has this label, they have cold, inbox"),
        (["--show", "some"], "--show 'some': expected one of"),
        (["--classifier", "deep"], "--classifier 'deep': expected one of"),
        (["red", "blue", "--classifier", "linear"], "--classifier learns from examples"),
        (["--prompt", "a {}"], "--prompt does nothing without words"),
        (["red"], "at least two"),
        (["red", "blue", "--labels", "heat"], "is not among the labels"),
        (["--model", "other"], "the index has no model 'other'"),
        (["--location", "nowhere"], "there is no index"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(
    colours: Path,
    run: Run,  # noqa: F811
    arguments: list[str],
    reason: str,
) -> None:
    check_refused(run("classify", *arguments), reason)
