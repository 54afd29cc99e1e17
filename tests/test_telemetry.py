"""Whoever searches pictures tells nobody of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_nothing_is_left_at_home(tmp_path: Path) -> None:
    """ONNX Runtime keeps a device identifier there, and the events that it is to send."""
    program = "import onnxsearch; onnxsearch.OnnxEmbedder.bundled('efficientnet-lite0')"
    home = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "LOCALAPPDATA")}
    dropped = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    subprocess.run([sys.executable, "-c", program], env=inherited | home, check=True)
    assert list(tmp_path.rglob("*")) == []
