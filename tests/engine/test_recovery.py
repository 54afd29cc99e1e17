"""Several engines on one namespace: who opens ends what others began, and harms nobody."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    Cell,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    StoreCorruptError,
    StoreUnavailableError,
)
from onnxsearch.catalog import recovery
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.catalog.journal import State, decode_entry
from onnxsearch.catalog.keys import new_key
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    ProcessDied,
    picture,
    write_pictures,
)
from onnxsearch.testing.faults import Moment, Read, Write
from onnxsearch.types import Record
from onnxsearch.vectors.base import CollectionSpec
from tests.engine.stores import assert_consistent, faulty_engine

MOMENTS: list[Moment] = ["before", "after"]
WRITES = 7
"""Of an update: journal, two vectors, records, two deletions, journal."""


class House:
    """Two stores for any number of engines, each with faults of its own."""

    def __init__(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()
        self.writer = self.engine(self.faults)
        self.writer.add(picture("cat"), id="cat", metadata={"v": 1})

    def engine(self, faults: Faults | None = None) -> SearchEngine:
        faults = faults or Faults()
        return faulty_engine(self.vectors, self.metadata, faults)

    def update(self) -> None:
        self.writer.add(picture("new cat"), id="cat", metadata={"v": 2})

    def states(self) -> list[State]:
        journal = self.metadata.items("onnxsearch:journal")
        return [decode_entry(data).state for _, data in journal]

    def hanging(self, thread: threading.Thread) -> bool:
        while thread.is_alive():
            if self.faults.hanging.wait(0.01):
                return True
        return False


@pytest.fixture
def house() -> House:
    return House()


def assert_updated(house: House) -> None:
    engine = house.engine()
    record = engine.get("cat")
    assert record is not None
    assert record.metadata == {"v": 2}
    for model in engine.models:
        (hit,) = engine.search(picture("new cat"), model=model)
        assert (hit.id, hit.distance) == ("cat", pytest.approx(0, abs=1e-3))
    assert_consistent(house.vectors, house.metadata)


@pytest.mark.parametrize("at", range(WRITES))
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_slow_write_is_acknowledged_only_when_it_is_seen(
    house: House, at: int, moment: Moment
) -> None:
    """Whoever opens takes the write back; its writer notices, and writes again."""
    house.faults.hang(at=at, moment=moment, timeout=60)
    thread = threading.Thread(target=house.update)
    thread.start()
    assert house.hanging(thread)
    house.engine()
    house.faults.release()
    thread.join()

    assert_updated(house)
    assert house.states() == []


@pytest.mark.parametrize("at", range(WRITES))
@pytest.mark.parametrize("death", range(4))
def test_who_dies_while_taking_a_slow_write_back_leaves_nothing(
    house: House, at: int, death: int
) -> None:
    house.faults.hang(at=at, timeout=60)
    thread = threading.Thread(target=house.update)
    thread.start()
    assert house.hanging(thread)
    opener = Faults()
    opener.fail(at=death, moment="after", error=ProcessDied())
    with suppress(ProcessDied):
        house.engine(opener)
    house.faults.release()
    thread.join()
    assert_updated(house)


@pytest.mark.parametrize("at", range(WRITES))
def test_a_slow_writer_that_dies_leaves_nothing(house: House, at: int) -> None:
    """Its rows come after they were deleted; the entry that stayed deletes them again."""
    late = house.vectors._upsert

    def die_after(*arguments: object) -> None:
        late(*arguments)  # type: ignore[arg-type]
        raise ProcessDied

    house.faults.hang(at=at, timeout=60)

    def update() -> None:
        try:
            house.update()
        except ProcessDied:
            house.faults.fail(at=0, error=ProcessDied())

    thread = threading.Thread(target=update)
    thread.start()
    assert house.hanging(thread)
    house.vectors._upsert = die_after  # type: ignore[method-assign, assignment]
    house.engine()
    house.faults.release()
    thread.join()
    house.vectors._upsert = late  # type: ignore[method-assign]

    engine = house.engine()
    assert_consistent(house.vectors, house.metadata)
    assert engine.verify().ok
    assert engine.count() == 1


def test_a_second_attempt_is_left_alone(house: House) -> None:
    """Engines that open all the time cannot keep a write from ever finishing."""
    commit, opened = house.metadata._commit, 0

    def meddle(writes: object, expect: object) -> bool:
        nonlocal opened
        if expect and opened < 5:  # the commit that makes the update visible
            opened += 1
            house.engine()
        return commit(writes, expect)  # type: ignore[arg-type]

    house.faults.revive()
    house.metadata._commit = meddle  # type: ignore[method-assign, assignment]
    house.update()
    house.metadata._commit = commit  # type: ignore[method-assign]

    assert house.faults.writes.count("upsert") == 2 * 2, "two attempts, two models"
    assert_updated(house)


def test_a_second_attempt_is_taken_back_when_its_minute_is_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "LEASE", 0.0)
    house.faults.hang(at=3, timeout=60)
    thread = threading.Thread(target=house.update)
    thread.start()
    assert house.hanging(thread)
    house.engine()
    house.faults.hang(at=4, timeout=60)  # in the second attempt, which is leased
    house.faults.release()
    assert house.hanging(thread)
    house.engine()
    house.faults.release()
    thread.join()
    assert_updated(house)


def test_what_could_not_be_swept_goes_with_the_next_write(house: House) -> None:
    house.faults.fail(on="delete")  # of replaced vectors
    house.update()
    assert house.faults.struck
    assert house.states() == [State.REPLACED]
    house.writer.add(picture("dog"), id="dog")
    assert house.states() == []
    assert_consistent(house.vectors, house.metadata)


def test_what_could_not_be_taken_back_goes_with_the_next_write(house: House) -> None:
    class Gone(Faults):
        @contextmanager
        def around(self, call: Write | Read) -> Iterator[None]:
            if call in ("commit", "delete") and self.writes[-1:] == ["upsert"]:
                raise StoreUnavailableError("gone")
            with super().around(call):
                yield

    writer = house.engine(Gone())
    with pytest.raises(StoreUnavailableError):
        writer.add(picture("new cat"), id="cat", metadata={"v": 2})
    assert house.states() == [State.BEGUN]
    writer._catalog.vectors._faults.revive()  # type: ignore[attr-defined]
    assert writer.remove("nothing") == []
    assert house.states() == [State.TAKEN_BACK]
    assert_consistent(house.vectors, house.metadata)


def test_entries_taken_back_are_forgotten_after_an_hour(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.faults.fail(at=2)
    with pytest.raises(StoreUnavailableError):
        house.update()
    house.engine()
    assert house.states() == [State.TAKEN_BACK]
    monkeypatch.setattr(recovery, "GRACE", 0.0)
    house.engine()
    assert house.states() == []


def test_of_several_writers_the_last_one_wins_whole(house: House) -> None:
    """Four engines write, replace and remove a few ids, and open again and again."""
    ids = ["cat", "dog", "owl"]

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for version in range(25):
            engine = house.engine()
            id = dice.choice(ids)
            if dice.random() < 0.25:
                engine.remove(id)
            else:
                name = f"{id} {seed} {version}"
                engine.add(picture(name), id=id, metadata={"name": name})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    engine = house.engine()
    assert_consistent(house.vectors, house.metadata)
    assert engine.verify().ok
    for id in ids:
        record = engine.get(id)
        for model in engine.models if record else ():
            shown = picture(str(record.metadata["name"]))  # type: ignore[union-attr]
            hit = engine.search(shown, model=model, limit=1)[0]
            assert (hit.id, hit.distance) == (id, pytest.approx(0, abs=1e-3))


def test_two_engines_that_add_a_model_each_both_do() -> None:
    """An amendment that comes second starts from what the first one made."""
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    catalog = Catalog(vectors, metadata, "onnxsearch")
    for model in ("one", "two", "three"):
        vectors.ensure_collection(CollectionSpec(catalog.collection(model), 2, "v1"))
    vector = np.array([1, 0], np.float32)
    record = Record("cat", content="0" * 32)
    catalog.put([NewImage(Record("cat", content="0" * 32, models=("one",)), {"one": vector})])
    commit, second = metadata._commit, []

    def meddle(writes: object, expect: object) -> bool:
        if expect and not second:
            second.append("three")
            other = Catalog(vectors, metadata, "onnxsearch")
            other.amend([NewImage(record, {"three": vector})])
        return commit(writes, expect)  # type: ignore[arg-type]

    metadata._commit = meddle  # type: ignore[method-assign, assignment]
    catalog.amend([NewImage(record, {"two": vector})])

    found = catalog.records.find(["cat"])["cat"]
    assert set(found.record.models) == {"one", "two", "three"}
    assert set(catalog.vectors_of([found])[found.key]) == {"one", "two", "three"}
    assert_consistent(vectors, metadata)


@pytest.mark.parametrize(
    ("entry", "says"),
    [(b'{"version":1,"kind":"put"}\n\x00\x01', "version 1"), (b"hello", "another application")],
)
def test_an_unknown_journal_is_refused(house: House, entry: bytes, says: str) -> None:
    house.metadata.commit({Cell("onnxsearch:journal", new_key()): entry})
    with pytest.raises(StoreCorruptError, match=says):
        house.engine()


def test_a_file_that_is_named_twice_is_amended_once(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, ["cat"])
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = SearchEngine(FakeEmbedder("one"), vectors, metadata)
    for version in range(2):
        engine.index([path, path], metadata={"v": version})
        assert_consistent(vectors, metadata)
    assert engine.count() == 1
