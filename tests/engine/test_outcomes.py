"""No file stops a run, and every file has an outcome."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    Embedder,
    EmptySourceError,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    ProfileError,
    SearchEngine,
)
from onnxsearch.errors import BrokenImageError, ImageError, MissingExtraError
from onnxsearch.images import image_file
from onnxsearch.testing import FakeEmbedder, picture_bytes, write_pictures


def engine_with(*embedders: Embedder, **settings: object) -> SearchEngine:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    return SearchEngine(embedders or (FakeEmbedder(),), *stores, **settings)  # type: ignore[arg-type]


def statuses(engine: SearchEngine, source: Path, **options: object) -> dict[str, str]:
    report = engine.index(source, **options)  # type: ignore[arg-type]
    assert sum(report.counts.values()) == len(report.outcomes)
    return {os.path.relpath(o.uri, source): o.status.value for o in report.outcomes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    write_pictures(folder, ["cat", "dog"])
    return folder


class TooDarkError(BrokenImageError):
    """An error of an application's own embedder."""


@pytest.mark.parametrize(
    "error", [ImageError("too dark"), TooDarkError("too dark"), ProfileError("too dark")]
)
def test_an_embedder_may_refuse_an_image_with_any_error_of_images(
    folder: Path, error: Exception
) -> None:
    engine = engine_with(FakeEmbedder(failures={"dog": error}))
    report = engine.index(folder)
    assert [(o.status.value, o.error) for o in report.failures] == [("broken", "too dark")]
    assert engine.count() == 1


class AsItIs(Embedder):
    """Prepares each image in its own size."""

    name, dimension, fingerprint = "as-it-is", 3, "as-it-is-1"

    def prepare(self, image: Image.Image) -> np.ndarray:  # type: ignore[override]
        return np.asarray(image.convert("RGB"), np.float32)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return batch.mean((1, 2)) + 1.0


def test_images_that_are_prepared_in_two_shapes_are_embedded_one_by_one(folder: Path) -> None:
    Image.new("RGB", (40, 20), "gold").save(folder / "wide.png")
    engine = engine_with(AsItIs(), batch_size=4, workers=1)
    assert set(statuses(engine, folder).values()) == {"indexed"}


def test_a_function_for_metadata_that_raises_is_an_outcome(folder: Path) -> None:
    def date(path: Path) -> dict[str, str]:
        if path.stem == "dog":
            raise KeyError(306)
        return {"taken": "1961"}

    (folder / "notes.txt").write_text("no image, so nobody is asked for its metadata")
    engine = engine_with()
    for _ in range(2):
        report = engine.index(folder, metadata=date)
        (failure,) = report.failures
        assert failure.uri.endswith("dog.png")
        assert "KeyError: 306" in str(failure.error)
        assert report.counts["skipped"] == 1
    assert engine.count() == 1
    # Also if the file is stored already.
    engine.index(folder)
    assert len(engine.index(folder, metadata=date).failures) == 1
    assert engine.count() == 2


def test_a_linked_folder_has_an_outcome(folder: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "share", ["fox"])
    (folder / "share").symlink_to(tmp_path / "share")
    report = engine_with().index(folder)
    (skipped,) = (o for o in report.outcomes if o.status.value == "skipped")
    assert skipped.uri == str(folder / "share")
    assert "linked folder" in str(skipped.error)
    assert report.failures == []


HIDDEN = [".cat.png", ".thumbs/cat.png"]
SYSTEM = [
    "._cat.png",
    "@eaDir/cat.png/SYNOPHOTO_THUMB_M.png",
    "#recycle/cat.png",
    ".Trash-1000/files/cat.png",
    "$RECYCLE.BIN/cat.png",
    "__MACOSX/cat.png",
]
OTHERS = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "cat.xmp": b"<x:xmpmeta/>",
    "cat.AAE": b"<plist/>",
    "film.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100),
    "film.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(100),
    "film.avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(100),
    "film.mpg": b"\0\0\1\xb3\x16\0\xf0\x23" + bytes(100),
    "sound.wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(100),
    "text.pdf": b"%PDF-1.7",
    "BMI of the cat.csv": b"BMI,date,weight,height\n",
    "empty": b"",
    "raw.bin": bytes(5000),
}


