"""Two engines on one pair of stores, in any order of writes, failures and deaths."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from onnxsearch import (
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Query,
    SearchEngine,
    StoreError,
)
from onnxsearch.testing import (
    Faults,
    ProcessDied,
    picture,
)
from onnxsearch.testing.faults import Calls, Moment
from tests.engine.stores import assert_consistent, faulty_engine

ENGINES = (0, 1)
IDS = ("cat", "dog", "owl")
ENGINE, ID = st.sampled_from(ENGINES), st.sampled_from(IDS)
NEVER = None


class Version(NamedTuple):
    """What is stored under an id: the number of its image, and of the last change to it."""

    image: int
    edit: int


class AnyOrder(RuleBasedStateMachine):
    """Keeps, by id, every version that may be the current one; None stands for absent."""

    @initialize()
    def begin(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = [Faults() for _ in ENGINES]
        self.engines = [self.engine(number) for number in ENGINES]
        self.possible: dict[str, set[Version | None]] = {id: {None} for id in IDS}
        self.number = 0

    def engine(self, number: int) -> SearchEngine:
        return faulty_engine(self.vectors, self.metadata, self.faults[number])

    @rule(
        engine=ENGINE,
        id=ID,
        action=st.sampled_from(["add", "add", "update", "remove", "remove by filter"]),
        at=st.sampled_from([NEVER, NEVER, *range(8)]),
        on=st.sampled_from(["write", "write", "read"]),
        moment=st.sampled_from(["before", "after"]),
        error=st.sampled_from([None, ProcessDied()]),
    )
    def write(
        self,
        engine: int,
        id: str,
        action: str,
        at: int | None,
        on: Calls,
        moment: Moment,
        error: ProcessDied | None,
    ) -> None:
        self.number += 1
        # The invariant has read which version it is.
        (before,) = self.possible[id]
        if action == "update" and before is None:
            return
        after = None
        if action == "add":
            after = Version(self.number, self.number)
        elif action == "update":
            after = before and before._replace(edit=self.number)
        self.faults[engine].revive()
        if at is not NEVER:
            self.faults[engine].fail(at=at, on=on, moment=moment, error=error)
        try:
            self.act(self.engines[engine], action, id)
            self.possible[id] = {after}
        except StoreError:
            self.possible[id].add(after)
        except ProcessDied:
            self.possible[id].add(after)
            self.open_again(engine)

    def act(self, engine: SearchEngine, action: str, id: str) -> None:
        edit = self.number
        if action == "add":
            metadata = {"id": id, "image": edit, "edit": edit}
            engine.add(picture(f"{id} {edit}"), id=id, metadata=metadata)
        elif action == "update":
            assert engine.update(id, metadata={"edit": edit}).metadata["edit"] == edit
        elif action == "remove":
            engine.remove(id)
        else:
            engine.remove(filter=F("id") == id)

    @rule(engine=ENGINE)
    def open_again(self, engine: int) -> None:
        self.faults[engine].revive()
        self.engines[engine] = self.engine(engine)

    @rule(engine=ENGINE, at=st.integers(0, 4), on=st.sampled_from(["write", "write", "read"]))
    def die_while_opening(self, engine: int, at: int, on: Calls) -> None:
        self.faults[engine].fail(at=at, on=on, moment="after", error=ProcessDied())
        with suppress(ProcessDied):
            self.engine(engine)
        self.open_again(engine)

    @rule(engine=ENGINE)
    def check_in_full(self, engine: int) -> None:
        self.faults[engine].revive()
        report = self.engines[engine].verify()
        assert report.ok, report.findings

    @invariant()
    def the_current_version_is_whole(self) -> None:
        reader = self.engines[0]
        self.faults[0].revive()
        records = {record.id: record for record in reader.records(order_by="id")}
        assert len(reader) == len(records)
        for id in IDS:
            record = reader.get(id)
            assert record == records.get(id)
            version = record and Version(record.metadata["image"], record.metadata["edit"])  # type: ignore[arg-type]
            assert version in self.possible[id]
            self.possible[id] = {version}
            for model in reader.models if version else ():
                self.is_found(reader, model, id, version)

    def is_found(self, reader: SearchEngine, model: str, id: str, version: Version) -> None:
        edited = F("edit") == version.edit
        (hit,) = reader.search(picture(f"{id} {version.image}"), model=model, filter=edited)
        assert (hit.id, hit.distance < 1e-3) == (id, True)
        found = reader.search(Query.vector(reader.vectors(id, model)[0]), model=model, limit=1)
        assert found.ids == [id]

    def teardown(self) -> None:
        for engine in ENGINES:
            self.open_again(engine)
        assert_consistent(self.vectors, self.metadata)


TestAnyOrder = pytest.mark.integration(AnyOrder.TestCase)
TestAnyOrder.settings = settings(
    max_examples=settings.default.max_examples // 4, stateful_step_count=20
)
