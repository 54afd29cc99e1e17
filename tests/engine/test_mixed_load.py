"""Many threads that index, add, search and remove at once, on each pair of stores.

Every thread owns some ids and a folder of files, and knows what must be found under
them. Twenty seconds with the integration tests, twenty minutes with the slow ones.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsearch import Embedder, SearchEngine, Tensor
from onnxsearch.images.reading import open_image
from onnxsearch.testing import picture
from onnxsearch.types import ImageInput
from tests.servers import MilvusServer, RedisServer

THREADS = 16
FILES = 3
IDS = 8


class Pixels(Embedder):
    """The pixels themselves: distance 0 to the same image only, and nothing is kept."""

    name, dimension, fingerprint = "pixels", 48, "pixels-4x4"

    def prepare(self, image: ImageInput) -> Tensor:
        small = open_image(image).convert("RGB").resize((4, 4), Image.Resampling.BOX)
        return np.asarray(small, np.float32).reshape(-1) + 1

    def run(self, batch: Tensor) -> Tensor:
        return batch


@dataclass
class Usage:
    """What the process holds, sampled while it works."""

    resident: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def sample(self) -> None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self.resident.append(pages * os.sysconf("SC_PAGE_SIZE"))
        self.threads.append(threading.active_count())
        self.descriptors.append(len(os.listdir("/proc/self/fd")))

    def growth(self, samples: list[int]) -> float:
        """Return the median of the last quarter over that of the second one."""
        quarter = max(1, len(samples) // 4)
        return statistics.median(samples[-quarter:]) / statistics.median(
            samples[quarter : 2 * quarter]
        )


@dataclass
class Client:
    """One thread: does something at random, and checks what must be so after it."""

    engine: SearchEngine
    number: int
    folder: Path
    operations: int = 0
    versions: dict[str, int | None] = field(default_factory=dict)
    version: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.number)
        self.folder.mkdir(parents=True)

    def shown(self, id: str, version: int) -> Image.Image:
        return picture(f"{id} {version}")

    def step(self) -> None:
        choice = self.dice.choice([self.add, self.add, self.find, self.find, self.get])
        if self.dice.random() < 0.25:
            choice = self.dice.choice([self.remove, self.index, self.find_many])
        choice()
        self.operations += 1

    def add(self) -> None:
        id, self.version = f"{self.number}: {self.dice.randrange(IDS)}", self.version + 1
        self.engine.add(self.shown(id, self.version), id=id, metadata={"version": self.version})
        self.versions[id] = self.version

    def remove(self) -> None:
        for id in self.dice.sample(sorted(self.versions), min(1, len(self.versions))):
            self.engine.remove(id)
            self.versions[id] = None

    def index(self) -> None:
        self.version += 1
        path = self.folder / f"{self.dice.randrange(FILES)}.png"
        self.shown(str(path), self.version).save(path)
        report = self.engine.index(self.folder, metadata={"version": self.version})
        assert report.failures == []
        self.versions |= dict.fromkeys(
            (outcome.id for outcome in report.outcomes if outcome.id), self.version
        )

    def get(self) -> None:
        for id, version in self.versions.items():
            record = self.engine.get(id)
            assert (record and record.metadata["version"]) == version, id

    def find(self) -> None:
        added = self.added()
        if added:
            id, version = self.dice.choice(added)
            (hit,) = self.engine.search(self.shown(id, version), limit=1)
            assert hit.distance == pytest.approx(0, abs=1e-3), (id, hit)

    def find_many(self) -> None:
        images = [self.shown(id, version) for id, version in self.added()]
        for results in self.engine.search_many(images, limit=1):
            assert results[0].distance == pytest.approx(0, abs=1e-3)

    def added(self) -> list[tuple[str, int]]:
        """Return what this thread has added, and not removed; files show older versions."""
        return [(id, v) for id, v in self.versions.items() if v and not id.startswith("/")]


def run(engine: SearchEngine, folder: Path, seconds: float) -> None:
    ends, failures, usage = time.monotonic() + seconds, [], Usage()
    clients = [Client(engine, number, folder / str(number)) for number in range(THREADS)]

    def work(client: Client) -> None:
        try:
            while time.monotonic() < ends and not failures:
                client.step()
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(client,)) for client in clients]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        usage.sample()
        time.sleep(0.25)
    if failures:
        raise failures[0]
    for client in clients:
        client.get()
    assert engine.verify().ok
    kept = sum(v is not None for client in clients for v in client.versions.values())
    assert engine.count() == kept
    growths = [usage.growth(s) for s in (usage.resident, usage.threads, usage.descriptors)]
    done = sum(client.operations for client in clients)
    print(
        f"{done} operations in {seconds:.0f} s, {usage.resident[-1] >> 20} MiB; resident x"
        f"{growths[0]:.2f}, threads x{growths[1]:.2f}, descriptors x{growths[2]:.2f}"
    )
    if seconds >= 600:  # a short run has not settled
        assert max(growths) < 1.15


@pytest.fixture(
    params=[
        pytest.param(20.0, marks=pytest.mark.integration, id="short"),
        pytest.param(1200.0, marks=pytest.mark.slow, id="long"),
    ]
)
def seconds(request: pytest.FixtureRequest) -> float:
    # A campaign of another length: ONNXSEARCH_LOAD_SECONDS=120 pytest -m slow -k mixed
    return float(os.environ.get("ONNXSEARCH_LOAD_SECONDS", request.param))


@pytest.fixture(params=["local", "lite", "milvus"])
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, seconds: float
) -> Iterator[SearchEngine]:
    with ExitStack() as stack:
        metadata: str | None = None
        location = str(tmp_path / "album")
        if request.param != "local":
            redis = stack.enter_context(RedisServer(tmp_path / "redis").start(aof="always"))
            metadata, location = redis.url, str(tmp_path / "album.db")
        if request.param == "milvus":
            location = stack.enter_context(MilvusServer(tmp_path / "milvus").start()).url
        yield stack.enter_context(
            SearchEngine.open(location, embedders=Pixels(), records=metadata, workers=1)
        )


@pytest.mark.timeout(3600)
def test_nothing_fails_and_nothing_grows(
    engine: SearchEngine, tmp_path: Path, seconds: float
) -> None:
    run(engine, tmp_path / "files", seconds)