def test_what_is_not_an_image_of_the_user_is_skipped(folder: Path) -> None:
    for name in (*HIDDEN, *SYSTEM):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture_bytes(name))
    for name, data in OTHERS.items():
        (folder / name).write_bytes(data)
    engine = engine_with()
    report = engine.index(folder)
    assert report.failures == []
    assert (report.counts["indexed"], engine.count()) == (2, 2)
    assert report.counts["skipped"] == len(HIDDEN) + len(SYSTEM) + len(OTHERS)
    assert all(o.error for o in report.outcomes if o.status.value == "skipped")

    found = statuses(engine, folder, include_hidden=True)
    assert {name for name, status in found.items() if status == "indexed"} == set(HIDDEN)


def test_a_file_that_is_named_like_an_image_and_is_none_is_a_failure(folder: Path) -> None:
    (folder / "page.jpg").write_text("<html>not found</html>")
    (folder / "cut").write_bytes(picture_bytes("fox")[:120])
    (folder / "empty.webp").touch()
    found = statuses(engine_with(), folder)
    assert (found["page.jpg"], found["cut"], found["empty.webp"]) == (
        "unsupported",
        "broken",
        "broken",
    )


def test_a_file_that_the_caller_names_is_not_skipped(folder: Path) -> None:
    (folder / ".hidden.png").write_bytes(picture_bytes("fox"))
    (folder / "notes.txt").write_text("no image")
    named = [folder / ".hidden.png", folder / "notes.txt"]
    report = engine_with().index(named)
    assert [o.status.value for o in report.outcomes] == ["indexed", "unsupported"]
    report = engine_with().index(named, exclude=["*.txt"])
    assert [o.status.value for o in report.outcomes] == ["indexed", "skipped"]


def test_patterns_are_those_of_a_gitignore_file(folder: Path) -> None:
    pytest.importorskip("pathspec")
    write_pictures(folder, ["raw/fox", "far/raw/owl", "far/bee", "draft-1", "draft-2"])
    found = statuses(engine_with(), folder, exclude=["raw/", "draft-*", "!draft-2.png", "/far/b*"])
    assert {name for name, status in found.items() if status == "skipped"} == {
        "raw",
        "far/raw",
        "far/bee.png",
        "draft-1.png",
    }
    for wrong in ("*.gif", [5], 5, [""]):
        with pytest.raises(InvalidArgumentError, match="exclude"):
            engine_with().index(folder, exclude=wrong)  # type: ignore[arg-type]


def test_patterns_name_the_extra_that_they_need(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pathspec", None)
    with pytest.raises(MissingExtraError, match=r"onnxsearch\[patterns\]"):
        engine_with().index(folder, exclude=["*.gif"])
    assert engine_with().index(folder).counts["indexed"] == 2


def test_large_files_that_are_not_images_are_not_read(folder: Path) -> None:
    with open(folder / "film.mkv", "wb") as file:
        file.write(b"\x1a\x45\xdf\xa3")
        file.truncate(2**40)
    with open(folder / "film.jpg", "wb") as file:
        file.write(picture_bytes("fox"))
        file.truncate(2**40)
    found = statuses(engine_with(), folder)
    assert (found["film.mkv"], found["film.jpg"]) == ("skipped", "too_large")


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "coming.png"
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:600])
    look = image_file.looks_like_image

    def look_while_it_grows(head: bytes) -> bool:
        if whole.startswith(head):
            path.write_bytes(whole)
        return look(head)

    monkeypatch.setattr(image_file, "looks_like_image", look_while_it_grows)
    engine = engine_with()
    assert engine.index(path).counts["indexed"] == 1
    record = engine.get(str(path))
    assert record is not None
    assert record.size == len(whole)


