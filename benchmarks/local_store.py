"""The local store beside numpy, on vectors like those of photos.

python -m benchmarks.local_store [--rows N] [--dimension N] [--rounds N] [--duplicates D ...]

Random vectors have no neighbours, and are no measure of exact search. These have the
spectrum that the vectors of 1,237 photos have with the default model (efficientnet-lite2,
1,280 numbers): a mean of length .65 and a variance of .58, of which 17 % lie in the first
direction, 50 % in 16, 83 % in 128 and 92 % in 256. A quarter of the variance lies between
groups of 20. Then about as many rows are left to compare as with the photos. Queries are
further vectors of such groups. One row in a thousand is another one with some noise, a
near-duplicate at a distance of about .005.

Numpy computes the product of all vectors, in memory, with the queries, and selects the
first ten. Both sides take turns, so that other work of the machine disturbs them alike.
There is a pause before each, since the threads of OpenBLAS keep cores busy for a tenth of a
second after numpy's product. The ratio is the median of the ratios of all turns.

`--duplicates` finds all pairs of rows at most so distant. With up to 20,000 rows, numpy
compares all pairs too, and must find the same ones.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxsearch import CollectionSpec, LocalVectorStore

BATCH = 1000
LIMIT = 10
GROUP = 20
MEAN, VARIANCE, BETWEEN_GROUPS = 0.65, 0.576, 0.25
SHARES = {0: 0.0, 1: 0.168, 2: 0.218, 4: 0.296, 8: 0.39, 16: 0.501, 32: 0.616, 64: 0.727}
SHARES |= {128: 0.828, 256: 0.915, 512: 0.977, 1280: 1.0}
"""Share of the variance in as many principal directions."""
NOISE = 0.005
PAUSE = 0.2
"""Seconds after which the threads of OpenBLAS, which numpy brings along, do not spin any more."""
COMPARED = 20_000
"""Rows of which numpy compares all pairs."""


@dataclass(frozen=True)
class Options:
    path: Path
    rows: int
    dimension: int
    rounds: int
    duplicates: tuple[float, ...] = ()

    @property
    def spec(self) -> CollectionSpec:
        return CollectionSpec("benchmark", self.dimension, fingerprint="like photos")


@dataclass(frozen=True)
class Figure:
    """One line of a table."""

    name: str
    value: float
    unit: str
    cpu: float | None = None
    """Seconds of the processor, in the unit of `value`."""
    numpy: float | None = None
    ratio: float | None = None

    def __str__(self) -> str:
        line = f"{self.name:40} {self.value:11,.1f} {self.unit}"
        line += "" if self.cpu is None else f", CPU {self.cpu:,.1f}"
        line += "" if self.numpy is None else f", numpy {self.numpy:,.1f}"
        return line + ("" if self.ratio is None else f", ratio {self.ratio:.2f}")


def like_photos(seed: int, batch: int, rows: int, dimension: int) -> NDArray[np.float32]:
    """Return rows of the groups of one batch, of length 1."""
    shares = np.interp(np.arange(dimension + 1), list(SHARES), list(SHARES.values()))
    deviations = np.sqrt(VARIANCE * np.diff(shares)).astype(np.float32)
    groups = np.random.default_rng([batch, 0]).standard_normal((BATCH // GROUP, dimension))
    found = np.random.default_rng([batch, seed]).standard_normal((rows, dimension), np.float32)
    found *= np.sqrt(1 - BETWEEN_GROUPS)
    found += np.sqrt(BETWEEN_GROUPS) * groups[np.arange(rows) % len(groups)].astype(np.float32)
    found *= deviations
    found[:, 0] += MEAN
    if rows == BATCH:
        found[1] = found[0] + NOISE * found[2] / np.linalg.norm(found[2])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def batches(options: Options) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    for start in range(0, options.rows, BATCH):
        rows = min(BATCH, options.rows - start)
        keys = [f"{number:032x}" for number in range(start, start + rows)]
        yield keys, like_photos(1, start // BATCH, rows, options.dimension)


def fill(options: Options) -> list[Figure]:
    with LocalVectorStore(options.path) as store:
        store.ensure_collection(options.spec)
        started = time.perf_counter()
        for keys, rows in batches(options):
            store.upsert("benchmark", keys, rows)
        rate = options.rows / (time.perf_counter() - started)
        started = time.perf_counter()
        store.search("benchmark", like_photos(2, 0, 1, options.dimension), LIMIT)
        first = since(started)
    files = sorted(options.path.parent.iterdir())
    return [
        Figure("insert", rate, "rows/s"),
        Figure("first search of all, writes the file", first, "ms"),
        *(Figure(path.name[:20], path.stat().st_size / 2**20, "MiB") for path in files),
    ]


def search(options: Options) -> list[Figure]:
    queries = like_photos(2, 0, 64, options.dimension)
    before, started = resident(), time.perf_counter()
    with LocalVectorStore(options.path) as store:
        figures = [Figure("open", since(started), "ms")]
        started = time.perf_counter()
        store.search("benchmark", queries[:1], LIMIT)
        figures += [
            Figure("first search", since(started), "ms"),
            Figure("resident growth", resident() - before, "MiB"),
        ]
        for query in queries:
            store.search("benchmark", query[np.newaxis], LIMIT)
        figures.append(Figure("resident growth after 64 searches", resident() - before, "MiB"))
        matrix = np.concatenate([rows for _, rows in batches(options)])

        def turn(given: NDArray[np.float32]) -> list[tuple[float, float]]:
            sides = (
                lambda: store.search("benchmark", given, LIMIT),
                lambda: nearest(matrix, given),
            )
            return [rested(side) for side in sides]

        def add(number: int) -> None:
            store.upsert("benchmark", [f"{number:032x}"], queries[:1])

        turns: dict[str, list[list[tuple[float, float]]]] = {}
        turns["one query"] = [turn(queries[[n % 64]]) for n in range(options.rounds)]
        turns["64 queries"] = [turn(queries) for _ in range(max(3, options.rounds // 10))]
        turns["one query after an add"] = []
        for number in range(options.rounds):
            add(options.rows + number)
            turns["one query after an add"].append(turn(queries[[number % 64]]))
        store.delete("benchmark", [f"{options.rows + n:032x}" for n in range(options.rounds)])
    return figures + [compared(name, np.array(each)) for name, each in turns.items()]


def compared(name: str, turns: NDArray[np.float64]) -> Figure:
    """Return the medians of turns, of shape (turns, 2 sides, seconds and CPU seconds)."""
    (ours, cpu), (numpy, _) = 1000 * np.median(turns, axis=0)
    ratio = float(np.median(turns[:, 0, 0] / turns[:, 1, 0]))
    return Figure(name, ours, "ms", cpu, numpy, ratio)


def duplicates(options: Options) -> list[Figure]:
    figures = []
    with LocalVectorStore(options.path) as store:
        store.search("benchmark", like_photos(2, 0, 1, options.dimension), LIMIT)
        for distance in options.duplicates:
            found: set[tuple[str, ...]] = set()

            def join(distance: float = distance, found: set[tuple[str, ...]] = found) -> None:
                pairs = store.pairs_within("benchmark", distance) or ()
                found.update(tuple(sorted(pair)) for pair in pairs)

            seconds, cpu = timed(join)
            name = f"{len(found):,} pairs within {distance}"
            figures.append(Figure(name, seconds, "s", cpu))
            if options.rows <= COMPARED:
                assert found == all_pairs(options, distance), "other pairs than numpy's"
    return figures


def all_pairs(options: Options, distance: float) -> set[tuple[str, ...]]:
    """Compare all rows with all others; those near the border are measured in float64."""
    keys, matrix = [], np.concatenate([rows for _, rows in batches(options)])
    for batch, _ in batches(options):
        keys += batch
    found: set[tuple[str, ...]] = set()
    for start in range(0, len(matrix), BATCH):
        squares = 2 - 2 * (matrix[start : start + BATCH] @ matrix.T)
        for row, other in zip(*np.nonzero(squares <= distance**2 + 1e-4), strict=True):
            one = matrix[start + row].astype(np.float64)
            if start + row < other and np.sqrt(np.square(one - matrix[other]).sum()) <= distance:
                found.add((keys[start + row], keys[other]))
    return found


def nearest(matrix: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    """Find the nearest rows as numpy finds them."""
    products = queries @ matrix.T if len(queries) > 1 else [matrix @ queries[0]]
    for row in products:
        near = np.argpartition(row, -LIMIT)[-LIMIT:]
        near[np.argsort(-row[near])]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that a call takes, and those of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - worked


def rested(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that a call takes once the threads of OpenBLAS sleep."""
    time.sleep(PAUSE)
    return timed(run)


def since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


def resident() -> float:
    """Return the MiB of this process in memory, pages of files among them."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def measure(options: Options) -> dict[str, list[Figure]]:
    """Return the figures of each part, measured in a process of its own."""
    parts: dict[str, Callable[[Options], list[Figure]]] = {"fill": fill, "search": search}
    if options.path.exists():
        del parts["fill"]
    if options.duplicates:
        parts["duplicates"] = duplicates
    found = {}
    for name, part in parts.items():
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            found[name] = process.submit(part, options).result()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_store", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--duplicates", type=float, nargs="*", default=[], metavar="DISTANCE")
    parser.add_argument("--folder", type=Path, help="keep the store here, and use it if it exists")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = (given.folder or Path(folder)) / "vectors.sqlite"
        options = Options(path, given.rows, given.dimension, given.rounds, tuple(given.duplicates))
        for part, figures in measure(options).items():
            print(f"{part}, {options.rows:,} x {options.dimension}", flush=True)
            for figure in figures:
                print(f"  {figure}", flush=True)


if __name__ == "__main__":
    main()
