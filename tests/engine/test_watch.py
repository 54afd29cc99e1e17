"""A folder that is watched: whatever happens to its files, the index follows."""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onnxsearch import (
    ImageNotFoundError,
    IndexReport,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    OnnxSearchError,
    SearchEngine,
    Status,
    StoreUnavailableError,
)
from onnxsearch.indexing import watching
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.engine.stores import assert_consistent

watchfiles = pytest.importorskip("watchfiles")

# They wait for events of a real file system.
pytestmark = pytest.mark.integration

PATIENCE = 30.0
"""Seconds after which a test gives up; what it waits for takes less than one."""


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Watched:
    """A folder that a thread watches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.engine = SearchEngine(FakeEmbedder(), self.vectors, self.metadata)
        self.stop = threading.Event()
        self.reports: queue.Queue[IndexReport | BaseException] = queue.Queue()
        self.thread = threading.Thread(target=lambda: None)
        self.seen: list[IndexReport] = []

    def start(self, **options: object) -> IndexReport:
        reports = self.engine.watch(
            self.folder,
            stop_event=self.stop,
            **{"quiet": 0.1, **options},  # type: ignore[arg-type]
        )

        def follow() -> None:
            try:
                for report in reports:
                    self.reports.put(report)
            except BaseException as error:
                self.reports.put(error)

        self.thread = threading.Thread(target=follow)
        self.thread.start()
        return self.next()

    def next(self) -> IndexReport:
        report = self.reports.get(timeout=PATIENCE)
        if isinstance(report, BaseException):
            raise report
        self.seen.append(report)
        return report

    def statuses(self) -> dict[str, str]:
        """The last status that was reported of each file, by its path below the folder."""
        while not self.reports.empty():
            self.next()
        return {
            os.path.relpath(o.uri, self.folder): o.status.value
            for report in self.seen
            for o in report.outcomes
        }

    def wait_for(self, **status: str) -> None:
        """Wait until these were the last that was reported; `_` stands for a dot."""
        expected = {name.replace("_", "."): value for name, value in status.items()}
        wait_until(lambda: expected.items() <= self.statuses().items())

    def shown(self) -> set[str]:
        return {os.path.relpath(str(r.uri), self.folder) for r in self.engine.records()}

    def write(self, name: str, shown: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes(shown))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    folder = tmp_path / "watched"
    write_pictures(folder, ["a", "b"])
    watched = Watched(folder)
    yield watched
    watched.stop.set()
    if watched.thread.ident is not None:
        watched.thread.join(PATIENCE)
        assert not watched.thread.is_alive()
    assert_consistent(watched.vectors, watched.metadata)


def test_what_happens_to_files_is_followed(watched: Watched) -> None:
    first = watched.start()
    assert first.counts["indexed"] == 2

    watched.write("c.png", "c")
    watched.wait_for(c_png="indexed")
    watched.write("a.png", "another")
    wait_until(lambda: watched.engine.search(picture("another"), limit=1)[0].distance < 1e-3)
    (watched.folder / "b.png").rename(watched.folder / "d.png")
    watched.wait_for(d_png="moved")
    (watched.folder / "c.png").unlink()
    watched.wait_for(c_png="removed")
    assert watched.shown() == {"a.png", "d.png"}


def test_a_report_holds_what_has_changed_and_nothing_else(watched: Watched) -> None:
    (watched.folder / "notes.txt").write_text("notes", encoding="utf-8")
    (watched.folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    first = watched.start()
    assert first.counts | {"indexed": 2, "skipped": 1, "broken": 1} == first.counts
    for number in range(2):
        watched.write(f"{number}.png", f"new {number}")
        watched.wait_for(**{f"{number}_png": "indexed"})
        (watched.folder / f"{number}.png").unlink()
        watched.wait_for(**{f"{number}_png": "removed"})
    files = [os.path.basename(o.uri) for report in watched.seen[1:] for o in report.outcomes]
    assert files == ["0.png", "0.png", "1.png", "1.png"]


def test_folders_that_come_and_go_are_followed(watched: Watched, tmp_path: Path) -> None:
    watched.start()
    write_pictures(tmp_path / "trip", ["deep/x", "y"])
    (tmp_path / "trip").rename(watched.folder / "trip")
    wait_until(lambda: {"trip/deep/x.png", "trip/y.png"} < watched.shown())
    watched.write("trip/deep/z.png", "z")
    wait_until(lambda: "trip/deep/z.png" in watched.shown())
    (watched.folder / "trip").rename(watched.folder / "journey")
    wait_until(lambda: {"journey/deep/x.png", "journey/deep/z.png"} < watched.shown())
    shutil.rmtree(watched.folder / "journey")
    wait_until(lambda: watched.shown() == {"a.png", "b.png"})


def test_a_file_that_is_still_written_is_indexed_when_it_is_whole(watched: Watched) -> None:
    watched.start(quiet=0.6)
    data = picture_bytes("slow")
    with open(watched.folder / "slow.png", "wb") as file:
        for start in range(0, len(data), len(data) // 4):
            file.write(data[start : start + len(data) // 4])
            file.flush()
            watched.stop.wait(0.25)
    watched.wait_for(slow_png="indexed")
    statuses = [o.status for report in watched.seen[1:] for o in report.outcomes]
    assert statuses == [Status.INDEXED]


def test_a_half_file_is_broken_until_the_rest_comes(watched: Watched) -> None:
    watched.start()
    data = picture_bytes("half")
    (watched.folder / "half.png").write_bytes(data[: len(data) // 2])
    watched.wait_for(half_png="broken")
    (watched.folder / "half.png").write_bytes(data)
    watched.wait_for(half_png="indexed")


def test_hidden_excluded_and_linked_entries_are_left_out(watched: Watched, tmp_path: Path) -> None:
    write_pictures(tmp_path / "elsewhere", ["e"])
    (watched.folder / "link").symlink_to(tmp_path / "elsewhere")
    watched.start(exclude=["*.gif", "raw/"])
    for name in (".hidden.png", ".cache/x.png", "raw/y.png", "z.gif", "link2"):
        if name == "link2":
            (watched.folder / name).symlink_to(tmp_path / "elsewhere")
        else:
            watched.write(name, name)
    watched.write("last.png", "last")
    watched.wait_for(last_png="indexed")
    assert watched.shown() == {"a.png", "b.png", "last.png"}
    assert [o.uri for r in watched.seen[1:] for o in r.outcomes] == [
        str(watched.folder / "last.png")
    ]


def test_a_burst_of_files_is_indexed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_MANY", 20)
    watched.start()
    for number in range(60):
        watched.write(f"burst/{number}.png", f"burst {number}")
    wait_until(lambda: len(watched.shown()) == 62)


def test_a_folder_that_is_gone_loses_nothing(watched: Watched) -> None:
    watched.start()
    away = watched.folder.with_name("away")
    watched.folder.rename(away)
    gone = watched.next()
    assert [o.status for o in gone.failures] == [Status.MISSING]
    assert "is gone" in str(gone.failures[0].error)
    assert watched.engine.count() == 2
    (away / "c.png").write_bytes(picture_bytes("c"))
    away.rename(watched.folder)
    watched.wait_for(c_png="indexed")
    watched.write("d.png", "d")
    watched.wait_for(d_png="indexed")
    assert watched.shown() == {"a.png", "b.png", "c.png", "d.png"}


def test_a_folder_that_was_emptied_like_a_drive_is_not_pruned(watched: Watched) -> None:
    watched.write("drive/deep/c.png", "c")
    watched.start()
    drive, away = watched.folder / "drive", watched.folder.with_name("away")
    drive.mkdir(exist_ok=True)
    (drive / "deep").rename(away)
    wait_until(lambda: "." in watched.statuses())
    (refused,) = [o for r in watched.seen for o in r.failures]
    assert "nothing was removed" in str(refused.error)
    assert watched.engine.count() == 3
    away.rename(drive / "deep")
    watched.write("d.png", "d")
    watched.wait_for(d_png="indexed")
    (watched.folder / "a.png").unlink()
    watched.wait_for(a_png="removed")


def test_each_file_of_a_folder_may_be_removed(watched: Watched) -> None:
    watched.start()
    for name in ("a.png", "b.png"):
        (watched.folder / name).unlink()
    watched.wait_for(a_png="removed", b_png="removed")
    assert watched.engine.count() == 0


def test_without_prune_nothing_is_removed(watched: Watched) -> None:
    watched.start(prune=False)
    (watched.folder / "a.png").unlink()
    watched.write("c.png", "c")
    watched.wait_for(c_png="indexed")
    assert watched.shown() == {"a.png", "b.png", "c.png"}


def test_a_folder_may_be_empty_at_first(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    inbox = Watched(tmp_path / "inbox")
    assert inbox.start().outcomes == ()
    inbox.write("a.png", "a")
    inbox.wait_for(a_png="indexed")
    inbox.stop.set()
    inbox.thread.join(PATIENCE)


def test_changes_while_the_first_report_is_made_are_not_missed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = watching.read_source

    def read_and_change(*arguments: object, **options: object) -> object:
        monkeypatch.undo()
        found = read(*arguments, **options)  # type: ignore[arg-type]
        watched.write("c.png", "c")
        return found

    monkeypatch.setattr(watching, "read_source", read_and_change)
    assert watched.start().counts["indexed"] == 2
    watched.wait_for(c_png="indexed")


def test_an_album_with_a_root_is_watched(watched: Watched) -> None:
    watched.start(root=watched.folder)
    watched.write("trip/c.png", "c")
    wait_until(lambda: watched.engine.get("trip/c.png") is not None)
    (watched.folder / "trip" / "c.png").unlink()
    wait_until(lambda: watched.engine.get("trip/c.png") is None)


def test_polling_finds_changes_too(watched: Watched) -> None:
    watched.start(polling=True)
    watched.write("c.png", "c")
    watched.wait_for(c_png="indexed")


def test_names_that_are_no_text_are_followed(watched: Watched) -> None:
    watched.start()
    name = os.path.join(os.fsencode(watched.folder), b"\xe9t\xe9.png")
    with open(name, "wb") as file:
        file.write(picture_bytes("odd"))
    wait_until(lambda: watched.engine.count() == 3)


@pytest.mark.parametrize(
    "place",
    [".onnxsearch", "index", pytest.param("album.db", marks=pytest.mark.integration)],
)
def test_an_index_in_its_own_folder_does_not_wake_itself(tmp_path: Path, place: str) -> None:
    if place == "album.db":
        pytest.importorskip("milvus_lite")
    write_pictures(tmp_path / "album", ["a"])
    location = tmp_path / "album" / place
    with SearchEngine.open(location, embedders=FakeEmbedder(), workers=1) as engine:
        stop = threading.Event()
        reports = engine.watch(tmp_path / "album", quiet=0.1, include_hidden=True, stop_event=stop)
        assert next(reports).counts["indexed"] == 1
        write_pictures(tmp_path / "album", ["b"])
        assert next(reports).counts["indexed"] == 1
        threading.Timer(0.8, stop.set).start()
        assert list(reports) == []


def test_an_error_of_a_store_ends_it_and_the_next_watch_continues(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.start()

    def fail(*_: object, **__: object) -> bool:
        raise StoreUnavailableError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(watched.metadata, "commit", fail)
        watched.write("c.png", "c")
        with pytest.raises(StoreUnavailableError):
            watched.next()
    watched.thread.join(PATIENCE)
    assert watched.start().counts["indexed"] == 1


def test_it_ends_when_it_is_closed_or_stopped(watched: Watched) -> None:
    with_break = watched.engine.watch(watched.folder)
    for _ in with_break:
        break
    with_break.close()
    watched.stop.set()
    assert list(watched.engine.watch(watched.folder, stop_event=watched.stop)) == []


def test_bad_arguments_are_refused_at_once(watched: Watched, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError):
        watched.engine.watch(tmp_path / "nowhere")
    with pytest.raises(InvalidArgumentError, match="is a file"):
        watched.engine.watch(watched.folder / "a.png")
    with pytest.raises(InvalidArgumentError, match="quiet"):
        watched.engine.watch(watched.folder, quiet=-1)
    with pytest.raises(InvalidArgumentError, match="root"):
        watched.engine.watch(watched.folder, root=tmp_path / "nowhere")
    with pytest.raises(InvalidArgumentError, match="outside root"):
        next(watched.engine.watch(tmp_path, root=watched.folder))


def test_a_limit_of_the_system_names_the_remedy(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Iterator[object]:
        raise RuntimeError("OS file watch limit reached.")
        yield

    monkeypatch.setattr(watchfiles, "watch", refuse)
    with pytest.raises(OnnxSearchError, match=r"max_user_watches.*polling=True"):
        next(watched.engine.watch(watched.folder))
