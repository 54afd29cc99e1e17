"""Downloaded models: loaded without a connection, from anywhere, and only with the locked bytes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from typer.testing import Result

from onnxsearch import (
    InvalidArgumentError,
    ModelChecksumError,
    ModelLoadError,
    ModelNotDownloadedError,
    ModelNotFoundError,
    ModelSource,
    OnnxEmbedder,
    OnnxTextEmbedder,
    ProfileError,
    SearchEngine,
    UnknownModelError,
)
from onnxsearch.embedders.hub.cache import ModelCache, cached_paths
from onnxsearch.embedders.hub.catalogue import catalogue
from onnxsearch.embedders.hub.export import export
from onnxsearch.embedders.hub.lock import LockedFile, LockedModel, ModelLock
from onnxsearch.embedders.hub.names import check_file, check_repository, is_downloadable
from onnxsearch.embedders.onnx import session
from tests.embedders.hub.families import COLOURS, family
from tests.hub_server import Hub
from tests.network_guard import no_sockets

Run = Callable[..., Result]

ROOT = Path(__file__).resolve().parents[3]
MODEL = "onnx/model.onnx"
DINO = catalogue()["dinov2-small"]
CLIP = catalogue()["clip-vit-b32"]


@pytest.fixture
def dino(downloads: Callable[[str], Path], cache: Path) -> OnnxEmbedder:
    merge(downloads(DINO.name), cache)
    return OnnxEmbedder.hub(DINO.name)


@pytest.fixture
def clip(downloads: Callable[[str], Path], cache: Path) -> str:
    merge(downloads(CLIP.name), cache)
    return CLIP.name


def merge(source: Path, cache: Path) -> None:
    """Copy a cache into another, which may hold other models."""
    export(ModelCache(source), cache)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (64, 48), colour).save(folder / f"{name}.png")
    return folder


def in_another_process(program: str, *arguments: object) -> str:
    """Run a program that may open no socket, and return what it prints."""
    guarded = f"from tests.network_guard import no_sockets\nwith no_sockets():\n    {program}"
    done = subprocess.run(
        [sys.executable, "-c", guarded, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def found(result: str) -> str:
    return Path(result).stem


def test_three_lines_from_a_name_to_a_result(clip: str, photos: Path, tmp_path: Path) -> None:
    with (
        no_sockets(),
        SearchEngine.open(tmp_path / "album", embedders=OnnxEmbedder.hub(clip)) as engine,
    ):
        engine.index(photos)
        hits = engine.search(text="red")
    assert hits[0].uri is not None
    assert found(hits[0].uri) == "red"


@pytest.mark.integration
def test_an_index_finds_its_model_again(
    clip: str, photos: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = tmp_path / "album"
    with SearchEngine.open(album, embedders=OnnxEmbedder.hub(clip)) as engine:
        engine.index(photos)
        (model,) = engine.info().models
    assert model.source == ModelSource("hub", CLIP.repository, CLIP.revision, CLIP.image)
    program = (
        "import sys; from onnxsearch import SearchEngine; "
        "print(SearchEngine.open(sys.argv[1]).search(text='blue')[0].uri)"
    )
    assert found(in_another_process(program, album)) == "blue"
    # Index and cache are moved, and the old places are gone.
    moved = shutil.move(album, tmp_path / "moved album")
    monkeypatch.setenv("ONNXSEARCH_HUB", str(shutil.move(cache, tmp_path / "moved cache")))
    assert found(in_another_process(program, moved)) == "blue"
    # Or nothing but the index itself remembers it.
    elsewhere = shutil.move(tmp_path / "moved cache", tmp_path / "elsewhere")
    with pytest.raises(
        ModelNotFoundError, match=r"models get Xenova/\S+ --revision d15189d\w+ --f"
    ):
        SearchEngine.open(moved)
    with SearchEngine.open(moved, model_path=elsewhere) as engine:
        assert engine.search(text="green")[0].uri == str(photos / "green.png")


def test_the_command_line_takes_names(clip: str, photos: Path, tmp_path: Path, models: Run) -> None:
    from typer.testing import CliRunner

    from onnxsearch.cli.search import app  # with its command

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
        return result

    run("index", photos, "-m", clip, "-l", tmp_path / "album")
    listed = json.loads(
        run("search", photos / "red.png", "-l", tmp_path / "album", "--json").stdout
    )
    assert found(listed["hits"][0]["uri"]) == "red"


def test_the_list_says_what_is_downloaded(dino: OnnxEmbedder, models: Run) -> None:
    heading, *lines = models("list").stdout.splitlines()
    assert heading.split() == ["name", "licence", "text", "state", "repository"]
    assert [line.split()[0] for line in lines if "downloaded" in line] == [DINO.name]
    entries = json.loads(models("list", "--json").stdout)["models"]
    assert {entry["name"] for entry in entries} == set(catalogue())
    assert [entry["name"] for entry in entries if entry["downloaded"]] == [DINO.name]


def test_the_fingerprint_costs_no_second_reading(
    dino: OnnxEmbedder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = OnnxEmbedder.hub(DINO.name)
    monkeypatch.setattr("onnxsearch.embedders.onnx.embedder.model_digest", None)
    assert embedder.fingerprint == dino.fingerprint
    again = pickle.loads(pickle.dumps(embedder))
    assert again.fingerprint == dino.fingerprint
    assert again.source == dino.source


def test_vectors_are_those_of_the_file(dino: OnnxEmbedder, cache: Path) -> None:
    path = next(cache.rglob("model.onnx"))
    by_hand = OnnxEmbedder(path, name=DINO.name, pooling="cls")
    image = Image.new("RGB", (50, 40), "gold")
    np.testing.assert_array_equal(dino.embed([image]), by_hand.embed([image]))
    assert dino.fingerprint == by_hand.fingerprint


@pytest.mark.parametrize("name", [MODEL, "config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("damage", ["flip", "shorter", "longer", "empty", "link", "folder", "gone"])
def test_a_wrong_byte_is_an_error_before_there_is_a_session(
    dino: OnnxEmbedder, cache: Path, tmp_path: Path, name: str, damage: str,
    monkeypatch: pytest.MonkeyPatch, models: Run,
) -> None:  # fmt: skip
    (folder,) = cache.glob("*--*/*")
    path = folder / name
    good = path.read_bytes()
    outside = tmp_path / "outside"
    outside.write_bytes(good)
    path.unlink()
    if damage == "link":
        path.symlink_to(outside)
    elif damage == "folder":
        path.mkdir()
    elif damage != "gone":
        wrong = {
            "flip": good[:-1] + bytes([good[-1] ^ 1]),
            "shorter": good[:-1],
            "longer": good + b"\0",
            "empty": b"",
        }
        path.write_bytes(wrong[damage])
    monkeypatch.setattr(session, "_open", None)
    expected = ModelNotDownloadedError if damage == "gone" else ModelChecksumError
    with pytest.raises(expected, match=r"models get|inside the cache") as caught:
        OnnxEmbedder.hub(DINO.name)
    assert name in str(caught.value)
    if damage == "flip":
        assert f"expected {hashlib.sha256(good).hexdigest()}" in str(caught.value)
    result = models("verify")
    assert result.exit_code == 1
    assert "3 files checked, 1 wrong" in result.stdout
    document = json.loads(models("verify", "--json").stdout)
    assert [each["file"] for each in document["problems"]] == [name]


def test_links_inside_the_cache_are_followed(dino: OnnxEmbedder, cache: Path) -> None:
    path = next(cache.rglob("model.onnx"))
    path.rename(path.with_name("blob"))
    path.symlink_to("blob")
    assert OnnxEmbedder.hub(DINO.name).fingerprint == dino.fingerprint


def test_nothing_is_written_through_a_link(
    dino: OnnxEmbedder, cache: Path, tmp_path: Path, models: Run, hub: Hub
) -> None:
    hub.add(DINO.repository, family(DINO.name), DINO.revision)
    outside, stick = tmp_path / "outside", tmp_path / "stick"
    for folder in (outside, stick):
        folder.mkdir()
    (stick / DINO.repository.replace("/", "--")).symlink_to(outside)
    for arguments in (["export", stick], ["get", DINO.name, "--cache", stick]):
        result = models(*arguments)
        assert result.exit_code == 1
        assert "leads out of the cache" in result.output
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("place", [".", "onnx"])
def test_a_configuration_that_was_put_there_is_refused(
    dino: OnnxEmbedder, cache: Path, place: str
) -> None:
    (folder,) = cache.glob("*--*/*")
    (folder / place / "open_clip_config.json").write_text('{"preprocess_cfg": {}}')
    with pytest.raises(ModelChecksumError, match="not one of the files that were downloaded"):
        OnnxEmbedder.hub(DINO.name)


def test_a_text_tower_is_verified_too(clip: str, cache: Path) -> None:
    for name in ("tokenizer.json", "text_model.onnx"):
        path = next(cache.rglob(name))
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(ModelChecksumError, match=name):
            OnnxEmbedder.hub(clip)
        with pytest.raises(ModelChecksumError, match=name):
            OnnxTextEmbedder.hub(clip)
        OnnxEmbedder.hub(clip, text=False)
        path.write_bytes(good)


def test_export_and_a_machine_without_network(
    clip: str, dino: OnnxEmbedder, cache: Path, models: Run, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    assert models("export", stick, clip).exit_code == 0
    shutil.rmtree(cache)
    shutil.move(stick, tmp_path / "here")
    for path in (tmp_path / "here").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    program = (
        "import sys; from onnxsearch import OnnxEmbedder; "
        "print(OnnxEmbedder.hub('clip-vit-b32', cache=sys.argv[1]).embed_text('red').shape)"
    )
    assert in_another_process(program, tmp_path / "here") == "(1, 16)"
    with pytest.raises(ModelNotDownloadedError):
        OnnxEmbedder.hub(DINO.name, cache=tmp_path / "here")


def test_export_of_everything_and_twice(
    clip: str, dino: OnnxEmbedder, cache: Path, models: Run, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    assert models("export", stick, DINO.repository).exit_code == 0
    assert models("export", stick).exit_code == 0
    assert ModelLock.read(stick / "models.lock.json") == ModelLock.read(cache / "models.lock.json")
    copied = {path.relative_to(stick) for path in stick.rglob("*") if path.is_file()}
    own = {path.relative_to(cache) for path in cache.rglob("*") if path.is_file()}
    assert copied == own
    for arguments, text in [
        ([cache], "is the cache itself"),
        ([stick, "siglip2-base"], "is not in the cache"),
        ([stick, "siglip3"], "the catalogue has no model"),
    ]:
        result = models("export", *arguments)
        assert result.exit_code == 1
        assert text in result.output
    next(cache.rglob("vision_model.onnx")).write_bytes(b"damaged")
    result = models("export", tmp_path / "other")
    assert result.exit_code == 1
    assert "expected" in result.output
    assert not (tmp_path / "other" / "models.lock.json").exists()


def test_export_from_an_empty_cache(models: Run, tmp_path: Path) -> None:
    result = models("export", tmp_path / "stick")
    assert result.exit_code == 1
    assert "no model is in the cache" in result.output


def test_names_of_files_of_one_repository_differ(hub: Hub, get: Run) -> None:
    files = family(DINO.name)
    hub.add(DINO.repository, {**files, "onnx/model_int8.onnx": files[MODEL]}, DINO.revision)
    get(DINO.name, "--file", MODEL, "--file", "onnx/model_int8.onnx")
    assert OnnxEmbedder.hub(DINO.name).name == "dinov2-small"
    other = OnnxEmbedder.hub(DINO.name, file="onnx/model_int8.onnx")
    assert other.name == "dinov2-small.onnx-model_int8"
    assert other.output == "last_hidden_state"  # pooled as the catalogue says
    assert OnnxEmbedder.hub(DINO.name, embedder_name="mine").name == "mine"


def test_a_repository_that_nothing_is_known_of(hub: Hub, get: Run, models: Run) -> None:
    files = family(DINO.name)
    revision = hub.add("someone/model", {MODEL: files[MODEL]})
    get("someone/model", "--revision", revision, "--file", MODEL)
    with pytest.raises(ProfileError, match="nothing says how images are prepared"):
        OnnxEmbedder.hub("someone/model", revision, MODEL)
    embedder = OnnxEmbedder.hub(
        "someone/model", revision, MODEL, profile="torchvision", pooling="mean"
    )
    assert embedder.name == "model.onnx-model"
    listed = json.loads(models("list", "--json").stdout)["models"][-1]
    assert (listed["name"], listed["revision"]) == ("someone/model", revision)
    assert "onnx/model.onnx" in models("list").stdout
    assert embedder.source == ModelSource("hub", "someone/model", revision, MODEL)
    with pytest.raises(ModelNotDownloadedError, match=r"no tokenizer\.json"):
        OnnxTextEmbedder.hub("someone/model", revision, MODEL)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["siglip2-base"], ModelNotDownloadedError, "run `onnxsearch models get siglip2-base`"),
        (["clip-vit-b23"], UnknownModelError, "Did you mean 'clip-vit-b32'"),
        (["someone/model"], InvalidArgumentError, "revision is missing"),
        (["someone/model", "main"], InvalidArgumentError, "40 hex digits"),
        (["someone/model", "A" * 40], InvalidArgumentError, "40 hex digits"),
        (["someone/model", "a" * 40], InvalidArgumentError, "file is missing"),
        (["someone/model", "a" * 40, "../x.onnx"], InvalidArgumentError, "path of a file in"),
        (
            ["someone/model", "a" * 40, "m.onnx"],
            ModelNotDownloadedError,
            "models get someone/model --revision a{40} --file m.onnx",
        ),
        (["../model"], InvalidArgumentError, "owner/name"),
        (["a/b/c"], InvalidArgumentError, "owner/name"),
        ([""], InvalidArgumentError, "name is empty"),
    ],
)
def test_arguments(cache: Path, arguments: list[str], error: type[Exception], message: str) -> None:
    with no_sockets(), pytest.raises(error, match=message):
        OnnxEmbedder.hub(*arguments)


def test_a_model_without_text(dino: OnnxEmbedder) -> None:
    with pytest.raises(InvalidArgumentError, match="no text tower"):
        OnnxTextEmbedder.hub(DINO.name)


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "null", "{}", '{"format": 2, "names": {}, "models": []}', "[" * 100_000, "\xff",
        '{"format": 1, "names": [], "models": []}', '{"format": 1, "names": {}, "models": [3]}',
        '{"format": 1, "names": {"a": "main"}, "models": []}',
        *(
            json.dumps({"format": 1, "names": {}, "models": [{
                "repository": "a/b", "revision": "0" * 40, "licence": None, "files": {}, **change,
            }]})
            for change in (
                {"repository": "../../x"}, {"repository": None}, {"revision": "main"},
                {"licence": 3}, {"files": []}, {"files": {"../x": {"size": 1, "sha256": "0" * 64}}},
                {"files": {"x": {"size": -1, "sha256": "0" * 64}}}, {"files": {"x": None}},
                {"files": {"x": {"size": 1, "sha256": "abc"}}}, {"files": {"x": {"size": 1}}},
                {"files": {"x": {"size": True, "sha256": "0" * 64}}},
            )
        ),
    ],
)  # fmt: skip
def test_lock_files_that_are_none(cache: Path, content: str, models: Run) -> None:
    cache.mkdir()
    (cache / "models.lock.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelChecksumError, match=r"models\.lock\.json"):
        OnnxEmbedder.hub(DINO.name)
    assert models("verify").exit_code == 1


LOCKS = st.builds(
    LockedModel,
    st.sampled_from(["a/b", "c/d"]),
    st.sampled_from(["0" * 40, "1" * 40]),
    st.none() | st.text(max_size=5),
    st.dictionaries(
        st.sampled_from(["x.onnx", "onnx/y.onnx", "config.json"]),
        st.builds(LockedFile, st.integers(0, 1 << 50), st.sampled_from(["0" * 64, "f" * 64])),
    ),
)


@settings(max_examples=50)
@given(st.lists(LOCKS))
def test_a_lock_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, locked: list[LockedModel]
) -> None:
    path = tmp_path_factory.getbasetemp() / "models.lock.json"
    lock = ModelLock()
    for model in locked:
        known = lock.model(model.repository, model.revision)
        try:
            lock = lock.with_model(model, "dinov2-base")
        except ModelChecksumError:
            # Only ever for other bytes under the same name.
            assert known is not None
            assert any(
                model.files.get(name) not in (None, file) for name, file in known.files.items()
            )
        else:
            merged = lock.model(model.repository, model.revision)
            assert merged is not None
            assert set(model.files.items()) <= set(merged.files.items())
    lock.write(path)
    assert ModelLock.read(path) == lock


@given(st.text() | st.from_regex(r"[\w./\\: -]{1,30}"))
def test_no_name_leads_out_of_a_folder(name: str) -> None:
    for check in (check_file, check_repository):
        try:
            checked = check(name)
        except InvalidArgumentError:
            continue
        assert checked == name
        folder = Path("/cache/here")
        assert Path(os.path.normpath(folder / name)).is_relative_to(folder)
        assert Path(os.path.normpath(folder / name)) != folder
    assert isinstance(is_downloadable(name), bool)
    paths = cached_paths(ModelSource("hub", name, "0" * 40, name), None)
    assert paths == []  # no text is both a repository and a file with a folder


def test_a_lock_counts_only_where_it_is_a_load_error() -> None:
    assert issubclass(ModelChecksumError, ModelLoadError)
    assert issubclass(ModelNotDownloadedError, ModelLoadError)
