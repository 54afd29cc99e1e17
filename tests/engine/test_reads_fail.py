"""Every read of every operation fails, hangs, or is the last one of its process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

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
    write_pictures,
)
from onnxsearch.testing.faults import Moment
from tests.engine.stores import assert_consistent, faulty_engine

Versions = Mapping[str, object]

OLD: Versions = {"cat": 1, "dog": 1}


class House:
    """Two stores with two pictures in them, that fail on demand."""

    def __init__(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()
        engine = self.engine()
        for id in OLD:
            put(engine, id, 1)
        self.faults.revive()

    def engine(self) -> SearchEngine:
        return faulty_engine(self.vectors, self.metadata, self.faults)

    def versions(self) -> Versions:
        """What each picture's record says, when the vectors of every model say it too."""
        engine = self.engine()
        found: dict[str, object] = {}
        for id in ("cat", "dog", "owl"):
            record = engine.get(id)
            if record is not None:
                found[id] = record.metadata["version"]
                for model in engine.models:
                    hit = engine.search(picture(f"{id} {found[id]}"), model=model, limit=1)[0]
                    assert (hit.id, hit.distance < 1e-3) == (id, True)
        return found


def put(engine: SearchEngine, id: str, version: int) -> None:
    engine.add(picture(f"{id} {version}"), id=id, metadata={"version": version})


def copy_in(engine: SearchEngine) -> None:
    other = SearchEngine(
        [FakeEmbedder("one"), FakeEmbedder("two", dimension=8)],
        InMemoryVectorStore(),
        InMemoryMetadataStore(),
    )
    put(other, "cat", 2)
    other.copy_to(engine)


OPERATIONS: dict[str, tuple[Callable[[SearchEngine], object], Versions]] = {
    "put": (lambda engine: put(engine, "owl", 2), {**OLD, "owl": 2}),
    "update": (lambda engine: put(engine, "cat", 2), {**OLD, "cat": 2}),
    "remove": (lambda engine: engine.remove("cat"), {"dog": 1}),
    "copy": (copy_in, {**OLD, "cat": 2}),
    "search": (lambda engine: engine.search(picture("cat 1"), limit=1).ids, OLD),
    "compare": (lambda engine: engine.compare(picture("cat 1")), OLD),
    "get": (lambda engine: engine.get("cat"), OLD),
    "count": (lambda engine: engine.count(), OLD),
    "verify": (lambda engine: engine.verify(repair=True), OLD),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("end", ["fails", "hangs", "dies"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_read_that_fails_leaves_the_old_or_the_new(name: str, end: str, moment: Moment) -> None:
    operation, new = OPERATIONS[name]
    for at in count():
        house = House()
        engine = house.engine()
        if end == "hangs":
            house.faults.hang(on="read", at=at, moment=moment, timeout=0.001)
        else:
            error = ProcessDied if end == "dies" else None
            house.faults.fail(on="read", at=at, moment=moment, error=error)
        try:
            operation(engine)
            possible = [new]
        except (StoreUnavailableError, ProcessDied):
            possible = [OLD, new]
        house.faults.revive()
        assert house.versions() in possible
        assert_consistent(house.vectors, house.metadata)
        if not house.faults.struck:
            assert at > 0, "the operation reads something"
            return


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_index_that_could_not_read_goes_on_where_it_stopped(
    tmp_path: Path, moment: Moment
) -> None:
    files = write_pictures(tmp_path, ["sofa", "chair", "table"])
    for at in count():
        house = House()
        house.faults.fail(on="read", at=at, moment=moment)
        with suppress(StoreUnavailableError):
            house.engine().index(files)
        house.faults.revive()
        engine = house.engine()
        assert not engine.index(files).failures
        assert engine.count() == len(OLD) + len(files)
        assert_consistent(house.vectors, house.metadata)
        if not house.faults.struck:
            assert at > 5, "opening and indexing read"
            return
