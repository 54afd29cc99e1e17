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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
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


def one_by_one(engine: SearchEngine, queries: Sequence[QueryInput]) -> list[SearchResults]:
    return [engine.search(query) for query in queries]


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


async def together(
    engine: AsyncSearchEngine, queries: Sequence[QueryInput], lag: Lag
) -> list[SearchResults]:
    async with lag.measured():
        return await asyncio.gather(*map(engine.search, queries))


async def cancelled(engine: AsyncSearchEngine, queries: Sequence[QueryInput], lag: Lag) -> float:
    """Cancel half of the searches at random; return the milliseconds until a slot was free."""
    chance, waits = random.Random(0), [0.0]

    async def cancel(task: asyncio.Task[SearchResults]) -> None:
        await asyncio.sleep(chance.random() * 0.5)
        task.cancel()
        started = time.perf_counter()
        await asyncio.wait([task])
        waits.append(1000 * (time.perf_counter() - started))

    async with lag.measured():
        tasks = [asyncio.ensure_future(engine.search(query)) for query in queries]
        await asyncio.gather(*(cancel(task) for task in tasks if chance.random() < 0.5))
        await asyncio.wait(tasks)
    return max(waits)


def compare(engine: SearchEngine, queries: Sequence[QueryInput], rounds: int) -> dict[str, str]:
    expected = one_by_one(engine, queries)
    ours, lag, dropped = AsyncSearchEngine(engine), Lag(), Lag()
    seconds: dict[str, list[float]] = {"search": [], "search_many": [], "async": []}

    images = [query for query in queries if not isinstance(query, Query)]

    async def measure() -> float:
        assert await together(ours, queries, Lag()) == expected  # and warms up
        for _ in range(rounds):
            seconds["search"].append(timed(lambda: one_by_one(engine, queries)))
            if images:
                seconds["search_many"].append(timed(lambda: list(engine.search_many(images))))
            started = time.perf_counter()
            found = await together(ours, queries, lag)
            seconds["async"].append(time.perf_counter() - started)
            assert found == expected
        waited = await cancelled(ours, queries, dropped)
        await ours.close()
        return waited

    waited = asyncio.run(measure())
    rates = {way: len(queries) / statistics.median(s) for way, s in seconds.items() if s}
    found = {f"{way} (1/s)": f"{rate:.0f}" for way, rate in rates.items()}
    found |= {
        f"async / {way}": f"{rates['async'] / rates[way]:.2f}" for way in rates if way != "async"
    }
    found["loop late, p50 / p99 (ms)"] = f"{lag.percentile(50):.1f} / {lag.percentile(99):.1f}"
    found["the same, half cancelled (ms)"] = (
        f"{dropped.percentile(50):.1f} / {dropped.percentile(99):.1f}"
    )
    found["until a cancelled search ended, at most (ms)"] = f"{waited:.1f}"
    return found


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
