"""Files that are renamed, moved, swapped or copied: records, metadata and vectors follow them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import pytest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    Status,
)
from onnxsearch.catalog import batching
from onnxsearch.metadata import base
from onnxsearch.metadata.base import Cell
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.engine.stores import assert_consistent


class House:
    """An engine on stores of its own, and a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.fake = FakeEmbedder()
        self.engine = SearchEngine(self.fake, self.vectors, self.metadata)

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, shown: str) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes(shown))
        return path

    def add(self, name: str, **metadata: str) -> str:
        return self.engine.add(self.path(name), metadata=metadata)

    def index(self, **options: object) -> dict[str, str]:
        report = self.engine.index(self.folder, **options)  # type: ignore[arg-type]
        assert_consistent(self.vectors, self.metadata)
        assert report.failures == []
        return {os.path.relpath(o.uri, self.folder): o.status.value for o in report.outcomes}

    def metadata_of(self, name: str) -> dict[str, object] | None:
        record = self.engine.get(str(self.path(name)))
        return None if record is None else dict(record.metadata)

    def shown_by(self, name: str) -> list[str]:
        """The stored files that show the picture `name`, by their vectors."""
        hits = self.engine.search(picture(name), limit=100)
        return sorted(os.path.relpath(h.id, self.folder) for h in hits if h.distance < 1e-3)

    @property
    def models_run(self) -> int:
        return sum(self.fake.calls.batches)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "pictures")


def test_a_renamed_file_keeps_all_that_is_stored_of_it(house: House) -> None:
    house.write("b.png", "cat")
    house.add("b.png", title="the cat")
    run = house.models_run
    house.path("b.png").rename(house.path("a.png"))

    assert house.index() == {"a.png": "moved"}
    assert house.models_run == run
    assert house.metadata_of("a.png") == {"title": "the cat"}
    assert house.metadata_of("b.png") is None
    assert house.shown_by("cat") == ["a.png"]
    assert house.index() == {"a.png": "unchanged"}


def test_a_folder_that_is_renamed_keeps_its_images(house: House) -> None:
    names = [f"{number:03}" for number in range(100)]
    write_pictures(house.path("trip"), names)
    house.index(metadata=lambda path: {"name": path.stem})
    run = house.models_run
    house.path("trip").rename(house.path("trip to the sea"))

    found = house.index(prune=True)
    assert list(found.values()).count("moved") == 100
    assert list(found.values()).count("removed") == 100
    assert house.models_run == run
    assert house.engine.count() == 100
    assert house.metadata_of("trip to the sea/042.png") == {"name": "042"}


