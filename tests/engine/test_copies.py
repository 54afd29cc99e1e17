"""Exact copies: every path that shows an image is kept with it."""

from __future__ import annotations

import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onnxsearch import (
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    MetadataStore,
    Record,
    SearchEngine,
    Status,
    VectorStore,
)
from onnxsearch.catalog import copies
from onnxsearch.catalog.copies import Copy
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures

STORED = Path(__file__).parents[1] / "golden" / "stored_album.zip"
Stores = tuple[VectorStore, MetadataStore]


def new_engine(*stores: VectorStore | MetadataStore) -> SearchEngine:
    vectors, records = stores or (InMemoryVectorStore(), InMemoryMetadataStore())
    return SearchEngine(FakeEmbedder(), vectors, records)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two copies of a cat beside it, and a dog."""
    folder = tmp_path / "pictures"
    cat, _ = write_pictures(folder, ["cat", "dog"])
    for name in ("z.png", "kitten.png"):
        shutil.copy(cat, folder / name)
    return folder


@pytest.fixture
def engine(folder: Path) -> SearchEngine:
    engine = new_engine()
    engine.index(folder)
    return engine


def names(paths: tuple[str, ...]) -> list[str]:
    return [os.path.basename(path) for path in paths]


def record(engine: SearchEngine, path: Path) -> Record:
    found = engine.get(str(path))
    assert found is not None
    return found


def groups(engine: SearchEngine) -> list[list[str]]:
    return [names(group) for group in engine.copies()]


def test_a_record_has_the_paths_of_all_copies(stores: Stores, folder: Path) -> None:
    engine = new_engine(*stores)
    assert engine.copies() == []
    engine.index(folder)
    assert len(engine) == 2
    found = [record(engine, folder / "cat.png"), *engine.records(order_by="id")]
    assert [names(each.paths) for each in found] == [
        ["cat.png", "kitten.png", "z.png"],
        ["cat.png", "kitten.png", "z.png"],
        ["dog.png"],
    ]
    assert engine.update(found[0].id, metadata={"a": 1}).paths == found[0].paths
    assert groups(engine) == [["cat.png", "kitten.png", "z.png"]]
    engine.index(folder, prune=True)
    assert groups(engine) == [["cat.png", "kitten.png", "z.png"]]


def test_an_image_without_a_file_has_the_paths_of_its_copies(
    engine: SearchEngine, folder: Path
) -> None:
    engine.remove([str(folder / "cat.png")])
    engine.add(picture_bytes("cat"), id="it")
    engine.index(folder)
    found = engine.get("it")
    assert found is not None
    assert names(found.paths) == ["cat.png", "kitten.png", "z.png"]
    engine.add(picture("owl"), id="without bytes")
    bare = engine.get("without bytes")
    assert bare is not None
    assert bare.paths == ()


def test_near_duplicates_include_copies(engine: SearchEngine, folder: Path) -> None:
    engine.add(picture("cat"), id="the same pixels")
    (group,) = engine.duplicates(1e-3)
    assert group == tuple(
        sorted(
            [*(str(folder / f"{name}.png") for name in ("cat", "kitten", "z")), "the same pixels"]
        )
    )
    assert engine.duplicates(-1.0) == []


def test_images_that_were_stored_twice_are_copies(tmp_path: Path) -> None:
    engine = new_engine()
    for path in write_pictures(tmp_path, ["a", "b"]):
        path.write_bytes(picture_bytes("cat"))
        engine.add(path)
    assert groups(engine) == [["a.png", "b.png"]]


@pytest.mark.parametrize("change", ["delete", "replace", "damage", "no image"])
@pytest.mark.parametrize("prune", [True, False])
def test_a_copy_that_changes_is_no_copy_any_more(
    engine: SearchEngine, folder: Path, change: str, prune: bool
) -> None:
    changed = folder / "z.png"
    if change == "delete":
        changed.unlink()
    else:
        data = {"replace": picture_bytes("owl"), "damage": picture_bytes("owl")[:60]}
        changed.write_bytes(data.get(change, b"a text"))
    engine.index(folder, prune=prune)
    stays = change == "delete" and not prune
    assert groups(engine) == [["cat.png", "kitten.png", *(["z.png"] if stays else [])]]
    assert (str(changed) in engine) == (change == "replace")


def test_a_named_file_that_is_gone_is_no_copy_any_more(engine: SearchEngine, folder: Path) -> None:
    (folder / "z.png").unlink()
    engine.index([folder / "z.png"])
    assert groups(engine) == [["cat.png", "kitten.png"]]


def test_a_copy_takes_the_place_of_a_file_that_is_gone(engine: SearchEngine, folder: Path) -> None:
    engine.update(str(folder / "cat.png"), metadata={"name": "Tom"})
    (folder / "cat.png").unlink()
    report = engine.index(folder, prune=True)
    moved = next(outcome for outcome in report.outcomes if outcome.status is Status.MOVED)
    assert os.path.basename(moved.uri) == "kitten.png"
    assert record(engine, folder / "kitten.png").metadata == {"name": "Tom"}
    assert groups(engine) == [["kitten.png", "z.png"]]


@pytest.mark.parametrize("chosen", [True, False])
def test_a_copy_elsewhere_takes_the_place_of_a_file_that_is_pruned(
    tmp_path: Path, chosen: bool
) -> None:
    here, there, fake = tmp_path / "here", tmp_path / "there", FakeEmbedder()
    engine = SearchEngine(fake, InMemoryVectorStore(), InMemoryMetadataStore())
    (cat, _), (twin,) = write_pictures(here, ["cat", "dog"]), write_pictures(there, ["cat"])
    engine.add(cat, id="Tom" if chosen else None, metadata={"name": "Tom"})
    engine.index(here)
    engine.index(there)
    run = sum(fake.calls.batches)
    cat.unlink()
    report = engine.index(here, prune=True)
    assert {(o.uri, o.status.value) for o in report.outcomes} == {
        (str(here / "dog.png"), "unchanged"),
        (str(cat), "removed"),
        (str(twin), "moved"),
    }
    found = engine.get("Tom" if chosen else str(twin))
    assert found is not None
    assert (found.uri, found.metadata, found.paths) == (str(twin), {"name": "Tom"}, (str(twin),))
    assert engine.search(picture("cat"), filter=F("name") == "Tom").ids == [found.id]
    assert sum(fake.calls.batches) == run + 1, "only the query was embedded"
    again = "duplicate" if chosen else "unchanged"
    assert engine.index(there, prune=True).counts[again] == 1
    twin.unlink()
    assert engine.index(there, prune=True, allow_empty=True).counts["removed"] == 1
    assert len(engine) == 1


def test_a_copy_that_changed_does_not_take_a_place(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    engine = new_engine()
    (cat, _), (twin,) = write_pictures(here, ["cat", "dog"]), write_pictures(there, ["cat"])
    engine.index(here)
    engine.index(there)
    cat.unlink()
    twin.write_bytes(picture_bytes("owl"))
    assert engine.index(here, prune=True).counts["removed"] == 1
    assert [r.id for r in engine.records()] == [str(here / "dog.png")]


@pytest.mark.parametrize("by", ["copy_to", "snapshot"])
def test_copies_move_house(engine: SearchEngine, folder: Path, tmp_path: Path, by: str) -> None:
    other = new_engine()

    def move() -> int:
        if by == "copy_to":
            return engine.copy_to(other).copied
        engine.save_snapshot(tmp_path / "album.zip")
        return other.load_snapshot(tmp_path / "album.zip").copied

    assert (move(), move()) == (2, 0)
    assert list(other.records(order_by="id")) == list(engine.records(order_by="id"))
    assert other.copies() == engine.copies()
    assert other.index(folder).counts["duplicate"] == 2
    assert other.copies() == engine.copies()


def test_a_moved_copy_does_not_replace_what_is_stored(engine: SearchEngine, folder: Path) -> None:
    other = new_engine()
    other.add(picture("owl"), id=str(folder / "z.png"))
    engine.copy_to(other)
    assert record(other, folder / "z.png").content is None
    assert groups(other) == [["cat.png", "kitten.png"]]


def test_metadata_that_equal_only_in_python_are_copied() -> None:
    one, other = new_engine(), new_engine()
    one.add(picture("cat"), id="cat", metadata={"a": True})
    other.add(picture("cat"), id="cat", metadata={"a": 1})
    assert one.copy_to(other).copied == 1
    found = other.get("cat")
    assert found is not None
    assert found.metadata["a"] is True


def test_copies_of_a_root_have_absolute_paths(folder: Path, tmp_path: Path) -> None:
    engine = new_engine()
    engine.index(folder)
    engine.index(folder, root=folder)
    assert [names(group) for group in engine.copies()] == [["cat.png", "kitten.png", "z.png"]]
    assert record(engine, Path("cat.png")).paths[1] == str(folder / "kitten.png")
    moved = folder.rename(tmp_path / "elsewhere")
    engine.index(moved, root=moved, prune=True)
    assert engine.copies() == [
        tuple(str(moved / name) for name in ("cat.png", "kitten.png", "z.png"))
    ]


def test_an_index_without_lists_learns_them(engine: SearchEngine, folder: Path) -> None:
    """Earlier releases noted copies by path only."""
    metadata = engine._catalog.metadata
    index = engine._catalog.records.copies
    wanted = engine.copies()
    for key, _ in list(metadata.items(index.lists_table)):
        metadata.commit({copies.Cell(index.lists_table, key): None})
    assert new_engine(engine._catalog.vectors, metadata).copies() == wanted
    assert len(list(metadata.items(index.lists_table))) == 2


def test_an_index_of_an_earlier_release_learns_copies(tmp_path: Path, album: Path) -> None:
    with zipfile.ZipFile(STORED) as archive:
        archive.extractall(tmp_path / "album")
    with SearchEngine.open(tmp_path / "album") as engine:
        assert engine.copies() == []
        for name in ("a.jpg", "b.jpg"):
            shutil.copy(album.with_name("queries") / "cat.jpg", tmp_path / name)
        report = engine.index([tmp_path / "a.jpg", tmp_path / "b.jpg"])
        assert report.counts["indexed"] + report.counts["duplicate"] == 2
        assert {"a.jpg", "b.jpg"} <= set(groups(engine)[0])


def test_more_copies_than_a_list_holds_keep_their_notes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_LISTED", 3)
    for number in range(5):
        shutil.copy(folder / "cat.png", folder / f"x{number}.png")
    engine = new_engine()
    engine.index(folder)
    assert len(engine.copies()[0]) == 4
    # Hashes whose notes are gone make room.
    for path in (folder / "x0.png", folder / "x1.png", folder / "kitten.png"):
        path.write_bytes(picture_bytes(path.stem))
    engine.index(folder)
    shutil.copy(folder / "cat.png", folder / "new.png")
    assert engine.index(folder).counts["duplicate"] == 5
    assert groups(engine) == [["cat.png", "new.png"]]


def test_copies_of_writers_at_the_same_time_are_all_known(stores: Stores) -> None:
    engine, writers, each = new_engine(*stores), 4, 20
    index = engine._catalog.records.copies
    engine.add(picture_bytes("cat"), id="cat")
    found = engine.get("cat")
    assert found is not None
    content = found.content or ""

    def note(writer: int) -> None:
        for number in range(each):
            index.remember([Copy(f"/{writer}/{number}.png", content, 1, 1)])

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(note, range(writers)))
    found = engine.get("cat")
    assert found is not None
    assert set(found.paths) == {f"/{w}/{n}.png" for w in range(writers) for n in range(each)}


def test_notes_that_cannot_be_read_are_ignored(engine: SearchEngine, folder: Path) -> None:
    metadata, index = engine._catalog.metadata, engine._catalog.records.copies
    for key, _ in list(metadata.items(index.table)):
        metadata.commit({copies.Cell(index.table, key): b"\xff{"})
    assert engine.copies() == []
    for key, _ in list(metadata.items(index.lists_table)):
        if key != "complete":
            metadata.commit({copies.Cell(index.lists_table, key): b"x,\xff,"})
    assert record(engine, folder / "cat.png").paths == (str(folder / "cat.png"),)
    assert engine.index(folder).counts["duplicate"] == 2
    assert groups(engine) == [["cat.png", "kitten.png", "z.png"]]
