"""A process that writes to an engine until it is killed, saying what it does.

Run with: location, metadata location, folder of pictures, seed, threads, and at which
write to a store it kills itself (-1: somebody else will). Each line on standard output
is `begin`, `done` or `failed`, the operation, the version written, and the ids in JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import get_args

from onnxsearch import Item, SearchEngine, StoreUnavailableError
from onnxsearch.locations import open_stores
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyMetadataStore,
    FaultyVectorStore,
    picture,
)
from onnxsearch.testing.faults import Moment

IDS = [f'it\'s "{number}"' for number in range(12)]
FILES = ["file 0", "file 1", "file 2"]
EMBEDDERS = [FakeEmbedder("one"), FakeEmbedder("two", 8)]

_printing = threading.Lock()


class Deadly(Faults):
    """Kills the process where others would raise."""

    def _strike(self, fault: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def name(id: str, version: int) -> str:
    """What the picture shows; a file always shows the same."""
    return Path(id).stem if id.startswith("/") else f"{id} version {version}"


def tell(*words: object) -> None:
    with _printing:
        print(*words, flush=True)


def write(engine: SearchEngine, folder: str, ids: list[str], seed: int) -> None:
    dice = random.Random(seed)
    for version in range(seed * 100_000, (seed + 1) * 100_000):
        operation = dice.choice(
            ["put", "put", "put", "add_many", "remove", "index" if folder else "put"]
        )
        chosen = [dice.choice(ids)]
        if operation == "index":
            chosen = [os.path.join(folder, f"{file}.png") for file in FILES]
        elif operation == "add_many":
            chosen = dice.sample(ids, min(len(ids), 4))
        what = (operation, version, json.dumps(chosen))
        tell("begin", *what)
        try:
            if operation == "index":
                engine.index(folder, metadata={"version": version})
            elif operation == "put":
                shown = picture(name(chosen[0], version))
                engine.add(shown, id=chosen[0], metadata={"version": version})
            elif operation == "add_many":
                shown_by = {id: picture(name(id, version)) for id in chosen}
                metadata = {"version": version}
                engine.add_many(Item(shown_by[id], id, metadata) for id in chosen)
            else:
                engine.remove(chosen)
        except StoreUnavailableError:
            tell("failed", *what)
            return
        tell("done", *what)


def main(location: str, metadata: str, folder: str, seed: int, threads: int, at: int) -> None:
    faults = Deadly()
    if at >= 0:
        faults.fail(at=at, moment=random.Random(seed).choice(get_args(Moment)))
    vectors, records = open_stores(location, metadata)
    engine = SearchEngine(
        EMBEDDERS,
        FaultyVectorStore(vectors, faults),
        FaultyMetadataStore(records, faults),
        workers=1,
    )
    tell("open")
    writers = [
        threading.Thread(
            target=write,
            # Each has ids of its own, and one of them the folder.
            args=(engine, "" if n else folder, IDS[n::threads], seed * threads + n),
        )
        for n in range(threads)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:7]))
