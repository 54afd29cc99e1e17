"""An index with a root finds its images wherever the album is moved to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from onnxsearch import (
    Cell,
    Defect,
    EmptySourceError,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    LocalVectorStore,
    MetadataStore,
    MilvusVectorStore,
    RedisMetadataStore,
    SearchEngine,
    SQLiteMetadataStore,
    StoreCorruptError,
    VectorStore,
)
from onnxsearch.catalog.catalog import NewImage
from onnxsearch.indexing import entries
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.engine.stores import assert_consistent
from tests.servers import MilvusServer, RedisServer

NAMES = ["trip/a", "trip/b", "home/deep/c", "d"]
IDS = [f"{name}.png" for name in NAMES]


class Album:
    """A folder of pictures, and an engine on the given stores."""

    def __init__(self, folder: Path, vectors: VectorStore, metadata: MetadataStore) -> None:
        self.folder, self.vectors, self.metadata = folder, vectors, metadata
        self.fake = FakeEmbedder()
        self.engine = SearchEngine(self.fake, vectors, metadata)

    def index(self, folder: Path | None = None, **options: object) -> dict[str, str]:
        """Return the status of each file, by its path below the folder."""
        folder, before = self.folder if folder is None else folder, sum(self.fake.calls.batches)
        report = self.engine.index(folder, **options)  # type: ignore[arg-type]
        assert report.failures == []
        assert_consistent(self.vectors, self.metadata)
        self.embedded = sum(self.fake.calls.batches) - before
        return {os.path.relpath(o.uri, folder): o.status.value for o in report.outcomes}

    def move(self, name: str) -> Path:
        goal = self.folder.parent / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        self.folder.rename(goal)
        self.folder = goal
        return goal

    def found(self, name: str) -> str | None:
        """The path of the file that shows the picture `name`."""
        hits = self.engine.search(picture(name), limit=1)
        return hits[0].uri if hits and hits[0].distance < 1e-3 else None

    def ids(self) -> list[str]:
        return sorted(record.id for record in self.engine._catalog.records.values())

    def check(self) -> None:
        """Every picture is found under its relative path, and every path is that of its file."""
        for name, id in zip(NAMES, IDS, strict=True):
            record = self.engine.get(id)
            assert record is not None
            assert record.uri == self.found(name) == str(self.folder / id)
            assert os.path.exists(record.uri)
        assert self.ids() == sorted(IDS)
        assert self.engine.verify().ok


@pytest.fixture(params=["memory", "local"])
def album(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Album]:
    with ExitStack() as stack:
        vectors: VectorStore = InMemoryVectorStore()
        metadata: MetadataStore = InMemoryMetadataStore()
        if request.param == "local":
            (tmp_path / "index").mkdir()
            vectors = stack.enter_context(LocalVectorStore(tmp_path / "index" / "vectors"))
            metadata = stack.enter_context(SQLiteMetadataStore(tmp_path / "index" / "records"))
        write_pictures(tmp_path / "an album", NAMES)
        yield Album(tmp_path / "an album", vectors, metadata)


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(*_: object) -> object:
        raise AssertionError("a file was read")

    return lambda: monkeypatch.setattr(entries, "read_image_file", refuse)


UNCHANGED = dict.fromkeys(IDS, "unchanged")


def test_a_moved_album_is_unchanged_and_no_file_is_read(
    album: Album, nothing_is_read: Callable[[], None]
) -> None:
    shutil.copy(album.folder / "d.png", album.folder / "trip" / "d again.png")
    indexed = album.index(root=album.folder)
    assert indexed == {**dict.fromkeys(IDS, "indexed"), "trip/d again.png": "duplicate"}
    album.check()

    nothing_is_read()
    moved = album.move("another disk/album")
    again = {**UNCHANGED, "trip/d again.png": "duplicate"}
    assert album.index(root=moved, prune=True) == again
    record = album.engine.get("d.png")
    assert record is not None
    assert record.paths == (str(moved / "d.png"), str(moved / "trip" / "d again.png"))
    assert album.embedded == 0
    album.check()
    assert album.index() == again
    assert album.embedded == 0


def test_an_index_remembers_its_root(album: Album) -> None:
    album.index(root=album.folder)
    write_pictures(album.folder, ["new"])
    assert album.index()["new.png"] == "indexed"
    assert album.engine.add(album.folder / "new.png") == "new.png"
    assert album.index(album.folder / "trip") == {"a.png": "unchanged", "b.png": "unchanged"}
    assert album.ids() == sorted([*IDS, "new.png"])


def test_a_file_outside_the_root_keeps_its_absolute_path(album: Album, tmp_path: Path) -> None:
    album.index(root=album.folder)
    (elsewhere,) = write_pictures(tmp_path / "elsewhere", ["dog"])
    album.engine.index(elsewhere.parent)
    assert album.engine.add(elsewhere) == str(elsewhere)
    assert set(album.ids()) == {*IDS, str(elsewhere)}

    (album.folder / "d.png").rename(elsewhere.with_name("d.png"))
    elsewhere.rename(album.folder / "dog.png")
    assert album.index()["dog.png"] == "moved"
    assert album.engine.index(elsewhere.parent).counts["moved"] == 1
    assert set(album.ids()) == {*IDS[:3], "dog.png", str(elsewhere.with_name("d.png"))}


def test_gone_files_of_a_moved_album_are_pruned(album: Album) -> None:
    album.index(root=album.folder)
    moved = album.move("moved")
    (moved / "d.png").unlink()
    (moved / "trip" / "a.png").rename(moved / "home" / "a.png")
    report = album.engine.index(moved, root=moved, prune=True)
    removed = [outcome for outcome in report.outcomes if outcome.status == "removed"]
    assert {(o.uri, o.id) for o in removed} == {
        (str(moved / "d.png"), "d.png"),
        (str(moved / "trip" / "a.png"), "trip/a.png"),
    }
    assert album.ids() == ["home/a.png", "home/deep/c.png", "trip/b.png"]


def test_absolute_paths_that_were_stored_before_become_relative(
    album: Album, nothing_is_read: Callable[[], None]
) -> None:
    shutil.copy(album.folder / "d.png", album.folder / "trip" / "d again.png")
    album.engine.add(album.folder / "trip" / "a.png", metadata={"title": "A"})
    album.engine.add(album.folder / "d.png", id="chosen")
    album.engine.add(picture("no file"), id="no file")
    before = album.index()
    assert str(album.folder / "trip" / "a.png") in album.ids()

    nothing_is_read()
    again = album.index(root=album.folder)
    assert again == {path: "unchanged" if s == "indexed" else s for path, s in before.items()}
    assert album.embedded == 0
    assert album.ids() == sorted(["chosen", "no file", *IDS[:3]])
    assert album.engine.get("trip/a.png").metadata == {"title": "A"}  # type: ignore[union-attr]

    moved = album.move("moved")
    album.index(root=moved)
    assert album.engine.get("chosen").uri == str(moved / "d.png")  # type: ignore[union-attr]
    assert album.embedded == 0


def test_an_id_that_another_image_has_is_not_taken_from_it(album: Album) -> None:
    album.engine.index(album.folder / "d.png")
    album.engine.add(picture("other"), id="d.png")
    album.engine.index(album.folder / "trip", root=album.folder)
    assert set(album.ids()) == {str(album.folder / "d.png"), "d.png", *IDS[:2]}
    assert album.found("other") is None
    assert album.found("d") == str(album.folder / "d.png")


def test_of_a_file_that_was_added_again_at_its_new_path_the_last_record_stays(
    album: Album,
) -> None:
    album.engine.add(album.folder / "d.png", metadata={"title": "old"})
    album.index(root=album.folder)
    moved = album.move("moved")
    assert album.engine.add(moved / "d.png", metadata={"title": "new"}) == str(moved / "d.png")
    assert album.index(root=moved) == UNCHANGED
    album.check()
    assert album.engine.get("d.png").metadata == {"title": "new"}  # type: ignore[union-attr]


def test_a_copy_that_was_added_at_its_new_path_is_no_copy_any_more(album: Album) -> None:
    shutil.copy(album.folder / "d.png", album.folder / "e.png")
    album.index(root=album.folder)
    moved = album.move("moved")
    album.engine.add(moved / "e.png")
    album.index(root=moved)
    record = album.engine.get("d.png")
    assert record is not None
    assert record.paths == (str(moved / "d.png"),)


def test_there_is_one_root(album: Album, tmp_path: Path) -> None:
    album.index(root=album.folder)
    write_pictures(tmp_path / "second", ["cat"])
    before = dict(album.metadata.items("onnxsearch:records"))
    for root in (tmp_path / "second", album.folder / "trip", tmp_path):
        with pytest.raises(InvalidArgumentError, match=r"still there.*another namespace"):
            album.engine.index(root if root != tmp_path else album.folder, root=root)
    assert dict(album.metadata.items("onnxsearch:records")) == before
    album.check()

    album.engine.remove(IDS)
    album.engine.index(tmp_path / "second", root=tmp_path / "second")
    assert album.ids() == ["cat.png"]


def test_a_copy_of_an_album_may_replace_it(album: Album, tmp_path: Path) -> None:
    album.index(root=album.folder)
    album.folder = Path(shutil.copytree(album.folder, tmp_path / "copy"))
    assert album.index(root=album.folder) == UNCHANGED
    album.check()


def test_a_drive_that_is_not_mounted_loses_nothing(album: Album, tmp_path: Path) -> None:
    album.index(root=album.folder)
    drive, away = album.folder, album.folder.with_name("away")
    drive.rename(away)
    with pytest.raises(ImageNotFoundError):
        album.engine.index(drive, prune=True)
    drive.mkdir()
    write_pictures(tmp_path / "other", ["dog"])
    album.engine.index(tmp_path / "other")
    with pytest.raises(EmptySourceError):
        album.engine.index(drive, root=drive, prune=True)
    (drive / "trip").mkdir()
    write_pictures(drive, ["home/other"])
    with pytest.raises(InvalidArgumentError, match="mounted"):
        album.engine.index(drive, root=drive, prune=True)
    shutil.rmtree(drive)
    album.engine.remove("home/other.png")
    away.rename(drive)
    album.engine.remove(str(tmp_path / "other" / "dog.png"))
    assert album.index(prune=True) == UNCHANGED
    album.check()


@pytest.mark.parametrize("given", ["slash", "dots", "relative", "home", "link", "real"])
def test_each_way_to_name_the_root_means_the_same(
    album: Album, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = album.folder
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    link = folder.with_name("link")
    link.symlink_to(folder)
    names: dict[str, str | Path] = {
        "slash": f"{folder}/",
        "dots": folder / "trip" / "..",
        "relative": folder.name,
        "home": f"~/{folder.name}",
        "link": link,
        "real": folder,
    }
    source = link if given == "real" else folder
    report = album.engine.index(source, root=names[given])
    assert report.counts["indexed"] == len(IDS)
    assert album.ids() == sorted(IDS)
    named = link if given == "link" else folder
    assert {album.found(name) for name in NAMES} == {str(named / id) for id in IDS}
    for again in (folder, link):
        assert album.engine.index(again, prune=True).counts["unchanged"] == len(IDS)
        assert album.engine.index([again / id for id in IDS]).counts["unchanged"] == len(IDS)
    (folder / "d.png").unlink()
    assert album.engine.index(source, prune=True).counts["removed"] == 1


def test_odd_names_are_kept_as_they_are(album: Album) -> None:
    odd = [b"\xe9t\xe9.png", "cafe\u0301.png".encode(), b" a\\b\n.png", b"Trip", b"trip "]
    for number, name in enumerate(odd):
        path = os.path.join(os.fsencode(album.folder), name)
        if not name.endswith(b"png"):
            os.mkdir(path)
            path = os.path.join(path, b"x.png")
        with open(path, "wb") as file:
            file.write(picture_bytes(f"odd {number}"))
    album.index(root=album.folder)
    ids = album.ids()
    assert {os.fsdecode(name) for name in odd[:3]} | {"Trip/x.png", "trip /x.png"} < set(ids)
    moved = album.move("moved \udce9")
    assert set(album.index(root=moved, prune=True).values()) == {"unchanged"}
    assert album.ids() == ids
    assert album.found("odd 0") == str(moved / os.fsdecode(odd[0]))


def test_the_root_may_be_the_root_of_all_files(album: Album) -> None:
    album.index(root="/")
    assert album.ids() == sorted(str(album.folder / id)[1:] for id in IDS)
    assert album.found("d") == str(album.folder / "d.png")
    assert set(album.index().values()) == {"unchanged"}


def test_a_root_that_does_not_fit_is_refused_before_anything_is_stored(
    album: Album, tmp_path: Path
) -> None:
    other = tmp_path / "an album of others"
    write_pictures(other, ["cat"])
    bad: list[tuple[object, object, str]] = [
        (album.folder, album.folder / "d.png", "is not a folder"),
        (album.folder, tmp_path / "nowhere", "does not exist"),
        (other, album.folder, "an album of others' is outside root"),
        ([album.folder / "d.png", other / "cat.png"], album.folder, "cat.png' is outside root"),
        (tmp_path, album.folder, "is outside root"),
        (album.folder, 7, "root"),
        (album.folder, "", "root"),
    ]
    for source, root, message in bad:
        with pytest.raises(InvalidArgumentError, match=message):
            album.engine.index(source, root=root)  # type: ignore[arg-type]
    assert album.engine.count() == 0
    album.index()
    assert album.ids() == sorted(str(album.folder / id) for id in IDS)


def test_another_engine_sees_that_the_album_has_moved(album: Album) -> None:
    other = SearchEngine(FakeEmbedder(), album.vectors, album.metadata)
    album.index(root=album.folder)
    assert other.search(picture("d"), limit=1)[0].uri == str(album.folder / "d.png")
    moved = album.move("moved")
    album.index(root=moved)
    assert other.search(picture("d"), limit=1)[0].uri == str(moved / "d.png")
    assert other.add(moved / "d.png") == "d.png"
    album.check()


def test_what_was_stored_by_a_process_that_did_not_know_the_root_gets_its_id(
    album: Album,
) -> None:
    path = album.folder / "d.png"
    album.engine.index([path], metadata={"title": "D"})
    catalog = album.engine._catalog
    late = catalog.records.find([str(path)])[str(path)]
    vectors = catalog.vectors_of([late])[late.key]
    album.engine.remove(str(path))
    album.engine.index(album.folder / "trip", root=album.folder)
    catalog.put([NewImage(late.record, vectors)])

    assert album.index() == {**UNCHANGED, "home/deep/c.png": "indexed", "d.png": "moved"}
    assert album.engine.get("d.png").metadata == {"title": "D"}  # type: ignore[union-attr]
    assert album.index() == UNCHANGED
    album.check()


def test_a_root_that_cannot_be_read_is_set_again(album: Album) -> None:
    album.index(root=album.folder)
    album.metadata.commit({Cell("onnxsearch:identity", "root"): b'{"path": 7}'})
    other = SearchEngine(FakeEmbedder(), album.vectors, album.metadata)
    for call in (lambda: other.get("d.png"), lambda: other.index(album.folder)):
        with pytest.raises(StoreCorruptError, match="root of an index"):
            call()
    report = other.verify(repair=True)
    assert report.counts[Defect.UNREADABLE_CELL] == 1
    assert album.index(root=album.folder) == UNCHANGED
    album.check()


def test_info_says_where_the_album_is(album: Album) -> None:
    album.index()
    assert album.engine.info().root is None
    album.index(root=album.folder)
    moved = album.move("moved")
    album.index(root=moved)
    assert album.engine.info().root == str(moved)
    assert f"paths relative to {str(moved)!r}" in str(album.engine.info())


def test_a_root_that_was_set_half_is_set_by_the_next_run(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxsearch.catalog import relocation

    album.index()
    with monkeypatch.context() as patch:
        patch.setattr(relocation, "_CHANGES", 1)
        commit, done = album.metadata.commit, iter(range(3))

        def die(*arguments: object, **options: object) -> bool:
            next(done)
            return commit(*arguments, **options)  # type: ignore[arg-type]

        patch.setattr(album.metadata, "commit", die)
        with pytest.raises(StopIteration):
            album.engine.index(album.folder, root=album.folder)
    assert len(set(album.ids()) & set(IDS)) == 2
    assert album.index() == UNCHANGED
    album.check()


def test_models_and_records_of_a_moved_album_work(album: Album, tmp_path: Path) -> None:
    album.index(root=album.folder)
    moved = album.move("moved")
    album.index(root=moved)
    two = FakeEmbedder("two", 8)
    both = SearchEngine([album.fake, two], album.vectors, album.metadata)
    assert both.backfill("two").failures == []
    both.drop_model("fake")
    assert both.search(picture("d"), limit=1)[0].uri == str(moved / "d.png")
    assert both.verify(repair=True).ok
    assert sorted(r.id for r in both._catalog.records.values()) == sorted(IDS)
    page = tmp_path / "page.html"
    both.search(picture("d")).to_html(page)
    assert "data:image" in page.read_text(encoding="utf-8")


def test_a_snapshot_of_an_album_is_loaded_where_the_album_is(
    album: Album, tmp_path: Path, nothing_is_read: Callable[[], None]
) -> None:
    album.index(root=album.folder)
    album.engine.save_snapshot(tmp_path / "snapshot.zip")
    here = album.folder
    there = Path(shutil.copytree(here, tmp_path / "there"))
    nothing_is_read()

    first = Album(tmp_path / "there", InMemoryVectorStore(), InMemoryMetadataStore())
    first.engine.load_snapshot(tmp_path / "snapshot.zip")
    assert first.engine.get("d.png") == album.engine.get("d.png")
    assert first.index(root=there) == UNCHANGED
    first.check()
    assert first.engine.load_snapshot(tmp_path / "snapshot.zip").unchanged == len(IDS)
    first.check()

    second = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    assert first.engine.copy_to(second).copied == len(IDS)
    assert second.get("d.png") == first.engine.get("d.png")


def test_images_of_another_album_keep_the_paths_of_their_files(
    album: Album, tmp_path: Path
) -> None:
    album.index(root=album.folder)
    write_pictures(tmp_path / "other", ["own"])
    fake = FakeEmbedder()
    other = SearchEngine(fake, InMemoryVectorStore(), InMemoryMetadataStore())
    other.index(tmp_path / "other", root=tmp_path / "other")
    album.engine.copy_to(other)
    assert other.get("d.png").uri == str(album.folder / "d.png")  # type: ignore[union-attr]
    assert other.index(tmp_path / "other", prune=True).counts["removed"] == 0
    shutil.copy(album.folder / "d.png", tmp_path / "other" / "d.png")
    assert other.index(tmp_path / "other").failures == []
    assert sum(fake.calls.batches) == 1
    assert other.get("d.png").uri == str(tmp_path / "other" / "d.png")  # type: ignore[union-attr]


# The index moves too.


def open_at(location: Path) -> SearchEngine:
    return SearchEngine.open(location, embedders=FakeEmbedder(), workers=1)


def paths_at(location: Path) -> set[str]:
    with open_at(location) as engine:
        return {str(hit.uri) for hit in engine.search(picture("d"), limit=9)}


@pytest.mark.parametrize(
    ("index", "moved"), [("album/.onnxsearch", "new/.onnxsearch"), ("index", "index")]
)
def test_an_index_and_its_album_move_together(
    tmp_path: Path, index: str, moved: str, nothing_is_read: Callable[[], None]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_pictures(here / "album", NAMES)
    with open_at(here / index) as engine:
        engine.index(here / "album", root=here / "album")
    if "/" in index:
        there.mkdir()
        (here / "album").rename(there / "new")
        album = there / "new"
    else:
        here.rename(there)
        album = there / "album"

    nothing_is_read()
    assert paths_at(there / moved) == {str(album / id) for id in IDS}
    with open_at(there / moved) as engine:
        assert engine.index(album, prune=True).counts["unchanged"] == len(IDS)
    album.rename(there / "once more")
    if "/" in index:
        assert paths_at(there / "once more/.onnxsearch") == {
            str(there / "once more" / id) for id in IDS
        }


def test_an_index_moves_without_its_album(tmp_path: Path) -> None:
    album = tmp_path / "album"
    write_pictures(album, NAMES)
    with open_at(album / ".onnxsearch") as engine:
        engine.index(album, root=album)
    (album / ".onnxsearch").rename(tmp_path / "index")
    for _ in range(2):
        assert paths_at(tmp_path / "index") == {str(album / id) for id in IDS}
        with open_at(tmp_path / "index") as engine:
            assert engine.index(album).counts["unchanged"] == len(IDS)


def test_a_copy_of_an_album_with_its_index_is_an_album_of_its_own(tmp_path: Path) -> None:
    album, copy = tmp_path / "album", tmp_path / "copy"
    write_pictures(album, NAMES)
    with open_at(album / ".onnxsearch") as engine:
        engine.index(album, root=album)
    shutil.copytree(album, copy)
    assert paths_at(copy / ".onnxsearch") == {str(copy / id) for id in IDS}
    with open_at(copy / ".onnxsearch") as engine:
        assert engine.index(copy, root=copy, prune=True).counts["unchanged"] == len(IDS)
    assert paths_at(album / ".onnxsearch") == {str(album / id) for id in IDS}


@pytest.mark.integration
def test_an_album_that_is_moved_away_from_its_index_is_found_in_another_process(
    tmp_path: Path,
) -> None:
    album, index = tmp_path / "album", tmp_path / "index"
    write_pictures(album, NAMES)
    with open_at(index) as engine:
        engine.index(album, root=album)
    album.rename(tmp_path / "moved")
    script = (
        "import sys; from onnxsearch import SearchEngine\n"
        "from onnxsearch.testing import FakeEmbedder\n"
        "with SearchEngine.open(sys.argv[1], embedders=FakeEmbedder(), workers=1) as engine:\n"
        "    print(engine.index(sys.argv[2], root=sys.argv[2], prune=True).counts['unchanged'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(index), str(tmp_path / "moved")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [str(len(IDS))]
    assert paths_at(index) == {str(tmp_path / "moved" / id) for id in IDS}


@pytest.mark.integration
@pytest.mark.parametrize("store", ["lite", "server"])
def test_an_album_moves_with_milvus_and_redis(store: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(tmp_path / "redis").start())
        if store == "lite":
            address = str(tmp_path / "album.db")
        else:
            address = stack.enter_context(MilvusServer(tmp_path / "milvus").start()).url
        vectors = stack.enter_context(MilvusVectorStore(address))
        metadata = stack.enter_context(RedisMetadataStore(redis.url))
        write_pictures(tmp_path / "album", NAMES)
        album = Album(tmp_path / "album", vectors, metadata)
        album.index()
        album.index(root=album.folder)
        assert album.index(root=album.move("moved"), prune=True) == UNCHANGED
        album.check()
        assert album.embedded == 0
