"""Two engines on one pair of stores, in any order of writes, failures and deaths."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine, StoreError
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


class AnyOrder(RuleBasedStateMachine):
    """Keeps, by id, every version that may be the current one; None stands for absent."""

    @initialize()
    def begin(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = [Faults() for _ in ENGINES]
        self.engines = [self.engine(number) for number in ENGINES]
        self.possible: dict[str, set[int | None]] = {id: {None} for id in IDS}
        self.version = 0

    def engine(self, number: int) -> SearchEngine:
        return faulty_engine(self.vectors, self.metadata, self.faults[number])

    @rule(
        engine=ENGINE,
        id=ID,
        remove=st.booleans(),
        at=st.sampled_from([NEVER, NEVER, *range(8)]),
        on=st.sampled_from(["write", "write", "read"]),
        moment=st.sampled_from(["before", "after"]),
        error=st.sampled_from([None, ProcessDied()]),
    )
    def write(
        self,
        engine: int,
        id: str,
        remove: bool,
        at: int | None,
        on: Calls,
        moment: Moment,
        error: ProcessDied | None,
    ) -> None:
        self.version += 1
        version = None if remove else self.version
        self.faults[engine].revive()
        if at is not NEVER:
            self.faults[engine].fail(at=at, on=on, moment=moment, error=error)
        try:
            if remove:
                self.engines[engine].remove(id)
            else:
                shown = picture(f"{id} {version}")
                self.engines[engine].add(shown, id=id, metadata={"version": version})
            self.possible[id] = {version}
        except StoreError:
            self.possible[id].add(version)
        except ProcessDied:
            self.possible[id].add(version)
            self.open_again(engine)

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
        for id in IDS:
            record = reader.get(id)
            version = None if record is None else record.metadata["version"]
            assert version in self.possible[id]
            self.possible[id] = {version}  # type: ignore[arg-type]
            for model in reader.models if version else ():
                hit = reader.search(picture(f"{id} {version}"), model=model, limit=1)[0]
                assert (hit.id, hit.distance < 1e-3) == (id, True)

    def teardown(self) -> None:
        for engine in ENGINES:
            self.open_again(engine)
        assert_consistent(self.vectors, self.metadata)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=settings.default.max_examples // 4, stateful_step_count=20
)
