"""Every file in examples/ runs, and prints what its page of the documentation says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import RedisServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ADDRESSES = ("MILVUS_URI", "REDIS_URL")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Run an example in a folder of its own, and return what it prints."""

    def start(name: str, *arguments: str | Path, **settings: str) -> str:
        clean = {
            key: text for key, text in os.environ.items() if not key.endswith(("_URI", "_URL"))
        }
        result = subprocess.run(
            [sys.executable, EXAMPLES / name, *arguments],
            cwd=tmp_path,
            env=clean | settings,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "Warning" not in result.stderr
        return result.stdout

    return start


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text("utf-8")
    applications = (path.parent for path in EXAMPLES.glob("*/__main__.py"))
    examples = [*EXAMPLES.glob("*.py"), *applications]
    forgotten = [path.name for path in examples if f'"{path.name}"' not in text]
    assert forgotten == []


@pytest.mark.integration
def test_first_steps(run: Callable[..., str]) -> None:
    first, second = run("first_steps.py"), run("first_steps.py")
    assert "42 indexed" in first
    assert "42 unchanged" in second
    hits, others = first.split("leaving out")
    assert hits.count(f"{os.sep}coffee{os.sep}") == 3
    assert "coffee" not in others


@pytest.mark.integration
def test_own_model(run: Callable[..., str]) -> None:
    blocks = run("own_model.py").split("(")
    assert len(blocks) == 3
    assert all("dahlia-close.jpg" in block for block in blocks[1:])


@pytest.mark.integration
def test_perceptual_hash(run: Callable[..., str]) -> None:
    *copies, mirrored = run("perceptual_hash.py").splitlines()
    assert len(copies) == 5
    for line in copies:
        bits, name = line.split(" of 64 bits  ")
        assert int(bits) <= 4
        assert name.startswith("cat.jpg  ")
    assert int(mirrored.split()[0]) > 10


@pytest.mark.integration
def test_milvus_and_redis(run: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="the extra [lite] is not installed")
    with RedisServer(tmp_path / "redis").start() as server:
        first, second = (run("milvus_and_redis.py", REDIS_URL=server.url) for _ in range(2))
    assert "42 indexed" in first
    assert "42 unchanged" in second
    assert first.splitlines()[1:] == second.splitlines()[1:]
    assert "0.000  from a customer: {'album': 'uploads'}" in second


@pytest.mark.integration
def test_article(run: Callable[..., str], shared: Callable[[str], Path], album: Path) -> None:
    pytest.importorskip("milvus_lite", reason="the extra [lite] is not installed")
    shared("models/vgg16-notop.onnx")
    printed = run("article.py", "--album", album / "cat", "--limit", "3")
    assert "vgg16-notop.onnx, 512 dimensions, keras-caffe" in printed
    assert "3 of 3 found by both" in printed
    assert printed.count("0.000  cat.jpg") == 2


@pytest.mark.integration
def test_photo_search(tmp_path: Path) -> None:
    """The commands of its README print what it says."""

    def photo_search(*arguments: str) -> str:
        command = [sys.executable, "-m", "photo_search", "--library", tmp_path, *arguments]
        return subprocess.run(
            command, cwd=EXAMPLES, capture_output=True, encoding="utf-8", check=True
        ).stdout

    assert photo_search("import", "album") == "42 new, 0 known, 0 refused\n"
    most_similar = photo_search("similar", "queries/cat.jpg").splitlines()[:3]
    assert all("cat/" in line for line in most_similar)
    assert photo_search("tag", "cat/cat.jpg", "pet", "cat") == "cat/cat.jpg  cat pet\n"
    assert photo_search("suggest", "cat/cat-face.jpg") == "cat, pet\n"
    assert photo_search("import", "album") == "0 new, 42 known, 0 refused\n"
    assert photo_search("suggest", "cat/cat-face.jpg") == "cat, pet\n"


@pytest.mark.integration
@pytest.mark.parametrize("name", ["test_my_application.py", "test_own_store.py", "photo_search"])
def test_tests(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    result = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'pytest'}"],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_own_store_outlives_the_process(run: Callable[..., str]) -> None:
    assert "second run: ['first', 'second']" in run("own_store.py")
