"""A process that writes to an engine until it is killed, saying what it does.

Run with: location, metadata location, seed. Each line on standard output is
`begin` or `done`, the operation, the id and the version written.
"""

from __future__ import annotations

import random
import sys

from onnxsearch import SearchEngine
from onnxsearch.testing import FakeEmbedder, picture

IDS = [f'it\'s "{number}"' for number in range(12)]
EMBEDDERS = [FakeEmbedder("one"), FakeEmbedder("two", 8)]


def name(id: str, version: int) -> str:
    return f"{id} version {version}"


def main(location: str, metadata: str, seed: int) -> None:
    dice = random.Random(seed)
    with SearchEngine.open(location, embedders=EMBEDDERS, metadata=metadata) as engine:
        for version in range(seed * 100_000, (seed + 1) * 100_000):
            id = dice.choice(IDS)
            operation = dice.choice(["put", "put", "put", "remove"])
            print("begin", operation, version, id, flush=True)
            if operation == "put":
                engine.add(picture(name(id, version)), id=id, metadata={"version": version})
            else:
                engine.remove(id)
            print("done", operation, version, id, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
