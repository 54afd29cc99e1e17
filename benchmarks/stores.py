"""Speed of writing and searching in the vector stores, beside their plain back ends.

python -m benchmarks.stores [--rows N] [--stores local lite] [--milvus URI] [--hnsw]

The local store runs beside a matrix product with top-k in numpy, Milvus beside
plain pymilvus on a collection of the same rows. Both sides take turns, batch by
batch and query by query, so that other work of the machine disturbs them alike.
Each store runs in a process of its own, whose memory is reported.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import table
from onnxsearch import CollectionSpec, FlatIndex, HNSWIndex, LocalVectorStore, VectorStore

BATCH = 1000
LIMIT = 10
OURS, RAW = "onnxsearch", "plain"


@dataclass(frozen=True)
class Options:
    rows: int
    dimension: int
    rounds: int
    hnsw: bool
    milvus: str | None

    @property
    def spec(self) -> CollectionSpec:
        return CollectionSpec("benchmark", self.dimension, fingerprint="random")


def vectors(seed: int, rows: int, dimension: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    found = random.standard_normal((rows, dimension), np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def batches(options: Options) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    for start in range(0, options.rows, BATCH):
        rows = min(BATCH, options.rows - start)
        keys = [f"{number:032x}" for number in range(start, start + rows)]
        yield keys, vectors(start + 1, rows, options.dimension)


class Timer:
    """Collects the seconds of both sides."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {OURS: [], RAW: []}
        self.cpu = {OURS: 0.0, RAW: 0.0}

    def take_turns(self, sides: Mapping[str, Callable[[], object]]) -> None:
        # Whoever goes first finds the caches cold.
        order = list(sides) if len(self.seconds[OURS]) % 2 else list(reversed(sides))
        for name in order:
            started, worked = time.perf_counter(), time.process_time()
            sides[name]()
            self.seconds[name].append(time.perf_counter() - started)
            self.cpu[name] += time.process_time() - worked

    def rates(self, rows: int) -> dict[str, str]:
        ours, raw = (sum(self.seconds[name]) for name in (OURS, RAW))
        return {
            f"insert, {OURS}": f"{rows / ours:9,.0f} rows/s",
            f"insert, {RAW}": f"{rows / raw:9,.0f} rows/s   {self.ratios()}",
        }

    def latencies(self) -> dict[str, str]:
        lines = {}
        for name, seconds in self.seconds.items():
            half, most = 1000 * np.percentile(seconds, [50, 99])
            least = 1000 * min(seconds)
            lines[f"search, {name}"] = f"min {least:7.1f}  p50 {half:7.1f}  p99 {most:7.1f} ms"
        lines[f"search, {RAW}"] += f"   {self.ratios()}"
        return lines

    def ratios(self) -> str:
        # On a busy machine the processor's time is the better measure. Milvus Lite works in this
        # process, and is in it on both sides; a server is not.
        time = np.median(np.divide(self.seconds[OURS], self.seconds[RAW]))
        return f"ratio of time {time:.3f}, of CPU {self.cpu[OURS] / self.cpu[RAW]:.3f}"


def memory() -> dict[str, str]:
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {
        f"memory, {name}": f"{int(fields[field].split()[0]) >> 10:9,} MiB"
        for name, field in (("now", "VmRSS"), ("peak", "VmHWM"))
    }


