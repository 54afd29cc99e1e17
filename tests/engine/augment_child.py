"""A process that adds, removes and augments until it is killed.

Run with: location and seed. It says `ready` when it begins.
"""

from __future__ import annotations

import random
import sys

from onnxsearch import Item, SearchEngine
from tests.engine.pixels import Pixels, random_pixels


def main(location: str, seed: int) -> None:
    dice = random.Random(seed)
    images = random_pixels(300, seed=seed)
    with SearchEngine.open(location, embedders=[Pixels(), Pixels("two", (1, 3, -1))]) as engine:
        print("ready", flush=True)
        while True:
            chosen = dice.sample(range(300), 20)
            engine.add_many(Item(images[n], str(n)) for n in chosen)
            engine.remove(map(str, dice.sample(range(300), 10)))
            engine.augment(neighbours=dice.choice([5, 5, 5, 3]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
