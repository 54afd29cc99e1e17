"""Real processes, killed at random points of their writes and of their recovery."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onnxsearch import SearchEngine
from tests.engine import crash_child
from tests.servers import RedisServer

pytestmark = pytest.mark.integration

KILLS = 12
RECOVERY_KILLS = 3


@dataclass
class Ledger:
    """What the killed processes said they had done."""

    versions: dict[str, int | None] = field(default_factory=dict)
    """Version by id; None for removed."""
    open: tuple[str, int | None] | None = None
    """What was begun and not done: it may have happened or not."""

    def read(self, lines: list[str]) -> None:
        for line in lines:
            moment, operation, version, id = line.split(" ", 3)
            value = int(version) if operation == "put" else None
            if moment == "begin":
                self.open = (id, value)
            else:
                self.versions[id] = value
                self.open = None

    def settle(self, engine: SearchEngine) -> None:
        """Accept either ending of what was open when the process was killed."""
        if self.open is None:
            return
        id, value = self.open
        record = engine.get(id)
        if value == (record.metadata["version"] if record else None):
            self.versions[id] = value
        self.open = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis").start(aof="always") as server:
        yield server


def run_and_kill(location: str, metadata: str, seed: int, seconds: float) -> list[str]:
    command = [sys.executable, "-m", "tests.engine.crash_child", location, metadata, str(seed)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as child:
        assert child.stdout is not None
        first = child.stdout.readline()  # it has opened, and recovered what came before
        time.sleep(seconds)
        child.kill()
        rest = child.stdout.read()
    lines = (first + rest).splitlines(keepends=True)
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]


def kill_while_recovering(location: str, metadata: str, seconds: float) -> None:
    code = (
        "import sys; from onnxsearch import SearchEngine\n"
        "from tests.engine.crash_child import EMBEDDERS\n"
        "SearchEngine.open(sys.argv[1], embedders=EMBEDDERS, metadata=sys.argv[2])"
    )
    command = [sys.executable, "-c", code, location, metadata]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as child:
        time.sleep(seconds)
        child.kill()


def check(engine: SearchEngine, ledger: Ledger) -> None:
    ledger.settle(engine)
    for id, version in ledger.versions.items():
        record = engine.get(id)
        if version is None:
            assert record is None, f"{id!r} was removed, and is back"
            continue
        assert record is not None, f"{id!r} was acknowledged, and is lost"
        assert record.metadata == {"version": version}
        shown = crash_child.picture(crash_child.name(id, version))
        for model in engine.models:
            hit = engine.search(shown, model=model, limit=1)[0]
            assert (hit.id, hit.distance) == (id, pytest.approx(0, abs=1e-3))
    alive = sum(version is not None for version in ledger.versions.values())
    assert engine.count() == alive
    catalog = engine._catalog
    for model in engine.models:
        assert engine._retrieval.vectors.count(catalog.collection(model)) == alive, "orphans"


def campaign(location: str, metadata: str) -> None:
    dice = random.Random(42)
    ledger = Ledger()
    for seed in range(KILLS):
        ledger.read(run_and_kill(location, metadata, seed, dice.uniform(0.0, 0.4)))
        if seed < RECOVERY_KILLS:
            kill_while_recovering(location, metadata, dice.uniform(0.3, 1.5))
        with SearchEngine.open(
            location, embedders=crash_child.EMBEDDERS, metadata=metadata
        ) as engine:
            check(engine, ledger)
    assert len(ledger.versions) == len(crash_child.IDS), "the processes hardly wrote anything"


def test_kills_over_local_files_lose_nothing(tmp_path: Path) -> None:
    campaign(str(tmp_path / "album"), str(tmp_path / "records.sqlite"))


def test_kills_over_milvus_lite_and_redis_lose_nothing(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    campaign(str(tmp_path / "album.db"), redis_server.url)
