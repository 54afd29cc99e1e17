"""Exact search among more and more rows, beside other ways to search exactly.

    python -m benchmarks --only search-1000 search-10000

The vectors are like those of photographs (see `benchmarks.local_store`). All find the ten
nearest rows of one query. numpy and faiss hold all vectors in memory; usearch compares all rows
too; the collections of Milvus are `FLAT`. A store of the disk is filled first, and searched by a
new process.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.local_store import BATCH, LIMIT, PAUSE, like_photos
from benchmarks.results import Result
from onnxsearch import CollectionSpec, LocalVectorStore, MilvusVectorStore, VectorStore

ONE = "One search"
MANY = "64 searches at once"
UNIT = "ms a search"
DIMENSION = 512
QUERIES = 64
SPEC = CollectionSpec("benchmark", DIMENSION, fingerprint="like photos")

Matrix = NDArray[np.float32]
Search = Callable[[Matrix], object]
_Result = TypeVar("_Result")


def rows_of(count: int) -> Iterator[tuple[list[str], Matrix]]:
    for start in range(0, count, BATCH):
        rows = min(BATCH, count - start)
        keys = [f"{number:032x}" for number in range(start, start + rows)]
        yield keys, like_photos(1, start // BATCH, rows, DIMENSION)


def fill(store: VectorStore, count: int) -> None:
    store.drop(SPEC.name)
    store.ensure_collection(SPEC)
    for keys, rows in rows_of(count):
        store.upsert(SPEC.name, keys, rows)


def fill_local(path: Path, count: int) -> None:
    with LocalVectorStore(path) as store:
        fill(store, count)
        store.search(SPEC.name, like_photos(2, 0, 1, DIMENSION), LIMIT)


def numpy_search(matrix: Matrix) -> Search:
    def search(queries: Matrix) -> None:
        for row in queries @ matrix.T if len(queries) > 1 else [matrix @ queries[0]]:
            nearest = np.argpartition(row, -LIMIT)[-LIMIT:]
            nearest[np.argsort(-row[nearest])]

    return search


def faiss_search(matrix: Matrix) -> Search:
    import faiss

    index = faiss.IndexFlatL2(DIMENSION)
    index.add(matrix)
    return lambda queries: index.search(queries, LIMIT)


def usearch_search(matrix: Matrix) -> Search:
    from usearch.index import MetricKind, search

    return lambda queries: search(matrix, queries, LIMIT, MetricKind.L2sq, exact=True)


def store_search(store: VectorStore) -> Search:
    return lambda queries: store.search(SPEC.name, queries, LIMIT)


LIBRARIES: dict[str, Callable[[Matrix], Search]] = {
    "numpy, product and top 10": numpy_search,
    "faiss, IndexFlatL2": faiss_search,
    "usearch, exact": usearch_search,
}


def measure(
    folder: Path, count: int, most_lite: int, milvus: str | None, rounds: int
) -> list[Result]:
    """Search among `count` rows by all ways, by turns."""
    failed: list[Result] = []
    with ExitStack() as stack:
        ours = stack.enter_context(LocalVectorStore(folder / f"{count}.sqlite"))
        ways: dict[str, Search] = {"onnxsearch, folder": store_search(ours)}
        matrix = np.concatenate([rows for _, rows in rows_of(count)])
        for name, make in LIBRARIES.items():
            try:
                ways[name] = make(matrix)
            except ImportError as error:
                failed += [Result(t, name, None, UNIT, note=str(error)) for t in (ONE, MANY)]
        places = {"Milvus Lite, FLAT": str(folder / f"{count}.db") if count <= most_lite else None}
        places["Milvus server, FLAT"] = milvus
        for name, place in places.items():
            if place is not None:
                store = stack.enter_context(MilvusVectorStore(place, timeout=600))
                fill(store, count)
                ways[name] = store_search(store)
        queries = like_photos(2, 0, QUERIES, DIMENSION)
        one: dict[str, list[float]] = {name: [] for name in ways}
        many: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds):
            for name in turned(ways, turn):
                one[name].append(seconds(ways[name], queries[[turn % QUERIES]]))
        for turn in range(max(5, rounds // 10)):
            for name in turned(ways, turn):
                many[name].append(seconds(ways[name], queries) / QUERIES)
    return failed + [
        Result(table, name, 1000 * float(np.median(spent)), UNIT, count)
        for table, found in ((ONE, one), (MANY, many))
        for name, spent in found.items()
    ]


def turned(ways: Mapping[str, Search], turn: int) -> list[str]:
    """Return the names in turn, each turn beginning with another one: the first is slower."""
    names = list(ways)
    start = turn % len(names)
    return names[start:] + names[:start]


def seconds(search: Search, queries: Matrix) -> float:
    time.sleep(PAUSE)
    started = time.perf_counter()
    search(queries)
    return time.perf_counter() - started


def in_own_process(run: Callable[..., _Result], *arguments: object) -> _Result:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(run, *arguments).result()


def growth(count: int, quick: bool) -> list[Result]:
    """Measure the search among so many rows."""
    most_lite, most_server = (10_000, 10_000) if quick else (100_000, 1_000_000)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        in_own_process(fill_local, folder / f"{count}.sqlite", count)
        url = _server(folder, stack) if count <= most_server else None
        rounds = 20 if quick else 50
        found = in_own_process(measure, folder, count, most_lite, url, rounds)
    if url is None and count <= most_server:
        absent = "the package milvus is not installed"
        found += [Result(t, "Milvus server, FLAT", None, UNIT, note=absent) for t in (ONE, MANY)]
    return found


def _server(folder: Path, stack: ExitStack) -> str | None:
    """Start a Milvus server, as the tests do; return its address, or None without one."""
    from importlib.util import find_spec

    if find_spec("milvus") is None or find_spec("pytest") is None:
        return None
    from tests.servers import MilvusServer

    return stack.enter_context(MilvusServer(folder / "milvus").start()).url
