"""`add_many` on every pair of stores, on stores that fail, and in any order of items."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Item,
    MetadataStore,
    Outcome,
    SearchEngine,
    StoreUnavailableError,
    VectorStore,
)
from onnxsearch.indexing import writer
from onnxsearch.testing import FakeEmbedder, Faults, ProcessDied, picture, picture_bytes
from onnxsearch.testing.faults import Moment
from tests.engine.stores import assert_consistent, faulty_engine

Stores = tuple[VectorStore, MetadataStore]


def item(id: str, shown: str, version: int | None = None) -> Item:
    metadata = None if version is None else {"version": version, "shown": shown}
    return Item(picture_bytes(shown), id=id, metadata=metadata)


def engine_on(stores: Stores, **options: int) -> SearchEngine:
    return SearchEngine([FakeEmbedder("one"), FakeEmbedder("two", 8)], *stores, **options)


def shown_in(engine: SearchEngine, names: Sequence[str]) -> dict[str, set[str]]:
    """What the vectors of each image show, in any model, by id."""
    shown: dict[str, set[str]] = {}
    for model in engine.models:
        found = engine.search_many(map(picture, names), model=model, limit=100)
        for name, hits in zip(names, found, strict=True):
            for hit in hits:
                if hit.distance < 1e-3:
                    shown.setdefault(hit.id, set()).add(name)
    return shown


def test_every_store_keeps_what_is_acknowledged(stores: Stores) -> None:
    engine = engine_on(stores)
    first = [item(str(n), f"picture {n}", 1) for n in range(150)]
    assert engine.add_many(iter(first)).counts["indexed"] == 150
    again = [
        *first[:50],
        *(item(str(n), f"picture {n}", 2) for n in range(50, 100)),
        *(item(str(n), f"other {n}") for n in range(100, 150)),
        Item(picture_bytes("picture 3")),
        Item(picture_bytes("picture 4"), uri="https://host/4.png"),
        item("twin", "picture 5"),
        Item(b"no image", id="broken"),
    ]
    counts = engine.add_many(again, metadata=None).counts
    assert (counts["unchanged"], counts["indexed"], counts["duplicate"]) == (50, 101, 2)
    assert counts["unsupported"] == 1
    reopened = engine_on(stores)
    assert reopened.count() == 151
    for n, shown, version in ((7, "picture 7", 1), (70, "picture 70", 2), (140, "other 140", 1)):
        record = reopened.get(str(n))
        assert record is not None
        assert record.metadata["version"] == version
        for model in reopened.models:
            hit = reopened.search(picture(shown), model=model, limit=1)[0]
            assert (hit.id, hit.distance) == (str(n), pytest.approx(0, abs=1e-3))
    assert shown_in(reopened, ["picture 5"])["twin"] == {"picture 5"}
    assert reopened.verify().ok


def test_calls_at_once_store_each_image_whole(stores: Stores) -> None:
    """Two writers of the same ids, and one that removes them."""
    engine, names = engine_on(stores), ("ant", "bee")
    barrier = threading.Barrier(3)

    def add(name: str) -> None:
        barrier.wait()
        for _ in range(2):
            report = engine.add_many(item(str(n), name, 1) for n in range(80))
            assert report.failures == []

    def remove() -> None:
        barrier.wait()
        for n in range(0, 80, 8):
            engine.remove([str(n), str(n + 1)])

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    threads.append(threading.Thread(target=remove))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        for model in engine.models:
            hits = engine.search(picture(name), model=model, limit=100)
            assert {h.metadata["shown"] for h in hits if h.distance < 1e-3} <= {name}
    assert engine.verify().ok
    assert engine.add_many(item(str(n), "cat") for n in range(80)).counts["indexed"] == 80
    assert engine.count() == 80


IDS = st.sampled_from(["a", "b", "c"])
SHOWN = st.sampled_from(["ant", "bee", "cat"])
METADATA = st.sampled_from([None, {}, {"v": 1}, {"v": 2}])


@st.composite
def items(draw: st.DrawFn) -> Item:
    """An item with an id, with an address, or an array, which has no bytes."""
    name, image = draw(SHOWN), draw(st.sampled_from(["bytes", "function", "pillow"]))
    data = picture_bytes(name)
    forms: dict[str, Callable[[], Any]] = {
        "bytes": lambda: data,
        "function": lambda: lambda: data,
        "pillow": lambda: picture(name),
    }
    own, uri = draw(st.one_of(st.none(), IDS)), draw(IDS.map(lambda id: f"https://host/{id}"))
    return Item(forms[image](), id=own, uri=uri, metadata=draw(METADATA))


@pytest.mark.integration
@settings(max_examples=40)
@given(st.lists(items(), max_size=9), st.integers(1, 3), st.sampled_from([2, 64]))
def test_a_call_is_as_many_calls_of_one_item_each(
    several: list[Item], batch_size: int, commit: int
) -> None:
    def seen(calls: Sequence[Sequence[Item]]) -> tuple[list[object], dict[str, object]]:
        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        engine = engine_on(stores, workers=2, batch_size=batch_size)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "COMMIT", commit)
            outcomes = [o for call in calls for o in engine.add_many(call).outcomes]
        assert_consistent(*stores)
        shown = shown_in(engine, ["ant", "bee", "cat"])
        images = {record.id: (record, shown[record.id]) for record in engine.records()}
        return [(o.status, o.uri, o.error) for o in outcomes], images

    assert seen([several]) == seen([[each] for each in several])


NAMES = st.sampled_from(["a.png", "b.png", "c.png"])
FILES = st.dictionaries(NAMES, SHOWN)


@pytest.mark.integration
@settings(max_examples=30)
@given(FILES, FILES, st.lists(st.tuples(NAMES, METADATA), max_size=6), st.booleans())
def test_files_in_one_call_are_as_in_calls_of_one_file_each(
    before: dict[str, str], after: dict[str, str], calls: list[tuple[str, Any]], own: bool
) -> None:
    """Whatever they showed when they were indexed: moved, swapped, copied or gone since."""

    def seen(folder: Path, one_by_one: bool) -> tuple[list[object], dict[str, object]]:
        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        engine = engine_on(stores, workers=2, batch_size=2)
        write(folder, before)
        if before:
            engine.index(folder, metadata=lambda path: {"of": path.name})
        write(folder, after)
        several = [
            Item(folder / name, id=f"own {name}" if own else None, metadata=metadata)
            for name, metadata in calls
        ]
        given = [[each] for each in several] if one_by_one else [several]
        outcomes = [outcome for each in given for outcome in engine.add_many(each).outcomes]
        assert_consistent(*stores)
        shown = shown_in(engine, ["ant", "bee", "cat"])
        images: dict[str, object] = {
            record.id: (record.uri, record.metadata, shown[record.id])
            for record in engine.records()
        }
        return [(o.status, o.uri) for o in outcomes], images

    with tempfile.TemporaryDirectory() as name:
        assert seen(Path(name), False) == seen(Path(name), True)


def write(folder: Path, shown: dict[str, str]) -> None:
    """Let a folder hold these pictures and no others, each with a time of its own."""
    for path in folder.iterdir():
        path.unlink()
    for name, each in shown.items():
        (folder / name).write_bytes(picture_bytes(each))
        time = next(CLOCK) * 10**9
        os.utime(folder / name, ns=(time, time))


CLOCK = itertools.count(1)


class House:
    """Two stores that outlive the engines on them, and fail on demand."""

    def __init__(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()

    def engine(self) -> SearchEngine:
        self.faults.revive()
        return faulty_engine(self.vectors, self.metadata, self.faults)


def prepared() -> House:
    house = House()
    engine = house.engine()
    engine.add_many([item("kept", "ant", 1), item("amended", "bee", 1), item("replaced", "cat", 1)])
    return house


CALL = [
    item("new", "dog", 2),
    item("kept", "ant", 1),
    item("amended", "bee", 2),
    item("replaced", "elk", 2),
    Item(picture_bytes("ant"), uri="https://host/ant.png"),
    item("twin", "ant", 2),
    item("new", "fox", 3),
]
STATES: dict[str, list[tuple[str, int] | None]] = {
    "new": [None, ("dog", 2), ("fox", 3)],
    "kept": [("ant", 1)],
    "amended": [("bee", 1), ("bee", 2)],
    "replaced": [("cat", 1), ("elk", 2)],
    "twin": [None, ("ant", 2)],
    "https://host/ant.png": [None],
}
"""What each id may hold, from the first to the last: only forwards."""


def held(engine: SearchEngine) -> dict[str, tuple[str, int] | None]:
    """What each id holds: what it shows, and the version of its metadata."""
    found: dict[str, tuple[str, int] | None] = dict.fromkeys(STATES)
    shown = shown_in(engine, ["ant", "bee", "cat", "dog", "elk", "fox"])
    for record in engine.records():
        assert shown[record.id] == {record.metadata["shown"]}
        found[record.id] = str(record.metadata["shown"]), int(str(record.metadata["version"]))
    return found


def cases() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "COMMIT", 2)
        house = prepared()
        engine = house.engine()
        engine.add_many(CALL)
        number = len(house.faults.writes)
    assert number > 10
    for at in range(number):
        for moment in ("before", "after"):
            for error in (ProcessDied, None):
                yield pytest.param(at, moment, error, id=f"{at}-{moment}-{error and 'death'}")


@pytest.mark.parametrize(("at", "moment", "error"), list(cases()))
def test_a_failure_at_any_write_loses_nothing_that_was_acknowledged(
    monkeypatch: pytest.MonkeyPatch, at: int, moment: Moment, error: type[ProcessDied] | None
) -> None:
    monkeypatch.setattr(writer, "COMMIT", 2)
    house = prepared()
    engine = house.engine()
    house.faults.fail(at=at, moment=moment, error=error)
    acknowledged: list[Outcome] = []
    with suppress(ProcessDied, StoreUnavailableError):
        acknowledged.extend(engine.index_iter(CALL))
    assert house.faults.struck
    again = house.engine()
    assert_consistent(house.vectors, house.metadata)
    now = held(again)
    for id, states in STATES.items():
        done = sum(outcome.uri == id for outcome in acknowledged)
        asked = sum(id in (each.id, each.uri) for each in CALL)
        # Of an id that was acknowledged as often as asked for, only the last state is left.
        assert now[id] in (states[-1:] if done == asked else states[done:])
    statuses = {outcome.status.value for outcome in again.add_many(CALL).outcomes}
    assert statuses <= {"indexed", "unchanged", "duplicate"}
    assert held(again) == {id: states[-1] for id, states in STATES.items()}
    assert_consistent(house.vectors, house.metadata)