class CountingStore(InMemoryMetadataStore):
    """Counts how often it is asked, and how often it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.commits = 0

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        self.reads += 1
        return super()._get_many(table, keys)

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        self.commits += 1
        return super()._commit(writes, expect)


def test_renamed_files_are_looked_up_and_stored_many_at_a_time(tmp_path: Path) -> None:
    store, fake = CountingStore(), FakeEmbedder()
    engine = SearchEngine(fake, InMemoryVectorStore(), store, batch_size=16)
    write_pictures(tmp_path / "trip", [f"{number:03}" for number in range(300)])
    engine.index(tmp_path)
    run = sum(fake.calls.batches)
    (tmp_path / "trip").rename(tmp_path / "trip to the sea")

    store.reads = store.commits = 0
    assert engine.index(tmp_path).counts[Status.MOVED] == 300
    assert store.reads < 150  # three for each batch of a worker, and some for each commit
    assert store.commits <= 6  # three for each of two batches
    assert sum(fake.calls.batches) == run
    assert engine.verify().ok


def test_files_that_change_places_with_files_of_large_metadata_move(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MAX_BYTES", 2**17)
    monkeypatch.setattr(batching, "BATCH_BYTES", 2**14)
    for number in range(36):
        house.write(f"large/{number}.png", f"large {number}")
        house.write(f"small/{number}.png", f"small {number}")
    text = "x" * 2**12
    house.index(metadata=lambda path: {"text": text} if path.parent.name == "large" else {})
    rotate(house, "large", "small")

    house.index()  # the large metadata together are more than a commit takes
    assert house.metadata_of("small/7.png") == {"text": text}
    assert house.metadata_of("large/7.png") == {}


def test_an_id_of_the_caller_stays_when_its_file_moves(house: House) -> None:
    id = house.engine.add(house.write("b.png", "cat"), id="cat", metadata={"v": 1})
    house.path("b.png").rename(house.path("a.png"))
    assert house.index() == {"a.png": "moved"}
    record = house.engine.get(id)
    assert record is not None
    assert (record.uri, record.metadata) == (str(house.path("a.png")), {"v": 1})
    assert house.index() == {"a.png": "duplicate"}
    assert house.engine.count() == 1


def test_a_moved_file_gets_the_models_that_it_lacks(house: House) -> None:
    house.write("b.png", "cat")
    house.index()
    house.path("b.png").rename(house.path("a.png"))
    two = FakeEmbedder("two", 8)
    both = SearchEngine([house.fake, two], house.vectors, house.metadata)
    run = house.models_run
    both.index(house.folder)
    assert house.models_run == run
    for model in both.models:
        (hit,) = both.search(picture("cat"), model=model)
        assert (hit.id, hit.distance < 1e-3) == (str(house.path("a.png")), True)
    assert_consistent(house.vectors, house.metadata)


def rotate(house: House, *names: str) -> None:
    """Give each file the name of the next one."""
    for name in names:
        house.path(name).rename(house.path(f"{name}.moving"))
    for name, following in zip(names, (*names[1:], names[0]), strict=True):
        house.path(f"{name}.moving").rename(house.path(following))


@pytest.mark.parametrize("names", [("a.png", "b.png"), ("a.png", "b.png", "c.png")])
def test_files_that_change_places_take_their_metadata_along(
    house: House, names: tuple[str, ...]
) -> None:
    for number, name in enumerate(names):
        house.write(name, f"picture {name}")
        house.add(name, was=name)
        os.utime(house.path(name), ns=(number, number))
        house.index()
    run = house.models_run
    rotate(house, *names)
    house.index()
    assert house.models_run == run
    for name, following in zip(names, (*names[1:], names[0]), strict=True):
        assert house.metadata_of(following) == {"was": name}
        assert house.shown_by(f"picture {name}") == [following]
    assert set(house.index().values()) == {"unchanged"}


def test_a_file_that_made_room_for_another_one_keeps_its_metadata(house: House) -> None:
    """Whichever of the two is met first."""
    for old, new in (("a.png", "b.png"), ("d.png", "c.png")):
        house.write(old, f"first {old}")
        house.add(old, of="the first")
        house.path(old).rename(house.path(new))
        house.write(old, f"second {old}")
    house.index()
    for old, new in (("a.png", "b.png"), ("d.png", "c.png")):
        assert house.metadata_of(new) == {"of": "the first"}
        assert house.metadata_of(old) == {}
        assert house.shown_by(f"second {old}") == [old]


def test_a_file_that_takes_the_place_of_another_one_brings_its_metadata(house: House) -> None:
    for name in ("a.png", "b.png"):
        house.write(name, name)
        house.add(name, of=name)
    house.path("b.png").rename(house.path("a.png"))
    assert house.index(prune=True)["a.png"] == "moved"
    assert house.metadata_of("a.png") == {"of": "b.png"}
    assert house.metadata_of("b.png") is None
    assert house.shown_by("b.png") == ["a.png"]
    assert house.shown_by("a.png") == []


def test_a_copy_of_an_indexed_file_that_was_added_stays(house: House) -> None:
    house.write("a.png", "cat")
    house.index()
    shutil.copy(house.path("a.png"), house.path("b.png"))
    house.add("b.png", title="my treasure")
    for _ in range(2):
        assert house.index() == {"a.png": "unchanged", "b.png": "unchanged"}
    assert house.metadata_of("b.png") == {"title": "my treasure"}


def test_what_is_stored_wins_over_a_copy_that_comes_first(house: House) -> None:
    house.write("b.png", "cat")
    house.add("b.png", caption="grandmother, 1961")
    house.write("a.png", "cat")
    os.utime(house.path("b.png"), ns=(1, 1))
    assert house.index() == {"a.png": "duplicate", "b.png": "unchanged"}
    assert house.metadata_of("b.png") == {"caption": "grandmother, 1961"}


def test_a_file_with_metadata_that_becomes_a_copy_keeps_its_place(house: House) -> None:
    for name in ("a.png", "b.png", "c.png"):
        house.write(name, name)
    house.index()
    house.add("b.png", title="mine")
    for name in ("b.png", "c.png"):
        house.write(name, "a.png")
    assert house.index() == {"a.png": "unchanged", "b.png": "indexed", "c.png": "duplicate"}
    assert house.metadata_of("b.png") == {"title": "mine"}
    assert house.shown_by("a.png") == ["a.png", "b.png"]


def test_two_runs_in_different_order_leave_one_of_two_equal_files(house: House) -> None:
    """Each run holds the other file for the twin of its own."""
    for name in ("a.png", "b.png"):
        house.write(name, name)
    house.index()
    for name in ("a.png", "b.png"):
        house.write(name, "same")
    catalog = house.engine._catalog
    give_up = catalog.give_up
    other = SearchEngine(FakeEmbedder(), house.vectors, house.metadata)

    def be_overtaken(*images: object) -> bool:
        catalog.give_up = give_up  # type: ignore[method-assign]
        other.index([house.path("b.png"), house.path("a.png")])
        return give_up(*images)  # type: ignore[arg-type]

    catalog.give_up = be_overtaken  # type: ignore[method-assign]
    house.engine.index([house.path("a.png"), house.path("b.png")])
    assert len(house.shown_by("same")) >= 1
    assert set(house.index().values()) <= {"unchanged", "duplicate"}
    assert len(house.shown_by("same")) >= 1


def test_an_image_that_is_added_during_a_run_is_not_replaced(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("a.png", "cat")
    run = house.fake.run

    def add_meanwhile(batch: object) -> object:
        monkeypatch.setattr(house.fake, "run", run)
        SearchEngine(FakeEmbedder(), house.vectors, house.metadata).add(
            house.path("a.png"), metadata={"title": "mine"}
        )
        return run(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(house.fake, "run", add_meanwhile)
    assert house.index() == {"a.png": "unchanged"}
    assert house.metadata_of("a.png") == {"title": "mine"}


def test_copies_that_are_known_are_not_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("a.png", "cat")
    for number in range(70):
        shutil.copy(house.path("a.png"), house.path(f"copy{number:02}.png"))
    assert list(house.index().values()).count("duplicate") == 70

    def refuse(*_: object) -> object:
        raise AssertionError("a file was read")

    with monkeypatch.context() as patch:
        patch.setattr("onnxsearch.indexing.entries.read_image_file", refuse)
        assert list(house.index().values()).count("duplicate") == 70

    # One of them takes the place of a twin that is gone.
    house.path("a.png").unlink()
    found = house.index(prune=True)
    assert list(found.values()).count("moved") == 1
    assert house.engine.count() == 1
    house.engine.remove(str(house.path("copy00.png")))
    found = house.index()
    assert list(found.values()).count("indexed") == 1
    assert house.engine.count() == 1


def test_a_file_is_decoded_from_the_bytes_that_were_hashed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes while it is looked at is stored as it was, and found changed later."""
    path = house.write("a.png", "cat")
    os.utime(path, ns=(1, 1))
    prepare = house.fake.prepare

    def change_before(image: object) -> object:
        monkeypatch.setattr(house.fake, "prepare", prepare)
        path.write_bytes(picture_bytes("dog"))
        return prepare(image)  # type: ignore[arg-type]

    monkeypatch.setattr(house.fake, "prepare", change_before)
    house.index()
    assert house.shown_by("cat") == ["a.png"]
    assert house.index() == {"a.png": "indexed"}
    assert house.shown_by("dog") == ["a.png"]
    assert house.shown_by("cat") == []


