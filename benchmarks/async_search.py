"""Concurrent searches of AsyncSearchEngine beside search_many and a loop over search.

python -m benchmarks.async_search [--stored N] [--searches N] [--rounds N]

Photographs are searched for with the default model, and the vectors of stored images, with
which no model runs. All searches begin at once. The three ways take turns, so that other work
of the machine disturbs them alike. Meanwhile a task measures by how much the event loop is late
every millisecond. In a last round, searches are cancelled at random.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np

from benchmarks.latency import fill
from benchmarks.photos import write_photos
from benchmarks.timing import table
from onnxsearch import (
    AsyncSearchEngine,
    LocalVectorStore,
    OnnxEmbedder,
    Query,
    QueryInput,
    SearchEngine,
    SearchResults,
    SQLiteMetadataStore,
)
from onnxsearch.catalog.catalog import Catalog

TICK = 0.001


class Lag:
    """By how much a loop was late, in milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self._measure())
        try:
            yield
        finally:
            task.cancel()

    async def _measure(self) -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            self.late.append(1000 * (time.perf_counter() - due))

    def __str__(self) -> str:
        return " / ".join(f"{late:.1f}" for late in np.percentile(self.late, [50, 99]))


class Clock:
    """Seconds of rounds, on the wall and of the processor."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    @contextmanager
    def measured(self) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


async def together(
    engine: AsyncSearchEngine, queries: Sequence[QueryInput], lag: Lag
) -> list[SearchResults]:
    async with lag.measured():
        return await asyncio.gather(*map(engine.search, queries))


async def half(engine: AsyncSearchEngine, queries: Sequence[QueryInput], lag: Lag) -> int:
    """Cancel half of the searches at random moments; return how many were."""
    chance = random.Random(0)

    async def cancel(task: asyncio.Task[SearchResults]) -> None:
        await asyncio.sleep(chance.random() * 0.5)
        task.cancel()

    async with lag.measured():
        tasks = [asyncio.ensure_future(engine.search(query)) for query in queries]
        await asyncio.gather(*(cancel(task) for task in tasks if chance.random() < 0.5))
        await asyncio.wait(tasks)
    return sum(task.cancelled() for task in tasks)


async def freed(engine: SearchEngine, query: QueryInput, rounds: int) -> list[float]:
    """Return the milliseconds from the cancel of a search to the result of the next operation."""
    times = []
    async with AsyncSearchEngine(engine, concurrency=1) as single:
        for _ in range(rounds):
            search = asyncio.ensure_future(single.search(query))
            await asyncio.sleep(0.005)
            search.cancel()
            started = time.perf_counter()
            await single.get("0")
            times.append(1000 * (time.perf_counter() - started))
    return times


def compare(engine: SearchEngine, queries: Sequence[QueryInput], rounds: int) -> dict[str, str]:
    expected = [engine.search(query) for query in queries]
    ours, lag, dropped, idle = AsyncSearchEngine(engine), Lag(), Lag(), Lag()
    clocks = {"search": Clock(), "search_many": Clock(), "async": Clock()}
    images = [query for query in queries if not isinstance(query, Query)]

    async def measure() -> tuple[int, list[float]]:
        assert await together(ours, queries, Lag()) == expected  # and warms up
        for _ in range(rounds):
            async with idle.measured():
                await asyncio.sleep(1)
            with clocks["search"].measured():
                for query in queries:
                    engine.search(query)
            if images:
                with clocks["search_many"].measured():
                    list(engine.search_many(images))
            with clocks["async"].measured():
                found = await together(ours, queries, lag)
            assert found == expected
        cancelled = await half(ours, queries, dropped)
        await ours.close()
        return cancelled, await freed(engine, queries[0], 20)

    cancelled, waits = asyncio.run(measure())
    clocks = {way: clock for way, clock in clocks.items() if clock.wall}
    wall = {way: statistics.median(clock.wall) for way, clock in clocks.items()}
    cpu = {way: statistics.median(clock.processor) for way, clock in clocks.items()}
    rows = {f"{way} (1/s)": f"{len(queries) / wall[way]:.0f}" for way in clocks}
    for way in clocks.keys() - {"async"}:
        rows[f"async / {way}"] = f"{wall[way] / wall['async']:.2f}"
        rows[f"async / {way}, by processor time"] = f"{cpu[way] / cpu['async']:.2f}"
    rows["loop late, idle, p50 / p99 (ms)"] = str(idle)
    rows["loop late, p50 / p99 (ms)"] = str(lag)
    rows[f"the same, {cancelled} cancelled (ms)"] = str(dropped)
    shown = f"{statistics.median(waits):.1f} / {max(waits):.1f}"
    rows["from a cancel to the next result, median / most (ms)"] = shown
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    embedder = OnnxEmbedder.bundled()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = write_photos(folder, options.searches)
        with (
            LocalVectorStore(folder / "vectors.sqlite") as vectors,
            SQLiteMetadataStore(folder / "records.sqlite") as metadata,
        ):
            engine = SearchEngine(embedder, vectors, metadata)
            fill(
                Catalog(vectors, metadata, "onnxsearch"),
                embedder.name,
                options.stored,
                embedder.dimension,
            )
            rows = engine.vectors([str(number) for number in range(options.searches)])
            kinds: dict[str, list[QueryInput]] = {
                "photographs": [str(photo) for photo in photos],
                "vectors": [Query.vector(row) for row in rows],
                "ids": [Query.id(str(number)) for number in range(options.searches)],
            }
            for kind, queries in kinds.items():
                title = f"{len(queries)} searches for {kind} among {options.stored:,}"
                print(table(title, compare(engine, queries, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
