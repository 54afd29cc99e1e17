"""Augmenting, cut off at every write, by a killed process, and by another engine."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Item,
    SearchEngine,
    UnknownModelError,
)
from onnxsearch.augmentation import filling
from onnxsearch.testing import Faults, FaultyMetadataStore, FaultyVectorStore, ProcessDied
from onnxsearch.testing.faults import Moment
from tests.engine.augmentation import error, stored_ids
from tests.engine.pixels import Pixels, pixels, random_pixels

EXACT = 1e-6
COUNT = 12


class House:
    """Two stores with some images, for any number of engines with faults of their own."""

    def __init__(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()
        self.engine = self.opened(self.faults)
        self.engine.add_many(Item(image, f"{n:02}") for n, image in enumerate(random_pixels(COUNT)))
        self.mean = self.all_vectors().mean(axis=0)

    def all_vectors(self) -> NDArray[np.generic]:
        return self.engine.vectors(stored_ids(self.engine))

    def opened(self, faults: Faults | None = None) -> SearchEngine:
        faults = faults or Faults()
        vectors = FaultyVectorStore(self.vectors, faults)
        return SearchEngine(Pixels(), vectors, FaultyMetadataStore(self.metadata, faults))

    def prepare(self, kind: str) -> int:
        """Bring the stores to where `kind` of call begins; return the neighbours to ask for."""
        if kind != "new":
            self.engine.augment()
            self.engine.add(pixels(1, 200, 3), id="new")
        return 3 if kind == "anew" else 5


@pytest.fixture(autouse=True)
def in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_BATCH", 5)


def writes_of(kind: str) -> int:
    house = House()
    neighbours = house.prepare(kind)
    house.faults.revive()
    house.engine.augment(neighbours=neighbours)
    return len(house.faults.writes)


@pytest.mark.parametrize("moment", ["before", pytest.param("after", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["new", "refresh", "anew"])
def test_what_was_cut_off_is_completed(kind: str, moment: Moment) -> None:
    for at in range(writes_of(kind)):
        house = House()
        neighbours = house.prepare(kind)
        # The mean that the call takes, or finds.
        begun = house.all_vectors().mean(axis=0) if kind == "anew" else house.mean
        house.faults.fail(at=at, moment=moment, error=ProcessDied())
        with pytest.raises(ProcessDied):
            house.engine.augment(neighbours=neighbours)

        engine = house.opened()
        assert engine.verify().ok
        assert len(engine.search(pixels(1), limit=100)) == engine.count()
        check_searched_only_if_whole(engine)
        engine.add(pixels(9, 9, 9), id="later")
        engine.remove("01")
        report = engine.augment(neighbours=neighbours)
        assert report.images == engine.count()
        assert error(engine, neighbours, None if report.rebuilt else begun) < EXACT
        assert engine.verify().ok
        assert engine.augment(neighbours=neighbours).written == 0


def check_searched_only_if_whole(engine: SearchEngine) -> None:
    """A space is searched with a vector of each image, or not at all."""
    try:
        found = engine.search(pixels(1), augmented=True, limit=1000)
    except UnknownModelError:
        return
    assert len(found) == engine.count()


def test_an_engine_that_augments_meanwhile_wins_or_is_noticed() -> None:
    house = House()
    other = house.opened()
    house.faults.hang(at=3, moment="before", timeout=60)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            house.engine.augment()
        except BaseException as problem:
            failed.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    assert house.faults.hanging.wait(60)
    other.augment()
    house.faults.release()
    thread.join()
    assert not failed
    assert error(other) < EXACT
    assert other.verify().ok


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_leaves_what_the_next_completes(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(6):
        command = [sys.executable, "-m", "tests.engine.augment_child", str(tmp_path / "album")]
        with subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(dice.uniform(0.02, 0.6))
            child.kill()
        models = [Pixels(), Pixels("two", (1, 3, -1))]
        with SearchEngine.open(tmp_path / "album", embedders=models) as engine:
            report = engine.verify()
            assert report.ok, (number, report.findings)
            if engine.count():
                check_searched_only_if_whole(engine)
            if number % 2 and engine.count():
                engine.augment()
                assert engine.verify().ok
                assert len(engine.search(pixels(1), augmented=True, limit=1000)) == engine.count()
            if number == 5:
                engine.augment(neighbours=4)
                assert error(engine, 4) < EXACT
