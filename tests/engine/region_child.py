"""A process that stores, replaces and removes images with regions until it is killed."""

from __future__ import annotations

import random
import sys

from onnxsearch import SearchEngine
from tests.engine.mosaic import Mosaic, patchwork


def main(location: str, seed: int) -> None:
    dice = random.Random(seed)
    with SearchEngine.open(location, embedders=Mosaic()) as engine:
        print("ready", flush=True)
        while True:
            id = str(dice.randrange(6))
            if dice.random() < 0.3:
                engine.remove(id)
            else:
                engine.add(patchwork(dice.randrange(1000)), id=id)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