def test_add_keeps_what_index_keeps(house: House) -> None:
    path = house.write("a.png", "cat")
    house.index()
    indexed = house.engine.get(str(path))
    house.engine.remove(str(path))
    house.engine.add(path)
    assert house.engine.get(str(path)) == indexed
    assert indexed is not None
    for source in (path.read_bytes(), BytesIO(path.read_bytes())):
        record = house.engine.get(house.engine.add(source))
        assert record is not None
        assert (record.content, record.size) == (indexed.content, indexed.size)
        assert (record.uri, record.modified_ns) == (None, None)


@pytest.mark.parametrize("add", [True, False])
def test_a_backfill_embeds_only_what_was_stored(house: House, add: bool) -> None:
    path = house.write("a.png", "cat")
    if add:
        house.add("a.png")
    else:
        house.index()
    path.write_bytes(picture_bytes("dog"))
    both = SearchEngine([house.fake, FakeEmbedder("two", 8)], house.vectors, house.metadata)
    (failure,) = both.backfill("two").failures
    assert failure.status is Status.MISSING
    assert len(both.search(picture("dog"), model="two")) == 0


def test_a_file_that_is_renamed_over_its_copy_keeps_its_metadata(house: House) -> None:
    house.write("a.png", "cat")
    house.index()
    shutil.copy2(house.path("a.png"), house.path("b.png"))
    house.add("b.png", title="mine")
    house.path("b.png").rename(house.path("a.png"))
    assert house.index(prune=True) == {"a.png": "unchanged", "b.png": "removed"}
    assert house.metadata_of("a.png") == {"title": "mine"}


