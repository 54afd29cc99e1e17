"""One run over a folder, killed five times and started again, ends like an undisturbed one."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsearch import Record, SearchEngine
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]
NAMES = [f"image {number:04}" for number in range(1200)]
KILLS = 5

pytestmark = pytest.mark.integration


@pytest.fixture(params=["local", "lite", "server"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Give the locations of the vectors and of the records."""
    if request.param == "local":
        yield str(tmp_path / "album"), str(tmp_path / "records.sqlite")
        return
    location = str(tmp_path / "album.db")
    if request.param == "server":
        location = request.getfixturevalue("milvus_url")
    else:
        pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
    with RedisServer(tmp_path / "redis").start(aof="always") as server:
        yield location, server.url


def start(places: tuple[str, str], folder: Path, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.engine.index_child", *places, str(folder), str(log)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def stored(places: tuple[str, str]) -> dict[str, tuple[Record, list[float]]]:
    """Return the record and the vector of each image, after what a kill left is cleaned up."""
    with SearchEngine.open(places[0], embedders=FakeEmbedder("one"), records=places[1]) as engine:
        report = engine.verify()
        assert report.ok, report.findings
        records = {record.id: record for record in engine.records()}
        assert set(report.vectors.values()) <= {len(records)}, "orphans"
        vectors = engine.vectors(list(records)).tolist()
    return {id: (records[id], row) for id, row in zip(records, vectors, strict=True)}


def test_killed_five_times(tmp_path: Path, places: tuple[str, str]) -> None:
    paths = write_pictures(tmp_path / "photos", NAMES)
    shown = {
        FakeEmbedder().prepare(picture(n)).tobytes().hex(): str(p)
        for n, p in zip(NAMES, paths, strict=True)
    }
    dice = random.Random(7)
    acknowledged: set[str] = set()
    for run in range(KILLS + 1):
        before = set(stored(places))
        assert acknowledged <= before, "acknowledged images are lost"
        log = tmp_path / f"run {run}"
        with start(places, tmp_path / "photos", log) as child:
            assert child.stdout is not None
            if run < KILLS:
                # It names what it finds, and then what it stores.
                wanted = len(before) + dice.randrange(1, 130)
                lines = [child.stdout.readline() for _ in range(wanted)]
                time.sleep(dice.uniform(0, 0.05))
                child.kill()
            else:
                lines = []
            lines += child.stdout.readlines()
        assert child.returncode == (-9 if run < KILLS else 0)
        acknowledged |= {line.removesuffix("\n") for line in lines if line.endswith("\n")}
        embedded = [shown[digest] for digest in log.read_text("utf-8").splitlines()]
        assert len(embedded) == len(set(embedded))
        assert not before.intersection(embedded), "a stored image was embedded again"
    assert acknowledged == set(map(str, paths))
    undisturbed = str(tmp_path / "other"), str(tmp_path / "other.sqlite")
    with start(undisturbed, tmp_path / "photos", tmp_path / "undisturbed") as child:
        child.communicate()
    assert stored(places) == stored(undisturbed)
