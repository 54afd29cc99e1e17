"""Dropping a model, cut off at every write, and while others write with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from onnxsearch import (
    Cell,
    CollectionNotFoundError,
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    StoreUnavailableError,
)
from onnxsearch.catalog import records
from onnxsearch.testing import (
    Faults,
    ProcessDied,
    picture,
    write_pictures,
)
from onnxsearch.testing.faults import Moment
from tests.engine.stores import assert_consistent, faulty_engine

NAMES = ["ant", "bee", "cat"]
WRITES = ["commit", "drop", *["commit"] * len(NAMES), "commit"]
"""Of a drop: journal, the collection, a record each, journal."""


class House:
    """Two stores with three pictures, for any number of engines with faults of their own."""

    def __init__(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()
        self.dropping = self.engine("one", "two", faults=self.faults)
        for name in NAMES:
            self.dropping.add(picture(name), id=name)

    def engine(self, *models: str, faults: Faults | None = None) -> SearchEngine:
        faults = faults or Faults()
        return faulty_engine(self.vectors, self.metadata, faults, *models)

    def models(self) -> set[tuple[str, ...]]:
        return {record.models for record in self.dropping._catalog.records.values()}


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a drop change one record at a time, so that it can be cut off between two."""
    monkeypatch.setattr(records, "_UNLISTED", 1)


@pytest.fixture
def house() -> House:
    return House()


def test_the_writes_are_as_these_tests_think(house: House) -> None:
    house.faults.revive()
    house.dropping.drop_model("two")
    assert house.faults.writes == WRITES


@pytest.mark.parametrize("at", range(len(WRITES)))
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("models", [("one",), ("one", "two")])
def test_who_opens_ends_what_was_cut_off(
    house: House, at: int, moment: Moment, models: tuple[str, ...]
) -> None:
    house.faults.fail(at=at, moment=moment, error=ProcessDied())
    with pytest.raises(ProcessDied):
        house.dropping.drop_model("two")
    house.faults.revive()

    begun = (at, moment) != (0, "before")
    engine = house.engine(*models)
    assert house.models() == {("one",) if begun else ("one", "two")}
    assert engine.verify().ok
    assert len(engine.search(picture("ant"), model="one")) == len(NAMES)
    if "two" in models:  # it is back, and nothing of its former life is
        left = engine.search(picture("ant"), model="two")
        assert len(left) == (0 if begun else len(NAMES))
        engine.add(picture("dog"), id="dog")
        assert engine.search(picture("dog"), model="two", limit=1).ids == ["dog"]