@pytest.mark.parametrize("backfill", [False, True])
def test_metadata_that_are_added_while_an_image_is_amended_stay(
    house: House, monkeypatch: pytest.MonkeyPatch, backfill: bool
) -> None:
    from onnxsearch.indexing import entries

    path = house.write("a.png", "cat")
    house.index()
    os.utime(path, ns=(1, 1))
    read = entries.read_image_file

    def add_meanwhile(*arguments: object) -> object:
        monkeypatch.undo()
        house.add("a.png", title="mine")
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(entries, "read_image_file", add_meanwhile)
    two = FakeEmbedder("two", 8)
    engine = SearchEngine([house.fake, two], house.vectors, house.metadata)
    assert not (engine.backfill("two") if backfill else engine.index(house.folder)).failures
    assert house.metadata_of("a.png") == {"title": "mine"}
    assert len(engine.search(picture("cat"), model="two")) == 1
    assert_consistent(house.vectors, house.metadata)


def test_a_move_is_not_reported_as_a_removal_of_an_id_that_stays(house: House) -> None:
    house.engine.add(house.write("b.png", "cat"), id="cat")
    house.path("b.png").rename(house.path("a.png"))
    assert house.index(prune=True) == {"a.png": "moved"}
    assert house.engine.get("cat") is not None


def test_two_files_that_become_the_same_keep_the_metadata_that_they_have(house: House) -> None:
    for name in ("a.png", "b.png", "c.png"):
        house.write(name, name)
        house.add(name, of=name)
    for name in ("a.png", "b.png", "c.png"):
        house.write(name, "same")
    assert set(house.index().values()) == {"indexed"}
    assert house.metadata_of("b.png") == {"of": "b.png"}
    for name in ("a.png", "b.png", "c.png"):
        house.write(name, "same again")
    found = house.index(metadata={})
    assert sorted(found.values()) == ["duplicate", "duplicate", "indexed"]


def test_a_copy_of_a_file_that_is_not_stored_is_stored_itself(house: House) -> None:
    house.write("a.png", "cat")
    shutil.copy(house.path("a.png"), house.path("b.png"))

    def only_of_b(path: Path) -> dict[str, str]:
        return {"of": {"b.png": "b"}[path.name]}

    report = house.engine.index(house.folder, metadata=only_of_b)
    assert [o.status.value for o in report.outcomes] == ["broken", "indexed"]
    assert house.metadata_of("b.png") == {"of": "b"}


def test_of_equal_files_that_are_moved_each_keeps_its_own_metadata(house: House) -> None:
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        house.write(name, "same")
        os.utime(house.path(name), ns=(number, number))
        house.add(name, was=name)
    for name, now in (("a.png", "z.png"), ("b.png", "x.png"), ("c.png", "y.png")):
        house.path(name).rename(house.path(now))
    assert set(house.index(prune=True).values()) == {"moved", "removed"}
    assert house.metadata_of("z.png") == {"was": "a.png"}
    assert house.metadata_of("x.png") == {"was": "b.png"}
    assert house.metadata_of("y.png") == {"was": "c.png"}


def test_a_chain_of_moves_over_other_files_loses_no_metadata(house: House) -> None:
    for number in range(8):
        house.write(f"{number}.png", f"picture {number}")
        house.add(f"{number}.png", was=f"{number}")
    run = house.models_run
    for number in reversed(range(8)):
        house.path(f"{number}.png").rename(house.path(f"{number + 1}.png"))
    house.write("0.png", "new")

    house.index()
    assert house.models_run == run + 1
    for number in range(8):
        assert house.metadata_of(f"{number + 1}.png") == {"was": f"{number}"}
        assert house.shown_by(f"picture {number}") == [f"{number + 1}.png"]
    assert house.shown_by("new") == ["0.png"]


def test_a_new_file_does_not_take_the_metadata_of_a_file_that_was_moved_over_another_one(
    house: House,
) -> None:
    for name in ("a.png", "b.png"):
        house.write(name, f"picture {name}")
        house.add(name, was=name)
    house.path("b.png").rename(house.path("c.png"))
    house.path("a.png").rename(house.path("b.png"))
    house.write("a.png", "new")

    house.index()
    assert house.metadata_of("b.png") == {"was": "a.png"}
    assert house.metadata_of("c.png") == {"was": "b.png"}
