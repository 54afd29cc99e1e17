"""The command `watch`, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from onnxsearch.cli import watch  # noqa: F401  it adds its command
from onnxsearch.cli.app import app

pytest.importorskip("watchfiles")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# SIGINT counts also where the tests run in the background, whose processes ignore it.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "sys.argv[0] = 'onnxsearch'; from onnxsearch.cli import main; main()"
)


class Watcher:
    """A process that watches a folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-c", COMMAND, "watch", str(folder), *options]
        self.process = subprocess.Popen(
            command, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # A test that waits in vain must end.
        self._timer = threading.Timer(60, self.process.kill)
        self._timer.start()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.line())
        return report

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; return the exit code and what was written to standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate()
        self._timer.cancel()
        return self.process.returncode, errors


def paint(path: Path, colour: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (64, 48), colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint(tmp_path / "pictures" / "gold.png", "gold").parent


@pytest.mark.integration
def test_it_prints_a_line_for_each_report_until_ctrl_c(folder: Path) -> None:
    watcher = Watcher(folder, "-l", str(folder / ".onnxsearch"))
    assert watcher.line().startswith("1 indexed")
    paint(folder / "navy.png", "navy")
    assert watcher.line().startswith("1 indexed")
    (folder / "gold.png").unlink()
    assert watcher.line().startswith("1 removed")
    assert watcher.end(signal.SIGINT) == (0, "")


@pytest.mark.integration
def test_a_killed_watch_catches_up_in_json(folder: Path) -> None:
    watcher = Watcher(folder, "--json", "--root", str(folder))
    assert watcher.report()["counts"]["indexed"] == 1
    assert watcher.end(signal.SIGKILL)[0] == -signal.SIGKILL
    paint(folder / "navy.png", "navy")
    (folder / "gold.png").unlink()

    watcher = Watcher(folder, "--json")
    counts = watcher.report()["counts"]
    assert (counts["indexed"], counts["removed"]) == (1, 1)
    paint(folder / "red.png", "red")
    assert [outcome["id"] for outcome in watcher.report()["outcomes"]] == ["red.png"]
    assert watcher.end(signal.SIGTERM) == (0, "")


def test_an_error_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["watch", "nowhere"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: there is no folder")
