"""A process that indexes a folder until it is done or killed, and names what is stored.

Run with: location, records location, folder, and a file that gets the SHA-256 of the pixels of
each image before the model sees it. Each line on standard output is the id of an image that is
stored.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxsearch import SearchEngine
from onnxsearch.testing import FakeEmbedder


class LoggingEmbedder(FakeEmbedder):
    """Notes what it embeds, as slowly as a model."""

    def __init__(self, log: Path) -> None:
        super().__init__("one")
        self._log = log

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        with self._log.open("a") as file:
            file.write("".join(f"{row.tobytes().hex()}\n" for row in batch))
        time.sleep(0.001 * len(batch))
        return super().run(batch)


def main(location: str, records: str, folder: str, log: str) -> None:
    embedder = LoggingEmbedder(Path(log))
    with SearchEngine.open(location, embedders=embedder, records=records, workers=2) as engine:
        for outcome in engine.index_iter(folder, metadata={"trip": "alps"}):
            print(outcome.id, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
