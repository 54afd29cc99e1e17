"""Images with a time to live: not found from the moment they expire, and removed later."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from onnxsearch import (
    F,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    LocalVectorStore,
    MetadataStore,
    Query,
    SearchEngine,
    SQLiteMetadataStore,
    Status,
    StoreError,
    VectorStore,
)
from onnxsearch.metadata.base import Cell
from onnxsearch.testing import FakeEmbedder, Faults, FaultyMetadataStore, picture
from tests.engine.stores import assert_consistent

HOUR = 3600.0


class Time:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def make(stores: tuple[VectorStore, MetadataStore], time: Time) -> SearchEngine:
    return SearchEngine([FakeEmbedder("one"), FakeEmbedder("two", 8)], *stores, clock=time)


def in_memory(time: Time) -> SearchEngine:
    return make((InMemoryVectorStore(), InMemoryMetadataStore()), time)


def rows(stores: tuple[VectorStore, MetadataStore]) -> set[int]:
    """Return the numbers of rows of all tables and collections that a removed image leaves."""
    vectors, metadata = stores
    tables = ("ids", "records", "expiries", "contents")
    return {metadata.count(f"onnxsearch:{table}") for table in tables} | {
        vectors.count(collection) for collection in vectors.collections()
    }


def test_an_expired_image_is_nowhere(
    stores: tuple[VectorStore, MetadataStore], time: Time, tmp_path: Path
) -> None:
    engine = make(stores, time)
    for number in range(12):
        ttl = HOUR if number < 8 else None
        engine.add(picture(f"{number}"), id=f"{number}", metadata={"shelf": number % 3}, ttl=ttl)
    copy = tmp_path / "copy.png"
    picture("0").save(copy)
    engine.add(copy.read_bytes(), id="bytes", ttl=timedelta(hours=1))
    record = engine.get("0")
    assert record is not None
    assert record.expires == time.now + HOUR
    left = {f"{number}" for number in range(8, 12)}
    everything = {f"{number}" for number in range(12)} | {"bytes"}
    time.now += HOUR - 1
    assert set(engine.search(picture("0"), limit=20).ids) == everything
    assert len(engine) == 13
    time.now += 1
    for options in ({}, {"models": ["one", "two"]}, {"group_by": "shelf", "group_size": 9}):
        assert set(engine.search(picture("0"), limit=20, **options).ids) == left
        pages = [engine.search(picture("0"), limit=3, offset=at, **options) for at in (0, 3)]
        assert {hit.id for page in pages for hit in page} == left
    assert len(engine.search(picture("0"), limit=4, diversity=0.5)) == 4
    assert set(engine.search(picture("0"), filter=F("shelf") == 0).ids) == {"9"}
    (many,) = engine.search_many([picture("0")])
    assert set(many.ids) == left
    assert all(set(r.ids) == left for r in engine.compare(picture("0")).results.values())
    assert engine.get("0") is None
    assert "0" not in engine
    assert len(engine) == engine.count() == 4
    assert {record.id for record in engine.records()} == left
    assert [record.id for record in engine.records(order_by="id")] == sorted(left)
    assert engine.duplicates(0.001) == []
    assert engine.evaluate("shelf").scores["one"].recall is not None
    assert engine.remove(filter=F("shelf") == 1) == ["10"]
    for refused in (
        lambda: engine.search(Query.id("0")),
        lambda: engine.vectors(["0"]),
        lambda: engine.update("0", metadata={}),
        lambda: engine.evaluate(pairs=[("0", "8")]),
    ):
        with pytest.raises(InvalidArgumentError, match="'0'"):
            refused()
    engine.sweep()
    assert_consistent(*stores)


def test_a_record_expires_however_its_bytes_are_written(time: Time) -> None:
    metadata = InMemoryMetadataStore()
    engine = make((InMemoryVectorStore(), metadata), time)
    for name in "abcdefghijklm":
        engine.add(picture(name), id=name, ttl=HOUR if name < "h" else None)
    table = "onnxsearch:records"
    for key, data in list(metadata.items(table)):
        escaped = data.replace(b'"expires"', rb'"\u0065xpire\u0073"')
        metadata.commit({Cell(table, key): escaped})
    time.now += HOUR
    found = engine.search(picture("a"), models=["one", "two"], limit=3)
    assert len(found) == 3
    assert min(found.ids) >= "h"


def test_a_sweep_removes_them_from_the_stores(
    stores: tuple[VectorStore, MetadataStore], time: Time
) -> None:
    engine = make(stores, time)
    for number in range(20):
        engine.add(picture(f"{number % 7}"), id=f"{number}", ttl=HOUR)
    engine.add(picture("a"), id="stays", ttl=5 * HOUR)
    assert engine.sweep() == 0
    time.now += 2 * HOUR
    assert engine.sweep() == 20
    assert engine.sweep() == 0
    assert rows(stores) == {0, 1}
    assert_consistent(*stores)
    assert engine.verify().ok


def test_opening_and_writing_sweep_some(time: Time) -> None:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = make(stores, time)
    records = stores[1]
    for number in range(5):
        engine.add(picture("a"), id=f"{number}", ttl=HOUR)
    time.now += HOUR
    assert records.count("onnxsearch:records") == 5
    make(stores, time)
    assert records.count("onnxsearch:records") == 0
    engine.add(picture("a"), id="short", ttl=1)
    time.now += 2
    engine.add(picture("a"), id="soon after")
    assert records.count("onnxsearch:records") == 2
    time.now += 60
    engine.add(picture("a"), id="later")
    assert records.count("onnxsearch:records") == 2
    assert engine.count() == 2
    # A clock that was put back does not end the sweeps.
    engine.add(picture("a"), id="short", ttl=1)
    time.now += 2
    engine._catalog.sweeper._last = time.now + 1e6
    engine.add(picture("b"), id="last")
    assert engine._catalog.metadata.count("onnxsearch:records") == 3


def test_one_write_sweeps_a_bounded_number(time: Time) -> None:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = SearchEngine(FakeEmbedder(), *stores, clock=time)
    engine.add_many((Item(picture("a"), id=f"{n}") for n in range(2_000)), ttl=HOUR)
    time.now += HOUR
    engine.add(picture("b"), id="b")
    assert 900 < stores[1].count("onnxsearch:records") < 1_100
    assert engine.count() == 1
    assert engine.search(picture("a"), limit=3).ids == ["b"]
    assert engine.sweep() > 900
    assert stores[1].count("onnxsearch:records") == 1


def test_an_image_that_is_stored_again_in_time_stays(
    stores: tuple[VectorStore, MetadataStore], time: Time
) -> None:
    engine = make(stores, time)
    for id in ("forever", "longer", "updated", "expired"):
        engine.add(picture(id), id=id, ttl=HOUR)
    time.now += HOUR / 2
    engine.add(picture("forever"), id="forever")
    engine.add(picture("longer"), id="longer", ttl=HOUR)
    assert engine.update("updated", metadata={"n": 1}).expires == time.now + HOUR / 2
    time.now += HOUR / 2
    # Before a sweep: the id holds the expired image still.
    engine.add(picture("expired"), id="expired", metadata={"n": 2})
    assert engine.get("updated") is None
    assert sorted(r.id for r in engine.records()) == ["expired", "forever", "longer"]
    assert engine.sweep() <= 1
    assert engine.count() == 3
    assert_consistent(*stores)


def test_a_sweep_leaves_what_is_stored_again_meanwhile(time: Time) -> None:
    engine = in_memory(time)
    engine.add(picture("a"), id="a", ttl=HOUR)
    time.now += HOUR
    (expired,) = engine._catalog.records.expired()
    engine.add(picture("b"), id="a")
    assert engine._catalog.discard(expired) == []
    assert engine.get("a") is not None
    assert engine.sweep() == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    for name in ("cat", "dog"):
        picture(name).save(path / f"{name}.png")
    return path


def test_an_expired_file_is_indexed_as_a_new_one(
    stores: tuple[VectorStore, MetadataStore], time: Time, folder: Path
) -> None:
    engine = make(stores, time)
    cat, dog = (str(folder / f"{name}.png") for name in ("cat", "dog"))
    engine.add(cat, ttl=HOUR, metadata={"old": True})
    engine.add((folder / "dog.png").read_bytes(), id="twin", ttl=HOUR)
    first = engine.index(folder)
    assert [o.status for o in first.outcomes] == [Status.UNCHANGED, Status.DUPLICATE]
    time.now += HOUR
    second = engine.index(folder)
    assert [o.status for o in second.outcomes] == [Status.INDEXED, Status.INDEXED]
    assert {r.id: (r.metadata, r.expires) for r in engine.records()} == {
        cat: ({}, None),
        dog: ({}, None),
    }
    engine.sweep()
    assert_consistent(*stores)


def test_a_file_that_moves_to_where_an_expired_one_was(time: Time, folder: Path) -> None:
    engine = in_memory(time)
    engine.index(folder)
    picture("owl").save(folder / "owl.png")
    engine.add(folder / "owl.png", ttl=HOUR)
    time.now += HOUR
    (folder / "cat.png").rename(folder / "owl.png")
    report = engine.index(folder)
    assert report.counts["moved"] == 1
    assert not report.failures
    assert engine.count() == 2


def test_an_item_renews_its_time_to_live(time: Time, folder: Path) -> None:
    engine = in_memory(time)
    items = [Item((folder / "cat.png").read_bytes(), id="cat"), folder / "dog.png"]
    engine.add_many(items, ttl=timedelta(hours=1))
    fake = engine._embedders["one"]
    assert isinstance(fake, FakeEmbedder)
    batches = len(fake.calls.batches)
    time.now += HOUR / 2
    report = engine.add_many(items, ttl=HOUR)
    assert report.counts["unchanged"] == 2
    assert len(fake.calls.batches) == batches
    assert {record.expires for record in engine.records()} == {time.now + HOUR}
    # Without a time to live, what is stored counts.
    engine.add_many(items)
    time.now += HOUR
    assert engine.count() == 0


def test_copies_and_snapshots_take_expiry_along(
    stores: tuple[VectorStore, MetadataStore], time: Time, tmp_path: Path
) -> None:
    engine = make(stores, time)
    engine.add(picture("a"), id="a", ttl=HOUR)
    engine.add(picture("b"), id="b", ttl=3 * HOUR)
    engine.save_snapshot(tmp_path / "early.zip")
    time.now += 2 * HOUR
    other, third = in_memory(time), in_memory(time)
    assert engine.copy_to(other).copied == 1
    third.load_snapshot(tmp_path / "early.zip")
    for copy in (other, third):
        assert [(r.id, r.expires) for r in copy.records()] == [("b", time.now + HOUR)]
        copy.sweep()
        assert len(copy) == 1
    time.now += HOUR
    assert len(other) == len(third) == len(engine) == 0


def test_expiry_lasts_beyond_the_process(tmp_path: Path, time: Time) -> None:
    def opened() -> SearchEngine:
        vectors = LocalVectorStore(tmp_path / "vectors.sqlite")
        return make((vectors, SQLiteMetadataStore(tmp_path / "records.sqlite")), time)

    engine = opened()
    engine.add(picture("a"), id="a", ttl=HOUR)
    engine.add(picture("b"), id="b")
    engine._catalog.vectors.close()
    engine._catalog.metadata.close()
    time.now += HOUR
    again = opened()
    assert [record.id for record in again.records()] == ["b"]
    assert again._catalog.metadata.count("onnxsearch:records") == 1
    again._catalog.vectors.close()
    again._catalog.metadata.close()


def test_a_clock_that_goes_back_harms_nothing(time: Time) -> None:
    engine = in_memory(time)
    engine.add(picture("a"), id="a", ttl=HOUR)
    engine.add(picture("b"), id="b", ttl=3 * HOUR)
    time.now += 2 * HOUR
    assert engine.search(picture("a")).ids == ["b"]
    time.now -= 2 * HOUR
    assert sorted(engine.search(picture("a")).ids) == ["a", "b"]
    time.now += 2 * HOUR
    assert engine.sweep() == 1
    time.now -= 2 * HOUR
    assert engine.search(picture("a")).ids == ["b"]
    assert engine.count() == 1


def test_a_sweep_that_fails_does_not_fail_the_write(time: Time) -> None:
    faults, vectors, records = Faults(), InMemoryVectorStore(), InMemoryMetadataStore()
    engine = SearchEngine(FakeEmbedder(), vectors, FaultyMetadataStore(records, faults), clock=time)
    engine.add(picture("a"), id="a", ttl=HOUR)
    time.now += 2 * HOUR
    failing = engine._catalog.sweeper
    discard = failing._discard

    def fail(images: Any) -> list[str]:
        raise StoreError("the store is read-only")

    failing._discard = fail
    engine.add(picture("b"), id="b")
    with pytest.raises(StoreError):
        engine.sweep()
    assert engine.search(picture("a")).ids == ["b"]
    failing._discard = discard
    assert engine.sweep() == 1
    assert_consistent(vectors, records)


@pytest.mark.parametrize(
    "ttl", [0, -1, math.nan, math.inf, True, "1", timedelta(0), timedelta(seconds=-1), [1]], ids=str
)
def test_a_time_to_live_is_checked_at_once(time: Time, ttl: Any) -> None:
    engine = in_memory(time)
    for call in (
        lambda: engine.add("absent.jpg", ttl=ttl),
        lambda: engine.add_many([], ttl=ttl),
    ):
        with pytest.raises(InvalidArgumentError, match="ttl"):
            call()
    with pytest.raises(ImageNotFoundError):
        engine.add("absent.jpg", ttl=1)


class Expiry(RuleBasedStateMachine):
    """Any operations in any order, and time that passes or is put back."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.stores = InMemoryVectorStore(), InMemoryMetadataStore()
        self.engine = SearchEngine(FakeEmbedder(), *self.stores, clock=self.time)
        self.model: dict[str, float] = {}
        """When each image expires."""

    ids = st.sampled_from("abc")
    ttls = st.one_of(st.none(), st.sampled_from([1.0, 30.0, 100.0]))

    @rule(id=ids, ttl=ttls)
    def add(self, id: str, ttl: float | None) -> None:
        self.engine.add(picture(id), id=id, ttl=ttl)
        self.model[id] = math.inf if ttl is None else self.time.now + ttl

    @rule(id=ids, ttl=ttls)
    def add_many(self, id: str, ttl: float | None) -> None:
        live = id in self.live()
        self.engine.add_many([Item(picture(id), id=id)], ttl=ttl)
        if ttl is not None:
            self.model[id] = self.time.now + ttl
        elif not live:
            self.model[id] = math.inf

    @rule(id=ids)
    def update(self, id: str) -> None:
        if id in self.live():
            self.engine.update(id, metadata={"seen": self.time.now})

    @rule(id=ids)
    def remove(self, id: str) -> None:
        live = id in self.live()
        assert self.engine.remove(id) == ([id] if live else [])
        if live:
            del self.model[id]

    @rule()
    def sweep(self) -> None:
        self.engine.sweep()

    @rule(seconds=st.sampled_from([0.5, 1.0, 40.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.time.now += seconds
        # A clock that goes back would bring back some; another test has it.
        self.model = {id: self.model[id] for id in self.live()}

    def live(self) -> list[str]:
        return sorted(id for id, moment in self.model.items() if self.time.now < moment)

    @invariant()
    def shows_what_is_live(self) -> None:
        live = self.live()
        assert sorted(self.engine.search(picture("a")).ids) == live
        assert sorted(record.id for record in self.engine.records()) == live
        assert self.engine.count() == len(live)
        assert_consistent(*self.stores)


@pytest.mark.integration
def test_in_any_order() -> None:
    run_state_machine_as_test(
        Expiry, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
