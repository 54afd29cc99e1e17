"""The two-store protocol, with every write of it failing in every way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    StoreUnavailableError,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    ProcessDied,
    picture,
)
from onnxsearch.testing.faults import Moment
from tests.engine.stores import assert_consistent, faulty_engine

Operation = Callable[[SearchEngine], object]


class House:
    """Two stores that outlive the engines on them, and fail on demand."""

    def __init__(self) -> None:
        self.vectors = InMemoryVectorStore()
        self.metadata = InMemoryMetadataStore()
        self.faults = Faults()

    def engine(self) -> SearchEngine:
        return faulty_engine(self.vectors, self.metadata, self.faults)

    def restarted(self) -> SearchEngine:
        self.faults.revive()
        return self.engine()


def state(engine: SearchEngine) -> dict[str, object]:
    """What the engine says of the pictures that the operations are about."""
    seen: dict[str, object] = {}
    for id, name in [("cat", "cat"), ("cat", "another cat"), ("dog", "dog")]:
        for model in ("one", "two"):
            hits = engine.search(picture(name), model=model, limit=10)
            exact = [hit for hit in hits if hit.distance < 1e-3]
            seen[f"{id} as {name} in {model}"] = [(hit.id, dict(hit.metadata)) for hit in exact]
        record = engine.get(id)
        seen[id] = record and dict(record.metadata)
    return seen


OPERATIONS: dict[str, Operation] = {
    "put": lambda engine: engine.add(picture("dog"), id="dog"),
    "update": lambda engine: engine.add(picture("another cat"), id="cat", metadata={"v": 2}),
    "remove": lambda engine: engine.remove("cat"),
}


@cache
def before_and_after(operation: Operation) -> tuple[object, object, list[str]]:
    house = House()
    engine = house.engine()
    engine.add(picture("cat"), id="cat", metadata={"v": 1})
    engine.add(picture("bystander"), id="bystander")
    before = state(engine)
    house.faults.revive()
    operation(engine)
    writes = list(house.faults.writes)
    assert_consistent(house.vectors, house.metadata)
    return before, state(engine), writes


def cases() -> list[tuple[str, int, Moment]]:
    return [
        (name, number, moment)
        for name, operation in OPERATIONS.items()
        for number in range(len(before_and_after(operation)[2]))
        for moment in ("before", "after")
    ]


def prepared() -> tuple[House, SearchEngine]:
    house = House()
    engine = house.engine()
    engine.add(picture("cat"), id="cat", metadata={"v": 1})
    engine.add(picture("bystander"), id="bystander")
    return house, engine


@pytest.mark.parametrize(("name", "number", "moment"), cases())
def test_a_death_at_any_write_leaves_the_old_or_the_new_picture_whole(
    name: str, number: int, moment: Moment
) -> None:
    before, after, _ = before_and_after(OPERATIONS[name])
    house, engine = prepared()

    house.faults.fail(at=number, moment=moment, error=ProcessDied())
    with pytest.raises(ProcessDied):
        OPERATIONS[name](engine)

    again = house.restarted()
    assert state(again) in (before, after)
    assert_consistent(house.vectors, house.metadata)
    assert again.get("bystander") is not None


@pytest.mark.parametrize(("name", "number", "moment"), cases())
def test_a_death_in_recovery_is_recovered_from(name: str, number: int, moment: Moment) -> None:
    before, after, _ = before_and_after(OPERATIONS[name])
    for second in range(8):
        house, engine = prepared()
        house.faults.fail(at=number, moment=moment, error=ProcessDied())
        with pytest.raises(ProcessDied):
            OPERATIONS[name](engine)
        house.faults.revive()
        house.faults.fail(at=second, moment="after", error=ProcessDied())
        try:
            house.engine()
            recovered = True
        except ProcessDied:
            recovered = False
        assert state(house.restarted()) in (before, after)
        assert_consistent(house.vectors, house.metadata)
        if recovered:
            return
    pytest.fail("recovery needed more than eight writes")


@pytest.mark.parametrize(("name", "number", "moment"), cases())
def test_a_store_that_fails_leaves_the_engine_with_the_old_or_the_new_picture(
    name: str, number: int, moment: Moment
) -> None:
    before, after, _ = before_and_after(OPERATIONS[name])
    house, engine = prepared()

    house.faults.fail(at=number, moment=moment)
    try:
        OPERATIONS[name](engine)
        acknowledged = True
    except StoreUnavailableError:
        acknowledged = False
    assert house.faults.struck

    # The same engine goes on, without a restart.
    assert state(engine) == after if acknowledged else state(engine) in (before, after)
    again = house.restarted()
    assert state(again) == after if acknowledged else state(again) in (before, after)
    assert_consistent(house.vectors, house.metadata)


def test_a_refused_upsert_is_taken_back_at_once() -> None:
    before, _, _ = before_and_after(OPERATIONS["update"])
    house, engine = prepared()
    house.faults.fail(on="upsert", at=1)  # the second model's

    with pytest.raises(StoreUnavailableError):
        OPERATIONS["update"](engine)

    assert state(engine) == before
    assert_consistent(house.vectors, house.metadata)


def test_an_engine_that_opens_meanwhile_does_no_harm() -> None:
    """Another engine replays what is under way in this one: both may finish it."""
    house, engine = prepared()
    _, after, _ = before_and_after(OPERATIONS["update"])
    commit = house.metadata._commit
    opened = []

    def meddle(writes: object, expect: object) -> bool:
        if expect and not opened:  # the commit that makes the update visible
            opened.append("another engine")
            SearchEngine([FakeEmbedder("one")], house.vectors, house.metadata)
        return commit(writes, expect)  # type: ignore[arg-type]

    house.metadata._commit = meddle  # type: ignore[method-assign, assignment]
    OPERATIONS["update"](engine)

    assert opened
    assert state(engine) == after
    assert_consistent(house.vectors, house.metadata)