def local(options: Options) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.sqlite"
        started = time.perf_counter()
        with LocalVectorStore(path) as store:
            store.ensure_collection(options.spec)
            for keys, rows in batches(options):
                store.upsert("benchmark", keys, rows)
        lines = {"insert": f"{options.rows / (time.perf_counter() - started):9,.0f} rows/s"}
        queries = vectors(0, 100, options.dimension)
        with LocalVectorStore(path) as store:
            started = time.perf_counter()
            store.search("benchmark", queries[:1], LIMIT)
            lines["first search"] = f"{1000 * (time.perf_counter() - started):9,.0f} ms"
            lines |= memory()
            matrix = np.concatenate([rows for _, rows in batches(options)])
            single, many = Timer(), Timer()
            for turn in range(options.rounds):
                query = queries[turn % 100][np.newaxis]
                single.take_turns(sides(store, matrix, query))
            for _ in range(max(3, options.rounds // 10)):
                many.take_turns(sides(store, matrix, queries))
        lines |= single.latencies()
        lines |= {f"100 at once, {name[8:]}": text for name, text in many.latencies().items()}
    return table(f"local, {options.rows} x {options.dimension}; plain is numpy", lines)


def sides(
    store: VectorStore, matrix: NDArray[np.float32], queries: NDArray[np.float32]
) -> dict[str, Callable[[], object]]:
    return {
        OURS: lambda: store.search("benchmark", queries, LIMIT),
        RAW: lambda: [top(row) for row in product(matrix, queries)],
    }


def product(matrix: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(queries) == 1:
        return (matrix @ queries[0])[np.newaxis]
    return queries @ matrix.T


def top(products: NDArray[np.float32]) -> NDArray[np.intp]:
    nearest = np.argpartition(products, -LIMIT)[-LIMIT:]
    return nearest[np.argsort(-products[nearest])]


def lite(options: Options) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return milvus(f"{folder}/vectors.db", "Milvus Lite", options)


def server(options: Options) -> str:
    assert options.milvus is not None
    return milvus(options.milvus, "Milvus server", options)


def milvus(uri: str, title: str, options: Options) -> str:
    from pymilvus import MilvusClient

    from onnxsearch import MilvusVectorStore

    index = HNSWIndex() if options.hnsw else FlatIndex()
    plain = CollectionSpec("benchmark_plain", options.dimension, fingerprint="random")
    with MilvusVectorStore(uri, index=index, timeout=120) as store:
        client = MilvusClient(uri, timeout=10)
        for spec in (options.spec, plain):
            store.drop(spec.name)
            store.ensure_collection(spec)
            store.describe(spec.name)
        inserting = Timer()
        for keys, rows in batches(options):

            def insert(keys: list[str] = keys, rows: NDArray[np.float32] = rows) -> None:
                client.upsert(
                    plain.name,
                    [
                        {"id": key, "vector": row, "metadata": {}}
                        for key, row in zip(keys, rows, strict=True)
                    ],
                    timeout=120,
                )

            def upsert(keys: list[str] = keys, rows: NDArray[np.float32] = rows) -> None:
                store.upsert("benchmark", keys, rows)

            inserting.take_turns({OURS: upsert, RAW: insert})
        lines = inserting.rates(options.rows)
        started = time.perf_counter()
        for spec in (options.spec, plain):
            store.wait_until_indexed(spec.name)
        lines["indexing"] = f"{time.perf_counter() - started:9.1f} s, both collections"
        lines |= memory()
        searching = Timer()
        for query in vectors(0, options.rounds, options.dimension):

            def ask(query: NDArray[np.float32] = query) -> None:
                client.search(
                    plain.name,
                    data=[query],
                    anns_field="vector",
                    limit=LIMIT,
                    output_fields=["id"],
                    search_params={"metric_type": "L2", "params": dict(index.search(LIMIT))},
                    consistency_level="Strong",
                    timeout=120,
                )

            def search(query: NDArray[np.float32] = query) -> None:
                store.search("benchmark", query[np.newaxis], LIMIT)

            searching.take_turns({OURS: search, RAW: ask})
        lines |= searching.latencies()
        for spec in (options.spec, plain):
            store.drop(spec.name)
        client.close()
    return table(
        f"{title}, {index.kind}, {options.rows} x {options.dimension}; plain is pymilvus", lines
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stores", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--hnsw", action="store_true", help="HNSW in Milvus, rather than FLAT")
    parser.add_argument("--milvus", metavar="URI", help="measure this server, too")
    parser.add_argument("--stores", nargs="*", choices=["local", "lite"], default=["local", "lite"])
    given = parser.parse_args(arguments)
    options = Options(given.rows, given.dimension, given.rounds, given.hnsw, given.milvus)
    runs = [{"local": local, "lite": lite}[name] for name in given.stores]
    runs += [server] if given.milvus else []
    for run in runs:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            print(process.submit(run, options).result(), flush=True)


if __name__ == "__main__":
    main()
