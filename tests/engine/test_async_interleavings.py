"""Any order of calls, cancels, hanging stores and a close: nothing is lost, held or half done."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from onnxsearch import (
    AsyncSearchEngine,
    ClosedError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyMetadataStore,
    FaultyVectorStore,
    picture,
)

pytestmark = pytest.mark.integration

PATIENCE = 60.0
NAMES = [f"image {number}" for number in range(5)]

ACTION = st.one_of(
    st.tuples(st.just("search"), st.integers(0, 4)),
    st.tuples(st.just("add"), st.integers(0, 99)),
    st.tuples(st.just("count"), st.just(0)),
    st.tuples(st.just("list"), st.just(0)),
    st.tuples(st.just("index"), st.integers(1, 70)),
    st.tuples(st.just("cancel"), st.integers(0, 99)),
    st.tuples(st.just("hang"), st.sampled_from(["search", "commit", "upsert", "get_many"])),
    st.tuples(st.just("release"), st.just(0)),
    st.tuples(st.just("sleep"), st.sampled_from([0, 1, 5])),
    st.tuples(st.just("close"), st.just(0)),
)


@dataclass
class Run:
    """One interleaving, and what has been asked for in it."""

    engine: SearchEngine
    faults: Faults
    ours: AsyncSearchEngine
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    added: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    def begin(self, operation: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(operation)
        self.tasks.append(task)
        return task

    async def act(self, action: str, value: Any) -> None:
        match action:
            case "search":
                self.begin(self.search(NAMES[value]))
            case "add":
                id = f"added {len(self.added)}"
                self.added[id] = self.begin(self.ours.add(picture(str(value)), id=id))
            case "count":
                self.begin(self.ours.count())
            case "list":
                self.begin(self.listed())
            case "index":
                self.begin(self.indexed(value))
            case "cancel" if self.tasks:
                self.tasks[value % len(self.tasks)].cancel()
            case "hang":
                self.faults.hang(on=value, timeout=PATIENCE)
            case "release":
                self.faults.revive()
                self.faults.release()
            case "sleep":
                await asyncio.sleep(value / 1000)
            case "close":
                self.begin(self.ours.close())

    async def search(self, name: str) -> None:
        results = await self.ours.search(picture(name), limit=1)
        assert results.ids == [name]

    async def listed(self) -> None:
        ids = [record.id async for record in self.ours.records()]
        assert set(NAMES) <= set(ids)

    async def indexed(self, number: int) -> None:
        items = (picture(f"indexed {each}") for each in range(number))
        async for outcome in self.ours.index_iter(items):
            assert outcome.error is None


async def play(actions: list[tuple[str, Any]], concurrency: int, batching: bool) -> None:
    faults = Faults()
    engine = SearchEngine(
        FakeEmbedder(),
        FaultyVectorStore(InMemoryVectorStore(), faults),
        FaultyMetadataStore(InMemoryMetadataStore(), faults),
        workers=2,
    )
    for name in NAMES:
        engine.add(picture(name), id=name)
    faults.revive()
    ours = AsyncSearchEngine(engine, concurrency=concurrency, batching=batching)
    run = Run(engine, faults, ours)
    for action, value in actions:
        await run.act(action, value)
    faults.revive()
    faults.release()
    # A call may have begun to hang between the two.
    releasing = asyncio.ensure_future(_released(faults))
    ended = await asyncio.gather(*run.tasks, return_exceptions=True)
    closed = any(action == "close" for action, _ in actions)
    allowed = (asyncio.CancelledError, ClosedError) if closed else asyncio.CancelledError
    errors = [e for e in ended if isinstance(e, BaseException) and not isinstance(e, allowed)]
    assert errors == []
    pool = ours._pool
    assert (pool.running, pool.waiting) == (0, 0)
    await ours.close()
    releasing.cancel()
    assert pool.abandoned == 0
    assert engine.verify().ok
    for id, task in run.added.items():
        if not task.cancelled() and task.exception() is None:
            assert id in engine
    if not closed:
        assert Counter(type(e) for e in ended)[ClosedError] == 0


async def _released(faults: Faults) -> None:
    while True:
        faults.release()
        await asyncio.sleep(0.001)


@settings(max_examples=150)
@given(st.lists(ACTION, max_size=40), st.integers(1, 3), st.booleans())
def test_nothing_is_lost_held_or_half_done(
    actions: list[tuple[str, Any]], concurrency: int, batching: bool
) -> None:
    before = threading.active_count()
    asyncio.run(asyncio.wait_for(play(actions, concurrency, batching), PATIENCE))
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("onnxsearch-async")], before
