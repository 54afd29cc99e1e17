"""The local store beside numpy, on vectors like those of photos.

python -m benchmarks.local_store [--rows N] [--dimension N] [--rounds N] [--duplicates D]

Random vectors have no neighbours, and are no measure of exact search. These have the
spectrum that the vectors of 1,237 photos have with the default model (efficientnet-lite2,
1,280 numbers): a mean of length .65 and a variance of .58, of which 17 % lie in the first
direction, 50 % in 16, 83 % in 128 and 92 % in 256. A quarter of the variance lies between
groups of 20. Then about as many rows are left to compare as with the photos. Queries are
further vectors of such groups. One row in a thousand is another one with some noise, a
near-duplicate at a distance of about .005.

Numpy computes the product of all vectors, in memory, with the queries, and selects the
first ten. Both sides take turns, so that other work of the machine disturbs them alike.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import table
from onnxsearch import CollectionSpec, LocalVectorStore

BATCH = 1000
LIMIT = 10
GROUP = 20
MEAN, VARIANCE, BETWEEN_GROUPS = 0.65, 0.576, 0.25
SHARES = {0: 0.0, 1: 0.168, 2: 0.218, 4: 0.296, 8: 0.39, 16: 0.501, 32: 0.616, 64: 0.727}
SHARES |= {128: 0.828, 256: 0.915, 512: 0.977, 1280: 1.0}
"""Share of the variance in as many principal directions."""
NOISE = 0.005


@dataclass(frozen=True)
class Options:
    path: Path
    rows: int
    dimension: int
    rounds: int

    @property
    def spec(self) -> CollectionSpec:
        return CollectionSpec("benchmark", self.dimension, fingerprint="like photos")


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


def fill(options: Options) -> dict[str, str]:
    with LocalVectorStore(options.path) as store:
        store.ensure_collection(options.spec)
        started = time.perf_counter()
        for keys, rows in batches(options):
            store.upsert("benchmark", keys, rows)
        lines = {"insert": f"{options.rows / (time.perf_counter() - started):9,.0f} rows/s"}
        started = time.perf_counter()
        store.search("benchmark", like_photos(2, 0, 1, options.dimension), LIMIT)
    lines["first search of all, writes the file"] = milliseconds(started)
    for path in sorted(options.path.parent.iterdir()):
        lines[path.name[:20]] = f"{path.stat().st_size >> 20:9,} MiB"
    return lines


def search(options: Options) -> dict[str, str]:
    queries = like_photos(2, 0, 64, options.dimension)
    before = resident()
    started = time.perf_counter()
    with LocalVectorStore(options.path) as store:
        lines = {"open": milliseconds(started)}
        started = time.perf_counter()
        store.search("benchmark", queries[:1], LIMIT)
        lines["first search"] = milliseconds(started)
        lines["resident growth"] = f"{resident() - before:9,} MiB"
        for query in queries:
            store.search("benchmark", query[np.newaxis], LIMIT)
        lines["after 64 searches"] = f"{resident() - before:9,} MiB"
        matrix = np.concatenate([rows for _, rows in batches(options)])

        def ours(queries: NDArray[np.float32]) -> None:
            store.search("benchmark", queries, LIMIT)

        def numpy(queries: NDArray[np.float32]) -> None:
            products = queries @ matrix.T if len(queries) > 1 else [matrix @ queries[0]]
            for row in products:
                nearest = np.argpartition(row, -LIMIT)[-LIMIT:]
                nearest[np.argsort(-row[nearest])]

        def add(number: int) -> None:
            store.upsert("benchmark", [f"{number:032x}"], queries[:1])

        for name, given, prepare in (
            ("one query", lambda turn: queries[turn % 64][np.newaxis], None),
            ("after an add", lambda turn: queries[turn % 64][np.newaxis], add),
            ("64 queries", lambda turn: queries, None),
        ):
            rounds = options.rounds if name != "64 queries" else max(3, options.rounds // 10)
            seconds: dict[str, list[float]] = {"ours": [], "numpy": []}
            for turn in range(rounds):
                if prepare is not None:
                    prepare(options.rows + turn)
                for side, run in (("ours", ours), ("numpy", numpy)):
                    started = time.perf_counter()
                    run(given(turn))
                    seconds[side].append(time.perf_counter() - started)
            half = {side: 1000 * np.median(values) for side, values in seconds.items()}
            ratio = np.median(np.divide(seconds["ours"], seconds["numpy"]))
            lines[name] = f"{half['ours']:9.1f} ms, numpy {half['numpy']:.1f}, ratio {ratio:.2f}"
    return lines


def milliseconds(started: float) -> str:
    return f"{1000 * (time.perf_counter() - started):9,.0f} ms"


def resident() -> int:
    """Return the MiB of this process in memory, pages of files among them."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) >> 10


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_store", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--folder", type=Path, help="keep the store here, and use it if it exists")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = (given.folder or Path(folder)) / "vectors.sqlite"
        options = Options(path, given.rows, given.dimension, given.rounds)
        for measure in (search,) if path.exists() else (fill, search):
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                lines = process.submit(measure, options).result()
            title = f"{measure.__name__}, {options.rows} x {options.dimension}"
            print(table(title, lines), flush=True)


if __name__ == "__main__":
    main()