@pytest.mark.parametrize("at", range(1, len(WRITES)))
@pytest.mark.parametrize("error", [StoreUnavailableError("gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("go_on", ["call", "write"])
def test_a_drop_that_failed_goes_on_with_the_next_call_or_write(
    house: House, at: int, error: BaseException, go_on: str
) -> None:
    house.faults.fail(at=at, error=error)
    with pytest.raises(type(error)):
        house.dropping.drop_model("two")
    assert house.dropping.models == ["one"]
    if go_on == "call":
        house.dropping.drop_model("two")
    else:
        house.dropping.add(picture("dog"), id="dog")
    assert house.vectors.collections() == ["onnxsearch__one"]
    assert_consistent(house.vectors, house.metadata)
    assert house.models() == {("one",)}


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("comes_back", [False, True])
def test_a_write_that_stood_still_shows_no_vector_that_is_gone(
    house: House, at: int, moment: Moment, comes_back: bool
) -> None:
    faults = Faults()
    slow = house.engine("one", "two", faults=faults)
    refused: list[CollectionNotFoundError] = []

    def write() -> None:
        try:
            slow.add(picture("new cat"), id="cat")
        except CollectionNotFoundError as error:
            refused.append(error)

    faults.hang(at=at, moment=moment, timeout=60)
    thread = threading.Thread(target=write)
    thread.start()
    assert faults.hanging.wait(30)
    house.dropping.drop_model("two")
    if comes_back:
        house.engine("one", "two")
    faults.release()
    thread.join(30)

    assert house.dropping.verify().ok
    again = house.engine("one", "two")
    assert again.verify().ok
    (hit,) = again.search(picture("cat" if refused else "new cat"), limit=1)
    assert (hit.id, hit.distance) == ("cat", pytest.approx(0, abs=1e-3))
    record = again.get("cat")
    assert record is not None
    assert again.search(picture("cat"), model="two").ids == ["cat"] * ("two" in record.models)


def test_writes_with_a_model_that_is_being_dropped_are_refused(house: House) -> None:
    writer = house.engine("one", "two")
    house.faults.fail(at=1, error=ProcessDied())  # it goes, and its collection is still there
    with pytest.raises(ProcessDied):
        house.dropping.drop_model("two")

    with pytest.raises(CollectionNotFoundError, match="one, two is being dropped"):
        writer.add(picture("new cat"), id="cat")
    assert writer.search(picture("cat"), limit=1)[0].distance == pytest.approx(0, abs=1e-3)
    assert writer.verify().ok
    assert house.engine("one").verify().ok
    assert_consistent(house.vectors, house.metadata)


@pytest.mark.parametrize("at", range(1, 6))
def test_other_models_can_be_written_while_one_is_being_dropped(at: int, tmp_path: Path) -> None:
    """Also where the record that is written anew lists it still."""
    house, files = House(), write_pictures(tmp_path, ["dog", "elk"])
    house.dropping.index(files)
    writer = house.engine("one")
    house.faults.fail(at=at, error=ProcessDied())
    with pytest.raises(ProcessDied):
        house.dropping.drop_model("two")

    assert writer.index(files, metadata={"more": 1}).counts["indexed"] == 2
    assert house.engine("one").verify().ok
    assert len(writer.search(files[0], filter=F("more") == 1)) == 2
    assert_consistent(house.vectors, house.metadata)


@pytest.mark.parametrize("at", range(len(WRITES)))
@pytest.mark.parametrize("repair", [False, True])
def test_a_running_drop_is_no_defect(house: House, at: int, repair: bool) -> None:
    checker = house.engine("one")
    house.faults.hang(at=at, timeout=60)
    thread = threading.Thread(target=house.dropping.drop_model, args=("two",))
    thread.start()
    assert house.faults.hanging.wait(30)
    report = checker.verify(repair=repair)
    house.faults.release()
    thread.join(30)
    assert not any(report.counts.values()), report.findings
    assert house.models() == {("one",)}
    assert_consistent(house.vectors, house.metadata)


def test_who_drops_slowly_spares_what_came_later(house: House) -> None:
    house.faults.hang(at=2, timeout=60)  # the first record is to be changed
    thread = threading.Thread(target=house.dropping.drop_model, args=("two",))
    thread.start()
    assert house.faults.hanging.wait(30)
    engine = house.engine("one", "two")
    engine.add(picture("dog"), id="dog")
    house.faults.release()
    thread.join(30)
    assert engine.search(picture("dog"), model="two", limit=1).ids == ["dog"]
    assert engine.verify().ok


def test_a_record_that_changes_meanwhile_takes_another_pass(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_UNLISTED", 256)
    other = house.engine("one")
    commit = house.metadata._commit
    changed: list[str] = []

    def meddle(writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]) -> bool:
        if not changed and any(cell.table == "onnxsearch:records" for cell in expect):
            changed.append("ant")
            other.add(picture("new ant"), id="ant")
        return commit(writes, expect)

    monkeypatch.setattr(house.metadata, "_commit", meddle)
    house.dropping.drop_model("two")
    assert changed == ["ant"]
    assert house.models() == {("one",)}
    assert_consistent(house.vectors, house.metadata)


@pytest.mark.parametrize(("moment", "left"), [("before", ["one", "two"]), ("after", ["one"])])
def test_the_index_forgets_a_model_with_the_commit_that_begins_its_drop(
    house: House, moment: Moment, left: list[str]
) -> None:
    house.faults.fail(at=0, moment=moment, error=ProcessDied())
    with pytest.raises(ProcessDied):
        house.dropping.drop_model("two")
    house.faults.revive()
    assert [model.name for model in house.engine("one").info().models] == left
