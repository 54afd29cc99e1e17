"""Engines for actors of Ray, which import this module in processes of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxsearch import SearchEngine, StoreUnavailableError
from onnxsearch.testing import FakeEmbedder, picture


class LoggingEmbedder(FakeEmbedder):
    """Notes in a file which images it embeds, from whatever process."""

    def __init__(self, log: Path, deadly: str | None = None, lives: int = 1) -> None:
        super().__init__("one")
        self._log = log
        self._lives = lives
        self._deadly = None if deadly is None else FakeEmbedder().prepare(picture(deadly))

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        for row in batch:
            note(self._log, row.tobytes().hex())
            if self._deadly is not None and (row == self._deadly).all():
                self._die()
        return super().run(batch)

    def _die(self) -> None:
        deaths = self._log.with_suffix(".deaths")
        if len(lines(deaths)) < self._lives:
            note(deaths, "died")
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class OpenEngine:
    """Opens an engine at a location.

    Args:
        location: Where the vectors are.
        log: The file of the `LoggingEmbedder`.
        records: Where the records are.
        deadly: The image that kills its process.
        lives: How many processes it kills.
    """

    location: str
    log: Path
    records: str | None = None
    deadly: str | None = None
    lives: int = 1

    def __call__(self, *, workers: int) -> SearchEngine:
        embedder = LoggingEmbedder(self.log, self.deadly, self.lives)
        return SearchEngine.open(
            self.location, records=self.records, embedders=embedder, workers=workers
        )


@dataclass(frozen=True)
class OpenFailingEngine:
    """Opens an engine whose store is gone as soon as something is to be stored."""

    opened: Callable[..., SearchEngine]

    def __call__(self, *, workers: int) -> SearchEngine:
        engine = self.opened(workers=workers)

        def add_many(*_: object, **__: object) -> None:
            raise StoreUnavailableError("the store is gone")

        engine.add_many = add_many  # type: ignore[method-assign, assignment]
        return engine


def note(path: Path, line: str) -> None:
    """Append a line at once, also beside other processes."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []
