"""Real processes, killed at random points of their writes and of their recovery.

Half of them kill themselves at a random write to a store, before it or after it, from
the first write of the recovery on; the other half is killed by the clock.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onnxsearch import SearchEngine, StoreUnavailableError
from onnxsearch.testing import write_pictures
from tests.engine import crash_child
from tests.servers import MilvusServer, RedisServer

ROOT = Path(__file__).parents[2]


@dataclass
class Account:
    """What the killed processes said they had done."""

    versions: dict[str, int | None] = field(default_factory=dict)
    """Version by id; None for removed."""
    open: list[tuple[list[str], int | None]] = field(default_factory=list)
    """What was begun and not done: it may have happened or not."""
    acknowledged: int = 0

    def read(self, lines: list[str]) -> None:
        for line in lines:
            moment, operation, version, text = line.split(" ", 3)
            ids: list[str] = json.loads(text)
            value = None if operation == "remove" else int(version)
            if moment == "begin":
                self.open.append((ids, value))
            elif moment == "done":
                self.open.remove((ids, value))
                self.versions |= dict.fromkeys(ids, value)
                # What was begun before may be seen by its other ids only.
                self.open = [([i for i in o if i not in ids], v) for o, v in self.open]
                self.acknowledged += 1

    def settle(self, engine: SearchEngine) -> None:
        """Accept either ending of what was open, but not a half of it."""
        settled: set[str] = set()
        for ids, value in reversed(self.open):
            left = [id for id in ids if id not in settled]
            records = [engine.get(id) for id in left]
            if {record and record.metadata["version"] for record in records} == {value}:
                self.versions |= dict.fromkeys(left, value)
                settled.update(left)
        self.open.clear()


def check(engine: SearchEngine, account: Account) -> None:
    account.settle(engine)
    alive = {id: v for id, v in account.versions.items() if v is not None}
    for id, version in account.versions.items():
        record = engine.get(id)
        if version is None:
            assert record is None, f"{id!r} was removed, and is back"
        else:
            assert record is not None, f"{id!r} was acknowledged, and is lost"
            assert record.metadata == {"version": version}
    shown = [crash_child.picture(crash_child.name(id, version)) for id, version in alive.items()]
    for model in engine.models:
        for id, hits in zip(alive, engine.search_many(shown, model=model, limit=1), strict=True):
            assert (hits[0].id, hits[0].distance) == (id, pytest.approx(0, abs=1e-3))
    report = engine.verify()
    assert report.ok, report.findings
    assert engine.count() == report.records == len(alive)
    assert set(report.vectors.values()) <= {len(alive)}, "orphans"


@dataclass
class Campaign:
    """Kills processes that write, one after the other, and looks at what is left."""

    location: str
    metadata: str
    folder: Path
    threads: int = 1
    seconds: float = 0.4
    """How long a process lives at most before the clock kills it."""
    account: Account = field(default_factory=Account)
    dice: random.Random = field(default_factory=lambda: random.Random(42))
    kills: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir()
        write_pictures(self.folder, crash_child.FILES)

    def run(self, kills: int) -> None:
        while self.kills < kills:
            self.kill_one()
            if self.dice.random() < 0.7:  # else the next process finds what this one left
                self.look()
        self.look()
        assert self.account.acknowledged > kills, "the processes hardly wrote anything"
        print(f"{self.kills} kills, {self.account.acknowledged} acknowledged")

    def kill_one(self) -> None:
        at = self.dice.choice([-1, self.dice.randrange(8), self.dice.randrange(120)])
        with self.child(at) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline()]  # it has opened, or died of it
            if at == -1:
                time.sleep(self.dice.uniform(0, self.seconds))
                child.kill()
            lines += child.stdout.readlines()
        assert child.returncode == -9, "it was to be killed, and ended otherwise"
        self.kills += 1
        self.account.read([line for line in lines[1:] if line.endswith("\n")])

    def child(self, at: int) -> subprocess.Popen[str]:
        arguments = [self.location, self.metadata, str(self.folder)]
        numbers = [str(self.kills), str(self.threads), str(at)]
        command = [sys.executable, "-m", "tests.engine.crash_child", *arguments, *numbers]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def look(self) -> None:
        with SearchEngine.open(
            self.location, embedders=crash_child.EMBEDDERS, records=self.metadata
        ) as engine:
            check(engine, self.account)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis").start(aof="always") as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param("short", marks=pytest.mark.integration),
        pytest.param("long", marks=pytest.mark.slow),
    ]
)
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "long")


def test_local_files_lose_nothing(tmp_path: Path, long: bool) -> None:
    campaign = Campaign(str(tmp_path / "album"), str(tmp_path / "r.sqlite"), tmp_path / "files")
    campaign.run(120 if long else 10)


def test_milvus_lite_and_redis_lose_nothing(
    tmp_path: Path, redis_server: RedisServer, long: bool
) -> None:
    campaign = Campaign(str(tmp_path / "album.db"), redis_server.url, tmp_path / "files")
    campaign.run(80 if long else 7)


def test_four_threads_on_one_lite_file_lose_nothing(tmp_path: Path, long: bool) -> None:
    location, metadata = str(tmp_path / "album.db"), str(tmp_path / "records.sqlite")
    Campaign(location, metadata, tmp_path / "files", threads=4).run(40 if long else 4)


def test_a_redis_that_is_killed_loses_nothing(
    tmp_path: Path, redis_server: RedisServer, long: bool
) -> None:
    """The server dies under the writer, which is told so; the next engine finds it whole."""
    campaign = Campaign(str(tmp_path / "album"), redis_server.url, tmp_path / "files")
    for kill in range(60 if long else 8):
        with campaign.child(at=-1) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            time.sleep(campaign.dice.uniform(0, 0.4))
            redis_server.kill9()
            lines = child.stdout.readlines()
        assert (child.returncode, lines[-1].split()[0]) == (0, "failed")
        campaign.kills = kill + 1
        campaign.account.read(lines)
        redis_server.restart()
        campaign.look()
    assert campaign.account.acknowledged > campaign.kills
    print(f"{campaign.kills} kills, {campaign.account.acknowledged} acknowledged")


@pytest.mark.slow
def test_a_milvus_server_and_redis_lose_nothing(tmp_path: Path, redis_server: RedisServer) -> None:
    with MilvusServer(tmp_path / "milvus").start() as server:
        campaign = Campaign(server.url, redis_server.url, tmp_path / "files", seconds=5)
        campaign.run(100)


@pytest.mark.slow
def test_a_milvus_server_that_is_killed_loses_nothing(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with MilvusServer(tmp_path / "milvus").start() as server:
        campaign = Campaign(server.url, redis_server.url, tmp_path / "files")
        for kill in range(10):
            with campaign.child(at=-1) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "open\n"
                time.sleep(campaign.dice.uniform(2, 6))
                server.kill9()
                lines = child.stdout.readlines()
            campaign.kills = kill + 1
            campaign.account.read([line for line in lines if not line.startswith("Traceback")])
            server.restart()
            wait_until_it_searches(campaign)
            campaign.look()


def wait_until_it_searches(campaign: Campaign) -> None:
    """A Milvus that was killed loads its collections for half a minute."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with SearchEngine.open(
                campaign.location, embedders=crash_child.EMBEDDERS, records=campaign.metadata
            ) as engine:
                list(engine.search_many([crash_child.picture("any")], limit=1))
                return
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
