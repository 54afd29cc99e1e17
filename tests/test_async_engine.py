"""The search engine for asyncio: the same operations, a free event loop, and cancellation."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import pytest
from PIL import Image

from onnxsearch import (
    AsyncSearchEngine,
    ClosedError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    Progress,
    SearchEngine,
    SearchResults,
    Status,
    StoreUnavailableError,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyMetadataStore,
    FaultyVectorStore,
    picture,
    write_pictures,
)

P = ParamSpec("P")

PATIENCE = 30.0
"""Seconds after which a test gives up; what it waits for takes less than one."""

NAMES = [f"image {number}" for number in range(12)]


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), PATIENCE))

    return run


class Stores:
    """An engine whose stores fail or hang when a test asks for it."""

    def __init__(
        self, names: list[str] | None = None, embedder: FakeEmbedder | None = None
    ) -> None:
        self.faults = Faults()
        self.embedder = embedder or FakeEmbedder()
        self.engine = SearchEngine(
            self.embedder,
            FaultyVectorStore(InMemoryVectorStore(), self.faults),
            FaultyMetadataStore(InMemoryMetadataStore(), self.faults),
            workers=2,
        )
        for name in NAMES if names is None else names:
            self.engine.add(picture(name), id=name, metadata={"name": name})
        self.faults.revive()

    async def hanging_search(self, engine: AsyncSearchEngine) -> asyncio.Task[SearchResults]:
        """Begin a search, and return when the store hangs."""
        self.faults.hang(on="search")
        search = asyncio.ensure_future(engine.search(picture("image 1")))
        await self.hangs()
        return search

    async def hangs(self) -> None:
        """Wait until a call hangs."""
        await asyncio.to_thread(self.faults.hanging.wait, PATIENCE)
        assert self.faults.hanging.is_set()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@asynccontextmanager
async def opened(stores: Stores, **options: Any) -> AsyncIterator[AsyncSearchEngine]:
    async with AsyncSearchEngine(stores.engine, **options) as engine:
        try:
            yield engine
        finally:
            stores.faults.release()


def operations(engine: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(engine)
        if not name.startswith("_") and name not in ("open", "close")
    }


OPERATIONS = operations(SearchEngine)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_there_with_the_same_parameters(name: str) -> None:
    ours, theirs = getattr(AsyncSearchEngine, name), OPERATIONS[name]
    assert inspect.getdoc(ours)
    if callable(theirs):
        assert inspect.signature(ours).parameters == inspect.signature(theirs).parameters


def test_nothing_else_is_there() -> None:
    assert operations(AsyncSearchEngine).keys() - OPERATIONS.keys() == {"engine"}


def test_open_has_the_parameters_of_the_engine_and_its_own() -> None:
    ours = dict(inspect.signature(AsyncSearchEngine.open).parameters)
    assert set(inspect.signature(AsyncSearchEngine).parameters) - {"engine"} == {
        name for name in ours if name not in inspect.signature(SearchEngine.open).parameters
    }
    for name, parameter in inspect.signature(SearchEngine.open).parameters.items():
        assert ours[name] == parameter


@in_a_loop
async def test_results_are_those_of_the_engine(tmp_path: Path) -> None:
    stores = Stores()
    engine = stores.engine
    async with AsyncSearchEngine(engine) as ours:
        assert ours.engine is engine
        assert ours.models == engine.models
        assert await ours.search(picture("image 1"), limit=5) == engine.search(
            picture("image 1"), limit=5
        )
        assert await ours.count() == len(engine)
        assert await ours.get("image 1") == engine.get("image 1")
        assert [record async for record in ours.records(order_by="id")] == list(
            engine.records(order_by="id")
        )
        queries = [picture(name) for name in NAMES]
        assert [found async for found in ours.search_many(queries)] == list(
            engine.search_many(queries)
        )
        assert await ours.add(picture("new"), id="new") == "new"
        assert await ours.save_snapshot(tmp_path / "album.zip") == 13
        assert await ours.remove(["new", "other"]) == ["new"]
    assert len(engine) == 12  # it is the caller's, and open


@in_a_loop
async def test_errors_are_those_of_the_engine() -> None:
    async with AsyncSearchEngine(Stores().engine) as engine:
        with pytest.raises(InvalidArgumentError, match="limit 0"):
            await engine.search(picture("image 1"), limit=0)
        with pytest.raises(InvalidArgumentError, match="search_many was given"):
            [found async for found in engine.search_many(picture("image 1"))]  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="progress"):
            await engine.add_many([], progress="yes")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="stop_event"):
            [report async for report in engine.watch(".", stop_event=1)]  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"concurrency": True}, {"batching": 1}])
def test_wrong_options_are_refused_before_anything_is_opened(
    options: dict[str, Any], tmp_path: Path
) -> None:
    (name,) = options
    with pytest.raises(InvalidArgumentError, match=name):
        AsyncSearchEngine(Stores([]).engine, **options)
    with pytest.raises(InvalidArgumentError, match=name):
        AsyncSearchEngine.open(tmp_path / "album", **options)
    assert not (tmp_path / "album").exists()
    with pytest.raises(InvalidArgumentError, match="engine"):
        AsyncSearchEngine("album")  # type: ignore[arg-type]


@in_a_loop
async def test_open_and_close(tmp_path: Path) -> None:
    async with AsyncSearchEngine.open(tmp_path, embedders=FakeEmbedder()) as engine:
        await engine.add(picture("cat"), id="cat")
    with pytest.raises(ClosedError):
        await engine.count()
    with pytest.raises(ClosedError):
        engine.engine.count()
    opening: Any = AsyncSearchEngine.open(tmp_path, embedders=FakeEmbedder())
    with pytest.raises(AttributeError, match="not open yet, so it has no 'search': write `async"):
        opening.search(picture("cat"))
    again = await opening
    assert await again.count() == 1
    await asyncio.gather(again.close(), again.close())
    assert repr(again) == "<AsyncSearchEngine fake, closed>"


@in_a_loop
async def test_an_engine_whose_opening_was_cancelled_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> SearchEngine:
        begun.set()
        go_on.wait(PATIENCE)
        return Stores([]).engine

    monkeypatch.setattr(SearchEngine, "open", slow)
    monkeypatch.setattr(SearchEngine, "close", lambda self: closed.set())
    opening = asyncio.ensure_future(AsyncSearchEngine.open(tmp_path)._open())
    await until(begun.is_set)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not closed.is_set()
    go_on.set()
    await until(closed.is_set)


@in_a_loop
async def test_the_loop_runs_on_while_a_store_hangs() -> None:
    stores = Stores()
    async with opened(stores) as engine:
        search = await stores.hanging_search(engine)
        assert not search.done()
        assert await engine.count() == 12
        stores.faults.release()
        assert (await search)[0].id == "image 1"


@in_a_loop
async def test_operations_wait_for_a_slot_in_order() -> None:
    stores = Stores()
    async with opened(stores, concurrency=1) as engine:
        first = await stores.hanging_search(engine)
        done: list[int] = []

        async def later(number: int) -> None:
            await engine.add(picture(f"new {number}"), id=f"new {number}")
            done.append(number)

        others = [asyncio.ensure_future(later(number)) for number in range(5)]
        await asyncio.sleep(0.01)
        assert not done
        assert "upsert" not in stores.faults.writes
        stores.faults.release()
        await asyncio.gather(first, *others)
        assert done == [0, 1, 2, 3, 4]


@in_a_loop
async def test_what_was_cancelled_before_it_began_never_begins() -> None:
    stores = Stores()
    async with opened(stores, concurrency=1) as engine:
        search = await stores.hanging_search(engine)
        waiting = asyncio.ensure_future(engine.add(picture("new"), id="new"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        stores.faults.release()
        await search
        assert await engine.get("new") is None
        assert stores.faults.writes == []


@in_a_loop
async def test_a_cancelled_operation_frees_its_slot_while_its_thread_hangs() -> None:
    stores = Stores()
    async with opened(stores, concurrency=1) as engine:
        search = await stores.hanging_search(engine)
        search.cancel()
        assert await engine.count() == 12
        with pytest.raises(asyncio.CancelledError):
            await search


@in_a_loop
async def test_timeouts_are_those_of_asyncio() -> None:
    stores = Stores()
    async with opened(stores, concurrency=1) as engine:
        stores.faults.hang(on="search")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await engine.search(picture("image 1"))
        stores.faults.hang(on="search", timeout=0.01)
        with pytest.raises(StoreUnavailableError):
            await engine.search(picture("image 1"))


@in_a_loop
async def test_threads_are_bounded_however_many_operations_are_cancelled() -> None:
    stores = Stores()
    async with opened(stores, concurrency=2) as engine:
        started, release = 0, threading.Event()

        def image() -> Image.Image:
            nonlocal started
            started += 1
            release.wait(PATIENCE)
            return picture("new")

        for number in range(4):
            task = asyncio.ensure_future(engine.add_many([Item(image)]))
            await until(lambda wanted=number + 1: started == wanted)  # type: ignore[misc]
            task.cancel()
        waiting = asyncio.ensure_future(engine.count())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        release.set()
        assert await waiting == 12


@in_a_loop
async def test_a_cancelled_run_ends_after_the_image_at_work() -> None:
    stores = Stores([])
    stored: list[Progress] = []
    async with opened(stores) as engine:
        taken = 0

        def endless() -> Iterator[Item]:
            nonlocal taken
            while True:
                taken += 1
                yield Item(picture(str(taken)), id=str(taken))

        run = asyncio.ensure_future(engine.add_many(endless(), progress=stored.append))
        await until(lambda: len(stored) > 70)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        reported = len(stored)
    # It was closed, so the run has ended.
    assert len(stored) == reported
    assert 64 <= stores.engine.count() < taken
    assert stores.engine.verify().ok


@in_a_loop
async def test_progress_is_reported_in_the_loop() -> None:
    async with opened(Stores([])) as engine:
        loops: list[object] = []

        def report(progress: Progress) -> None:
            loops.append((asyncio.get_running_loop(), progress.done))

        await engine.add_many([picture(name) for name in NAMES], progress=report)
        loop = asyncio.get_running_loop()
        assert loops == [(loop, done) for done in range(1, 13)]


@pytest.mark.parametrize("at", [1, 12])
@in_a_loop
async def test_an_error_of_the_progress_function_is_raised(at: int) -> None:
    async with opened(Stores([])) as engine:

        def report(progress: Progress) -> None:
            if progress.done == at:
                raise KeyError(at)

        with pytest.raises(KeyError):
            await engine.add_many([picture(name) for name in NAMES], progress=report)


@in_a_loop
async def test_index_iter_advances_only_when_it_is_asked() -> None:
    stores = Stores([])
    async with opened(stores, concurrency=1) as engine:
        taken = 0

        def frames() -> Iterator[Item]:
            nonlocal taken
            while True:
                taken += 1
                yield Item(picture(str(taken)), id=str(taken))

        async with aclosing(engine.index_iter(frames())) as outcomes:
            assert (await anext(outcomes)).status is Status.INDEXED
            before = taken
            # The only slot is free between two items.
            assert await engine.count() == 64
            assert (await anext(outcomes)).id == "2"
            assert taken == before
        count = await engine.count()
    assert stores.engine.verify().ok
    assert stores.engine.count() == count < 200


@in_a_loop
async def test_break_closes_the_source() -> None:
    async with opened(Stores([])) as engine:
        closed = threading.Event()

        def frames() -> Iterator[Item]:
            try:
                for number in range(1000):
                    yield Item(picture(str(number)), id=str(number))
            finally:
                closed.set()

        async for outcome in engine.index_iter(frames()):
            assert outcome.id == "0"
            break
        await until(closed.is_set)
        assert await engine.count() < 1000


@in_a_loop
async def test_cancelling_an_iteration_ends_it() -> None:
    stores = Stores([])
    frame, closed = threading.Semaphore(0), threading.Event()
    asked = 0

    def frames() -> Iterator[Item]:
        nonlocal asked
        try:
            for number in range(1000):
                asked += 1
                frame.acquire(timeout=PATIENCE)
                yield Item(picture(str(number)), id=str(number))
        finally:
            closed.set()

    async def follow() -> None:
        async for _ in engine.index_iter(frames()):
            raise AssertionError("nothing is final before 64 images")

    async with opened(stores, concurrency=1) as engine:
        task = asyncio.ensure_future(follow())
        frame.release(10)
        await until(lambda: asked == 11)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not closed.is_set()  # it waits for the next frame
        assert await engine.count() == 0  # and holds no slot
        frame.release()
        await until(closed.is_set)
    assert stores.engine.count() == 10
    assert stores.engine.verify().ok


@in_a_loop
async def test_close_waits_for_what_runs_and_refuses_what_waits() -> None:
    stores = Stores()
    engine = AsyncSearchEngine(stores.engine, concurrency=1)
    records = engine.records(order_by="id")
    assert (await anext(records)).id == "image 0"
    search = await stores.hanging_search(engine)
    waiting = asyncio.ensure_future(engine.count())
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(engine.close())
    await asyncio.sleep(0.01)
    closing.cancel()
    assert not search.done()
    stores.faults.release()
    await engine.close()
    assert (await search)[0].id == "image 1"
    with pytest.raises(ClosedError):
        await waiting
    with pytest.raises(ClosedError):
        [record async for record in engine.records()]


@in_a_loop
async def test_close_ends_iterations() -> None:
    closed = threading.Event()

    def frames() -> Iterator[Item]:
        try:
            for number in range(1000):
                yield Item(picture(str(number)), id=str(number))
        finally:
            closed.set()

    engine = AsyncSearchEngine(Stores([]).engine)
    outcomes = engine.index_iter(frames())
    await anext(outcomes)
    await engine.close()
    assert closed.is_set()
    with pytest.raises(ClosedError):
        [outcome async for outcome in outcomes]


@in_a_loop
async def test_a_folder_and_a_copy(tmp_path: Path) -> None:
    write_pictures(tmp_path, NAMES)
    other = Stores([])
    async with opened(Stores([])) as engine:
        report = await engine.index(tmp_path)
        assert report.counts[Status.INDEXED] == 12
        assert [o.status async for o in engine.index_iter(tmp_path)] == [Status.UNCHANGED] * 12
        seen: list[Awaitable[None] | Progress] = []
        await engine.copy_to(other.engine, progress=seen.append)
        assert other.engine.count() == 12
        assert seen


@in_a_loop
async def test_stats_show_how_busy_the_slots_are() -> None:
    stores = Stores()
    async with opened(stores, concurrency=2) as engine:
        search = await stores.hanging_search(engine)
        stats = await engine.stats()
        assert (stats.running, stats.waiting, stats.abandoned) == (1, 0, 0)
        assert (stats.images, stats.models[0].vectors) == (12, 12)
        search.cancel()
        await asyncio.wait([search])
        stats = await engine.stats()
        assert (stats.running, stats.waiting, stats.abandoned) == (0, 0, 1)
        stores.faults.release()
        while (await engine.stats()).abandoned:
            await asyncio.sleep(0.001)


@in_a_loop
async def test_searches_that_wait_are_answered_together() -> None:
    stores = Stores()
    async with opened(stores, concurrency=2) as engine:
        first = await stores.hanging_search(engine)
        others = [asyncio.ensure_future(engine.search(picture(name))) for name in NAMES]
        await asyncio.sleep(0)
        assert (await engine.stats()).waiting_searches == 12
        others[3].cancel()
        assert (await engine.stats()).waiting_searches == 11
        stores.faults.release()
        await first
        prepared = len(stores.embedder.calls.prepared)
        found = await asyncio.gather(*others, return_exceptions=True)
        assert isinstance(found[3], asyncio.CancelledError)
        assert [r[0].id for r in found if not isinstance(r, BaseException)] == [
            name for name in NAMES if name != "image 3"
        ]
        assert len(stores.embedder.calls.prepared) == prepared + 11
        stats = await engine.stats()
        assert (stats.batches, stats.batched, stats.waiting_searches) == (2, 12, 0)


@in_a_loop
async def test_a_batch_that_nobody_waits_for_frees_its_slot() -> None:
    stores = Stores()
    async with opened(stores, concurrency=1) as engine:
        stores.faults.hang(on="search")
        searches = [asyncio.ensure_future(engine.search(picture(name))) for name in NAMES[:3]]
        await stores.hangs()
        searches[0].cancel()
        waiting = asyncio.ensure_future(engine.count())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        searches[1].cancel()
        searches[2].cancel()
        assert await waiting == 12
        assert (await engine.search(picture("image 1")))[0].id == "image 1"


@in_a_loop
async def test_searches_that_wait_while_the_engine_closes() -> None:
    stores = Stores()
    engine = AsyncSearchEngine(stores.engine, concurrency=1)
    first = await stores.hanging_search(engine)
    others = [asyncio.ensure_future(engine.search(picture(name))) for name in NAMES]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(engine.close())
    await asyncio.sleep(0)
    stores.faults.release()
    await closing
    assert (await first)[0].id == "image 1"
    for error in await asyncio.gather(*others, return_exceptions=True):
        assert isinstance(error, ClosedError)
    with pytest.raises(ClosedError):
        await engine.search(picture("image 1"))
