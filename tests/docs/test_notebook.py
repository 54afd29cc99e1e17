"""The article as a notebook: it runs, and shows what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import RedisServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODELS = EXAMPLES.parent / "build" / "models"


def outputs(notebook: Path) -> str:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return json.dumps([cell.get("outputs", []) for cell in cells])


def test_it_is_kept_without_outputs() -> None:
    assert not any(json.loads(outputs(EXAMPLES / "article.ipynb")))


@pytest.mark.integration
def test_it_runs(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    pytest.importorskip("milvus_lite", reason="the extra [lite] is not installed")
    pytest.importorskip("nbclient")
    if not (MODELS / "vgg16-keras-random.onnx").exists():
        shared("models/vgg16-notop.onnx")
    executed = tmp_path / "article.ipynb"
    with RedisServer(tmp_path / "redis").start() as server:
        result = subprocess.run(
            [sys.executable, "-m", "jupyter", "execute", "article.ipynb", "--output", executed],
            cwd=EXAMPLES,
            env=os.environ | {"REDIS_URL": server.url, "JUPYTER_PLATFORM_DIRS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    shown = outputs(executed)
    assert "9 indexed" in shown
    assert "vgg16: vgg16-" in shown
    assert shown.count("1. 0.000") == 2
    assert "data:image/jpeg;base64," in shown
    assert "mAP" in shown
