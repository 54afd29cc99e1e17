"""Indexing folders: every file gets an outcome, and a second run does only what is left."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onnxsearch import (
    EmbeddingError,
    EmptySourceError,
    F,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Progress,
    ReadPolicy,
    SearchEngine,
    Status,
)
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.engine.stores import assert_consistent


class House:
    def __init__(self) -> None:
        self.vectors = InMemoryVectorStore()
        self.metadata = InMemoryMetadataStore()

    def engine(self, *embedders: FakeEmbedder, **settings: int) -> SearchEngine:
        return SearchEngine(embedders or (FakeEmbedder(),), self.vectors, self.metadata, **settings)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    write_pictures(folder, ["cat", "dog", "far/below/fox"])
    return folder


def statuses(engine: SearchEngine, source: Path, **options: object) -> dict[str, Status]:
    report = engine.index(source, **options)  # type: ignore[arg-type]
    return {os.path.relpath(o.uri, source): o.status for o in report.outcomes}


@pytest.mark.parametrize(("files", "largest"), [(8, 1), (20, 3), (100, 8)])
def test_all_workers_get_some_of_few_files(
    house: House, tmp_path: Path, files: int, largest: int
) -> None:
    write_pictures(tmp_path, map(str, range(files)))
    fake = FakeEmbedder()
    assert house.engine(fake, workers=4, batch_size=8).index(tmp_path).counts["indexed"] == files
    assert (max(fake.calls.batches), sum(fake.calls.batches)) == (largest, files)


def test_every_file_has_an_outcome(house: House, folder: Path) -> None:
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes(picture_bytes("owl")[:120])
    (folder / "copy.png").write_bytes(picture_bytes("cat"))
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "link.png").symlink_to("dog.png")
    os.mkfifo(folder / "pipe.png")

    report = house.engine().index(folder)

    assert {os.path.relpath(o.uri, folder): o.status.value for o in report.outcomes} == {
        "cat.png": "indexed",
        "copy.png": "duplicate",
        "cut.png": "broken",
        "dangling.png": "missing",
        "dog.png": "indexed",
        "empty.png": "broken",
        "far/below/fox.png": "indexed",
        "link.png": "duplicate",
        "notes.txt": "skipped",
        "pipe.png": "unsupported",
    }
    assert sum(report.counts.values()) == len(report.outcomes) == 10
    assert report.counts[Status.INDEXED] == report.counts["indexed"] == 3
    assert {o.status for o in report.failures} == {
        Status.BROKEN,
        Status.MISSING,
        Status.UNSUPPORTED,
    }
    assert all(o.error and o.id is None for o in report.failures)
    duplicate = next(o for o in report.outcomes if o.uri.endswith("copy.png"))
    assert duplicate.id == str(folder / "cat.png")
    assert_consistent(house.vectors, house.metadata)


def test_too_many_pixels_are_an_outcome(house: House, folder: Path) -> None:
    picture("owl").resize((64, 64)).save(folder / "large.png")
    engine = house.engine(reading=ReadPolicy(max_pixels=32 * 32))
    assert statuses(engine, folder)["large.png"] is Status.TOO_LARGE


def test_files_are_found_by_their_absolute_path(house: House, folder: Path) -> None:
    engine = house.engine()
    engine.index(folder)
    hit = engine.search(folder / "far/below/fox.png", limit=1)[0]
    assert hit.uri == hit.id == str(folder / "far/below/fox.png")
    record = engine.get(hit.id)
    assert record is not None
    assert record.size == (folder / "far/below/fox.png").stat().st_size


def test_a_second_run_embeds_nothing(house: House, folder: Path) -> None:
    fake = FakeEmbedder()
    house.engine(fake).index(folder)
    embedded = len(fake.calls.prepared)
    assert embedded == 3

    assert set(statuses(house.engine(fake), folder).values()) == {Status.UNCHANGED}
    assert len(fake.calls.prepared) == embedded


def test_a_touched_file_is_read_but_not_embedded(house: House, folder: Path) -> None:
    fake = FakeEmbedder()
    engine = house.engine(fake)
    engine.index(folder)
    os.utime(folder / "cat.png", ns=(1, 1))

    assert set(statuses(engine, folder).values()) == {Status.UNCHANGED}
    assert len(fake.calls.prepared) == 3
    record = engine.get(str(folder / "cat.png"))
    assert record is not None
    assert record.modified_ns == 1
    assert_consistent(house.vectors, house.metadata)


def test_a_changed_file_is_embedded_again(house: House, folder: Path) -> None:
    engine = house.engine()
    engine.index(folder)
    (folder / "cat.png").write_bytes(picture_bytes("owl"))

    assert statuses(engine, folder)["cat.png"] is Status.INDEXED
    assert engine.count() == 3
    assert engine.search(picture("owl"), limit=1).ids == [str(folder / "cat.png")]
    assert engine.search(picture("cat"), limit=1)[0].distance > 0.1
    assert_consistent(house.vectors, house.metadata)


def test_a_file_that_becomes_a_copy_gives_up_its_place(house: House, folder: Path) -> None:
    engine = house.engine()
    engine.index(folder)
    (folder / "dog.png").write_bytes(picture_bytes("cat"))

    assert statuses(engine, folder)["dog.png"] is Status.DUPLICATE
    assert engine.get(str(folder / "dog.png")) is None
    assert engine.search(picture("dog"), limit=1)[0].distance > 0.1
    assert_consistent(house.vectors, house.metadata)


def test_a_moved_file_is_no_copy_of_its_former_self(house: House, folder: Path) -> None:
    engine = house.engine()
    engine.index(folder)
    shutil.move(folder / "cat.png", folder / "far/moved.png")

    found = statuses(engine, folder, prune=True)
    assert found["far/moved.png"] is Status.MOVED
    assert found["cat.png"] is Status.REMOVED
    assert engine.search(picture("cat"), limit=1).ids == [str(folder / "far/moved.png")]
    assert engine.count() == 3


def test_prune_forgets_only_what_is_gone_from_this_folder(
    house: House, folder: Path, tmp_path: Path
) -> None:
    engine = house.engine()
    (other,) = write_pictures(tmp_path / "pictures of others", ["owl"])
    engine.index([other])
    engine.index(folder)
    engine.add(picture("bee"), id="bee")
    other.unlink()
    (folder / "dog.png").unlink()

    assert statuses(engine, folder)["cat.png"] is Status.UNCHANGED
    assert engine.count() == 5
    assert statuses(engine, folder, prune=True)["dog.png"] is Status.REMOVED
    assert engine.count() == 4
    with pytest.raises(InvalidArgumentError, match="prune"):
        engine.index([folder / "cat.png"], prune=True)


def test_prune_keeps_what_cannot_be_looked_at(house: House, folder: Path) -> None:
    engine = house.engine()
    engine.index(folder)
    (folder / "far").rename(folder / "away")
    (folder / "far").symlink_to("far")  # going round in circles, as root may read anything
    engine.index(folder, prune=True)
    assert engine.get(str(folder / "far/below/fox.png")) is not None


@pytest.mark.parametrize("wrong", [{"size": float("nan")}, "text", 5, [("a", 1)]])
def test_says_of_which_file_the_metadata_are_wrong(house: House, folder: Path, wrong: Any) -> None:
    engine = house.engine()
    with pytest.raises(InvalidArgumentError, match="metadata"):
        engine.index(folder, metadata=wrong)
    assert engine.count() == 0

    report = engine.index(folder, metadata=lambda path: wrong if path.name == "dog.png" else {})
    (failure,) = report.failures
    assert failure.status is Status.BROKEN
    assert re.search(r"metadata of file .*dog\.png", str(failure.error))
    assert engine.count() == 2


def test_a_model_added_later_fills_in_what_is_missing(house: House, folder: Path) -> None:
    house.engine(FakeEmbedder("one")).index(folder)
    two = FakeEmbedder("two", 8)
    assert set(statuses(house.engine(two), folder).values()) == {Status.INDEXED}

    one = FakeEmbedder("one")
    both = house.engine(one, two)
    assert set(statuses(both, folder).values()) == {Status.UNCHANGED}
    assert one.calls.prepared == ()
    for model in ("one", "two"):
        hit = both.search(folder / "far/below/fox.png", model=model, limit=1)[0]
        assert hit.distance == pytest.approx(0, abs=1e-6)
    assert_consistent(house.vectors, house.metadata)


def test_metadata_are_told_by_a_function_or_for_all(house: House, folder: Path) -> None:
    fake = FakeEmbedder()
    engine = house.engine(fake)
    engine.index(folder, metadata=lambda path: {"name": path.stem})
    assert engine.search(picture("dog"), filter=F("name") == "fox")[0].metadata == {"name": "fox"}

    # Nothing said leaves them; other metadata are stored without embedding again.
    assert set(statuses(engine, folder).values()) == {Status.UNCHANGED}
    assert set(statuses(engine, folder, metadata={"all": 1}).values()) == {Status.INDEXED}
    assert len(fake.calls.prepared) == 4  # three pictures and a query
    assert len(engine.search(picture("dog"), filter=F("name") == "fox")) == 0
    assert len(engine.search(picture("dog"), filter=F("all") == 1)) == 3
    assert_consistent(house.vectors, house.metadata)


def test_metadata_of_another_type_are_other_metadata(house: House, folder: Path) -> None:
    engine = house.engine()
    for given in ({"x": 1, "y": [2]}, {"x": True, "y": [2]}, {"y": [2.0], "x": True}):
        assert engine.index(folder, metadata=given).counts["unchanged"] == 0
        for record in engine.records():
            assert repr(dict(record.metadata)) == repr(given)
    assert engine.index(folder, metadata={"x": True, "y": [2.0]}).counts["indexed"] == 0


def test_metadata_that_json_cannot_say_stop_the_run(house: House, folder: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="metadata"):
        house.engine().index(folder, metadata={"path": Path()})  # type: ignore[dict-item]


def test_metadata_as_large_as_they_may_be_are_stored(house: House, tmp_path: Path) -> None:
    """Sixty-four pictures make a commit, and as many such records would be too much for one."""
    write_pictures(tmp_path, [str(number) for number in range(40)])
    largest = {"text": "x" * (2**20 - len('{"text":""}'))}
    engine = house.engine()
    assert engine.index(tmp_path, metadata=largest).counts[Status.INDEXED] == 40
    record = engine.get(str(tmp_path / "7.png"))
    assert record is not None
    assert record.metadata == largest

    larger = {"text": largest["text"] + "x"}
    for refused in (
        lambda: engine.index(tmp_path, metadata=larger),
        lambda: engine.add(picture("cat"), metadata=larger),
        lambda: engine.add(picture("cat"), metadata={"text": "写" * 200_000}),
    ):
        with pytest.raises(InvalidArgumentError, match="store its address"):
            refused()
    assert engine.count() == 40
    assert_consistent(house.vectors, house.metadata)


@pytest.mark.parametrize("id", ["x" * (2**16 + 1), "🙂" * 100_000])
def test_an_id_of_megabytes_is_refused(house: House, id: str) -> None:
    with pytest.raises(InvalidArgumentError, match="at most 65,536"):
        house.engine().add(picture("cat"), id=id)


def test_one_picture_that_a_model_fails_on_does_not_take_others_with_it(
    house: House, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeEmbedder()
    run = fake.run
    poison = fake.prepare(picture("dog"))

    def fails(batch: object) -> object:
        if any((row == poison).all() for row in batch):  # type: ignore[attr-defined]
            raise EmbeddingError("the model returned NaN")
        return run(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(fake, "run", fails)
    found = statuses(house.engine(fake), folder)
    assert found["dog.png"] is Status.BROKEN
    assert list(found.values()).count(Status.INDEXED) == 2
    assert_consistent(house.vectors, house.metadata)


def test_progress_reaches_the_end(
    house: House, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Progress] = []
    house.engine().index(folder, progress=told.append)
    assert [progress.done for progress in told] == [1, 2, 3]
    assert {progress.total for progress in told} == {3}

    house.engine().index(folder, progress=True)
    assert "3 of 3 images" in capsys.readouterr().err


def test_order_and_outcomes_hold_for_more_files_than_a_commit(house: House, tmp_path: Path) -> None:
    names = [f"{number:03}" for number in range(150)]
    write_pictures(tmp_path, names)
    for number in range(0, 150, 10):
        (tmp_path / f"{number:03}-copy.png").write_bytes(picture_bytes(f"{number:03}"))
    engine = house.engine(workers=4, batch_size=3)
    report = engine.index(tmp_path)
    assert [o.uri for o in report.outcomes] == sorted(o.uri for o in report.outcomes)
    assert report.counts[Status.INDEXED] == engine.count() == 150
    assert report.counts[Status.DUPLICATE] == 15
    assert_consistent(house.vectors, house.metadata)


def test_names_of_files_may_be_anything(house: House, tmp_path: Path) -> None:
    names = [
        b"\xff\xfe not utf-8.png",
        "naïve – 写真 🙂.png".encode(),
        b"new\nline.png",
        b"%41'\".png",
    ]
    for number, name in enumerate(names):
        (tmp_path / os.fsdecode(name)).write_bytes(picture_bytes(str(number)))
    engine = house.engine()
    assert engine.index(tmp_path).counts[Status.INDEXED] == 4
    for number, name in enumerate(names):
        hit = engine.search(picture(str(number)), limit=1)[0]
        assert hit.uri is not None
        assert os.fsencode(Path(hit.uri).name) == name


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (lambda folder: folder / "absent", ImageNotFoundError),
        (lambda folder: folder / "empty", EmptySourceError),
        (lambda folder: 42, InvalidArgumentError),
        (lambda folder: [b"bytes"], InvalidArgumentError),
    ],
)
def test_what_cannot_be_indexed_is_refused_at_once(
    house: House, folder: Path, source: Callable[[Path], Path], error: type[Exception]
) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(error):
        house.engine().index(source(folder))


def test_a_list_may_name_what_is_no_file(house: House, folder: Path) -> None:
    report = house.engine().index([folder / "cat.png", folder / "absent.png", folder, "nul\0.png"])
    assert [o.status for o in report.outcomes] == [
        Status.INDEXED,
        Status.MISSING,
        Status.UNSUPPORTED,
        Status.BROKEN,
    ]