def test_prune_does_not_empty_a_folder_whose_drive_is_not_mounted(folder: Path) -> None:
    write_pictures(folder / "drive/far", [f"{number}" for number in range(5)])
    engine = engine_with()
    engine.index(folder, metadata={"rating": 5})
    drive, away = folder / "drive", folder.parent / "away"
    drive.rename(away)
    drive.mkdir()
    (drive / ".keep").touch()
    with pytest.raises(InvalidArgumentError, match=r"drive' held 5 images .*allow_empty=True"):
        engine.index(folder, prune=True)
    assert engine.count() == 7

    (drive / ".keep").unlink()
    drive.rmdir()
    away.rename(drive)
    assert set(statuses(engine, folder, prune=True).values()) == {"unchanged"}

    drive.rename(away)
    drive.mkdir()
    assert engine.index(folder, prune=True, allow_empty=True).counts["removed"] == 5
    assert engine.count() == 2


def test_prune_takes_a_root_that_is_gone_or_empty_only_if_told(folder: Path) -> None:
    engine = engine_with()
    engine.index(folder)
    folder.rename(folder.with_name("away"))
    with pytest.raises(ImageNotFoundError):
        engine.index(folder, prune=True)
    with pytest.raises(ImageNotFoundError):
        engine.index(folder, allow_empty=True)
    folder.mkdir()
    with pytest.raises(EmptySourceError):
        engine.index(folder, prune=True)
    assert engine.count() == 2
    folder.rmdir()
    assert engine.index(folder, prune=True, allow_empty=True).counts["removed"] == 2
    assert engine.count() == 0


def test_prune_of_a_deleted_subfolder_needs_no_word(folder: Path) -> None:
    write_pictures(folder / "trip", ["fox"])
    engine = engine_with()
    engine.index(folder)
    (folder / "trip/fox.png").unlink()
    (folder / "trip").rmdir()
    assert engine.index(folder, prune=True).counts["removed"] == 1


def test_files_of_the_index_itself_have_no_outcome(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["cat"])
    with SearchEngine.open(tmp_path / "index", embedders=FakeEmbedder()) as engine:
        database = next((tmp_path / "index").glob("*.sqlite"))
        (tmp_path / "link.png").symlink_to(database)
        os.link(database, tmp_path / "hard.png")
        assert statuses(engine, tmp_path) == {"cat.png": "indexed"}
        assert statuses(engine, tmp_path) == {"cat.png": "unchanged"}
        report = engine.index([database, tmp_path / "cat.png", tmp_path / "hard.png"])
        assert [Path(o.uri).name for o in report.outcomes] == ["cat.png"]
        assert engine.index(database).outcomes == ()


def test_prune_keeps_a_drive_whose_folder_went_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(folder / "one", ["fox"])
    write_pictures(folder / "two", ["owl"])
    engine = engine_with()
    engine.index(folder)
    (folder / "one").rename(folder.parent / "away")
    is_mount = os.path.ismount
    two = str(folder / "two")
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == two or is_mount(path))
    with pytest.raises(InvalidArgumentError, match=r"one' held 1 images"):
        engine.index(folder, prune=True)
    assert engine.count() == 4
    (folder / "cat.png").unlink()
    (folder.parent / "away").rename(folder / "one")
    assert engine.index(folder, prune=True).counts["removed"] == 1


def test_the_path_and_the_id_of_an_outcome_are_one_string(folder: Path) -> None:
    path = folder / "photo.png"
    Image.new("RGB", (8, 8), "red").save(path)
    with engine_with() as engine:
        for _ in range(2):  # indexed, and unchanged
            (outcome,) = engine.index([path]).outcomes
            assert outcome.id == str(path)
            assert outcome.id is outcome.uri
