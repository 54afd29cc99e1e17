"""Models that come and go while pictures stay."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from onnxsearch import (
    EmbeddingError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    ModelError,
    Progress,
    SearchEngine,
    Status,
    UnknownModelError,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    ProcessDied,
    picture,
    write_pictures,
)
from onnxsearch.testing.faults import Moment
from tests.engine.stores import assert_consistent, faulty_engine

NAMES = ["ant", "bee", "cat", "dog"]


class House:
    """Two stores that outlive the engines on them, and fail on demand."""

    def __init__(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()

    def engine(self, *names: str) -> SearchEngine:
        return faulty_engine(self.vectors, self.metadata, self.faults, *names)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write_pictures(tmp_path, NAMES)


def serves(engine: SearchEngine, model: str, files: list[Path]) -> bool:
    return all(
        [(hit.uri, round(hit.distance, 3)) for hit in engine.search(path, model=model, limit=1)]
        == [(str(path), 0)]
        for path in files
    )


def test_backfill_does_only_what_is_missing(files: list[Path]) -> None:
    house = House()
    house.engine("old").index(files, metadata={"kept": True})
    house.engine("old").add(files[0], id="by hand", metadata={"hand": 1})
    engine = house.engine("old", "new")
    assert len(engine.search(files[0], model="new")) == 0

    seen: list[Progress] = []
    report = engine.backfill("new", progress=seen.append)
    assert report.counts[Status.INDEXED] == len(report.outcomes) == 5
    assert [(p.done, p.total) for p in seen] == [(n, 5) for n in range(1, 6)]
    for model in ("old", "new"):
        hits = engine.search(files[1], model=model, limit=1)
        assert [(hit.id, dict(hit.metadata)) for hit in hits] == [(str(files[1]), {"kept": True})]
    record = engine.get("by hand")
    assert record is not None
    assert (record.models, record.metadata) == (("old", "new"), {"hand": 1})
    fakes = list(engine._embedders.values())
    assert isinstance(fakes[1], FakeEmbedder)
    before = fakes[1].calls
    assert engine.backfill("new").outcomes == ()
    assert fakes[1].calls == before
    assert_consistent(house.vectors, house.metadata)


@pytest.mark.integration
def test_models_come_and_go_with_the_largest_records(tmp_path: Path) -> None:
    """A commit takes 32 MiB, and backfill fills 64 pictures at once."""
    house = House()
    files = write_pictures(tmp_path, [str(number) for number in range(40)])
    metadata = {"text": "x" * 1_000_000}
    engine = house.engine("old", "new")
    house.engine("old").index(files, metadata=metadata)
    assert engine.backfill("new").counts[Status.INDEXED] == 40
    assert serves(engine, "new", files[:3])
    assert_consistent(house.vectors, house.metadata)

    longest = "\N{CAT FACE}" * 2**16
    engine.add(picture("any"), id=longest, metadata=metadata)
    engine.drop_model("old")
    record = engine.get(longest)
    assert record is not None
    assert record.models == ("new",)


def test_backfill_tells_what_it_cannot_fill(files: list[Path]) -> None:
    house = House()
    old = house.engine("old")
    old.index(files)
    old.add(picture("bytes"), id="no file")
    files[0].unlink()
    picture("something else").save(files[1])
    engine = house.engine("old", "new")
    report = engine.backfill("new")
    errors = {Path(o.uri).name: o.error or "" for o in report.failures}
    assert "no such file" in errors["ant.png"] or "there is no file" in errors["ant.png"]
    assert "no longer shows" in errors["bee.png"]
    assert "add it again" in errors["no file"]
    assert report.counts[Status.INDEXED] == 2
    assert serves(engine, "new", files[2:])

    with pytest.raises(ModelError, match="no vector of model 'new'"):
        engine.migrate("old", "new")
    assert engine.models == ["old", "new"]
    assert engine.search(picture("bytes"), model="old", limit=1).ids == ["no file"]


def test_a_picture_that_is_added_again_while_it_is_filled_keeps_its_own_vectors(
    tmp_path: Path,
) -> None:
    house = House()
    (file,) = write_pictures(tmp_path, ["before"])
    engine = house.engine("old", "new")
    house.engine("old").add(file, id="by hand")
    house.faults.hang(at=1)
    fill = threading.Thread(target=engine.backfill, args=("new",))
    fill.start()
    assert house.faults.hanging.wait(30)
    picture("after").save(file)
    house.engine("old").add(file, id="by hand")
    house.faults.release()
    fill.join(30)

    hit = engine.search(picture("after"), model="old", limit=1)[0]
    assert hit.distance == pytest.approx(0, abs=1e-3)
    assert len(engine.search(picture("before"), model="new")) == 0
    assert len(engine.backfill("new").outcomes) == 1
    assert engine.search(picture("after"), model="new", limit=1).ids == ["by hand"]
    assert_consistent(house.vectors, house.metadata)


def test_an_embedding_that_fails_is_told(files: list[Path]) -> None:
    house = House()
    house.engine("old").index(files)
    failing = FakeEmbedder("new", failures={"cat": EmbeddingError("out of tune")})
    engine = house.engine("old")
    with pytest.raises(EmbeddingError, match="out of tune"):
        engine.migrate("old", failing)
    assert serves(house.engine("old"), "old", files)


def test_drop_model_leaves_pictures_and_other_models(files: list[Path]) -> None:
    house = House()
    engine = house.engine("one", "two")
    engine.index(files)
    engine.drop_model("one")
    assert engine.models == ["two"]
    assert serves(engine, "two", files)
    assert_consistent(house.vectors, house.metadata)
    assert len(house.vectors.collections()) == 1
    record = engine.get(str(files[0]))
    assert record is not None
    assert record.models == ("two",)
    with pytest.raises(UnknownModelError):
        engine.search(files[0], model="one")
    with pytest.raises(UnknownModelError):
        engine.drop_model("one")
    with pytest.raises(InvalidArgumentError, match="only model"):
        engine.drop_model("two")
    # It may come back, and finds nothing of its former life.
    again = house.engine("one", "two")
    assert len(again.backfill("one").outcomes) == len(files)
    assert serves(again, "one", files)


def test_a_model_that_an_engine_left_behind_can_be_dropped(files: list[Path]) -> None:
    house = House()
    house.engine("one", "two").index(files)
    house.engine("two").drop_model("one")
    assert len(house.vectors.collections()) == 1


def test_migrate_puts_the_new_model_in_the_olds_place(files: list[Path]) -> None:
    house = House()
    engine = house.engine("old", "other")
    engine.index(files)
    report = engine.migrate("old", FakeEmbedder("new"))
    assert report.counts[Status.INDEXED] == len(files)
    assert engine.models == ["new", "other"]
    assert serves(engine, "new", files)
    assert serves(house.engine("new", "other"), "new", files)
    assert_consistent(house.vectors, house.metadata)
    for old, new in [("other", "other"), ("new", FakeEmbedder("new"))]:
        with pytest.raises(InvalidArgumentError, match="another name"):
            engine.migrate(old, new)
    with pytest.raises(UnknownModelError):
        engine.migrate("new", "nobody")
    with pytest.raises(UnknownModelError):
        engine.migrate("nobody", "new")


def test_pictures_added_during_a_migration_get_both(files: list[Path]) -> None:
    house = House()
    engine = house.engine("old")
    engine.index(files)
    started, added = threading.Event(), threading.Event()

    def pause(progress: Progress) -> None:
        if progress.done == 1:
            started.set()
            assert added.wait(30)

    migration = threading.Thread(
        target=engine.migrate, args=("old", FakeEmbedder("new")), kwargs={"progress": pause}
    )
    migration.start()
    assert started.wait(30)
    assert engine.models[0] == "old"
    assert serves(engine, "old", files)
    engine.add(picture("late"), id="late")
    added.set()
    migration.join(30)
    assert engine.models == ["new"]
    assert engine.search(picture("late"), limit=1).ids == ["late"]
    assert_consistent(house.vectors, house.metadata)


def writes_of_a_migration(folder: Path) -> list[str]:
    house = House()
    engine = house.engine("old")
    engine.index(write_pictures(folder, NAMES))
    house.faults.revive()
    engine.migrate("old", FakeEmbedder("new"))
    return house.faults.writes


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_death_at_any_write_before_the_switch_leaves_the_old_model_serving(
    files: list[Path], tmp_path: Path, moment: Moment
) -> None:
    writes = writes_of_a_migration(tmp_path / "rehearsal")
    switch = writes.index("drop") - 1
    assert switch > 5
    for at in range(len(writes)):
        house = House()
        engine = house.engine("old")
        engine.index(files)
        house.faults.fail(at=at, moment=moment, error=ProcessDied())
        with pytest.raises(ProcessDied):
            engine.migrate("old", FakeEmbedder("new"))

        house.faults.revive()
        again = house.engine("old")
        switched = at > switch or (at == switch and moment == "after")
        assert serves(again, "old", files) != switched, f"after write {at}"
        if switched:
            assert serves(house.engine("new"), "new", files), f"after write {at}"
        again.migrate("old", FakeEmbedder("new"))
        assert again.models == ["new"]
        assert serves(again, "new", files), f"after write {at}"
        assert_consistent(house.vectors, house.metadata)
        assert len(house.vectors.collections()) == 1
