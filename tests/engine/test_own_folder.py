"""An index inside the folder that it indexes, killed beside a process that searches it.

SQLite's locks belong to a process and a file: whoever opens and closes a file of the
index once more gives them up. The next process then believes that nobody has it open.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from onnxsearch import OnnxSearchError, SearchEngine
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes

ROOT = Path(__file__).parents[2]
FILES = 12


def write(folder: Path, seed: int) -> None:
    """Add images and index the folder by turns, and say what was acknowledged."""
    with SearchEngine.open(folder / ".index", embedders=FakeEmbedder()) as engine:
        for number in count():
            id = f"{seed}-{number}"
            engine.add(picture_bytes(id), id=id, metadata={"number": number})
            print(id, flush=True)
            engine.index(folder, metadata={"seed": seed})
            engine.index(folder / ".index" / "records.sqlite")
            print(*(str(folder / f"{n}.png") for n in range(FILES)), sep="\n", flush=True)


def search(folder: Path) -> None:
    """Open the index and search it, also for its own files, again and again."""
    while True:
        with SearchEngine.open(folder / ".index", embedders=FakeEmbedder()) as engine:
            for _ in range(5):
                assert len(engine.search(picture("any"), limit=3)) <= 3
                for name in ("records.sqlite", "vectors.sqlite", "records.sqlite-wal"):
                    with suppress(OnnxSearchError):
                        engine.search(folder / ".index" / name)


@pytest.mark.parametrize("location", [".onnxsearch", "index", "index.db", ".hidden.db"])
def test_the_index_itself_has_no_outcome(tmp_path: Path, location: str) -> None:
    picture("cat").save(tmp_path / "cat.png")
    with SearchEngine.open(tmp_path / location, embedders=FakeEmbedder()) as engine:
        for _ in range(2):
            report = engine.index(tmp_path, include_hidden=location.startswith(".h"))
            assert [Path(outcome.uri).name for outcome in report.outcomes] == ["cat.png"]


def child(role: str, folder: Path, seed: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.engine.test_own_folder", role, str(folder), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(6, marks=pytest.mark.integration),
        pytest.param(50, marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost(tmp_path: Path, kills: int) -> None:
    for number in range(FILES):
        picture(f"file {number}").save(tmp_path / f"{number}.png")
    dice, acknowledged = random.Random(7), set[str]()
    SearchEngine.open(tmp_path / ".index", embedders=FakeEmbedder()).close()
    with child("search", tmp_path) as searcher:
        for seed in range(kills):
            with child("write", tmp_path, seed) as writer:
                assert writer.stdout is not None
                lines = [writer.stdout.readline()]
                time.sleep(dice.uniform(0, 1))
                writer.kill()
                lines += writer.stdout.readlines()
            assert writer.returncode == -9, "the writer failed before it was killed"
            acknowledged |= {line.strip() for line in lines if line.endswith("\n")}
            assert searcher.poll() is None, "the searching process failed"
            with SearchEngine.open(tmp_path / ".index", embedders=FakeEmbedder()) as engine:
                lost = {id for id in acknowledged if engine.get(id) is None}
                assert not lost
                assert engine.verify().ok
        searcher.kill()
    print(f"{kills} kills, {len(acknowledged)} acknowledged")
    assert len(acknowledged) > kills + FILES


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        search(Path(sys.argv[2]))
