"""Checks of a Milvus Lite file: its kind, its lock, and the process that holds it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from onnxsearch.cli.doctor.checks import CheckResult, error, ok

_CHECK = "lite"
_PROCESSES = Path("/proc")
_FILE_LOCK = re.compile(r"FLOCK +\w+ +\w+ +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ")
_LOCK = "LOCK"
"""The file that Milvus Lite locks in its folder."""


def lite(path: Path) -> Iterator[CheckResult]:
    """Find what keeps a Milvus Lite file from being opened.

    Args:
        path: The `.db` folder, which exists.
    """
    if find_spec("milvus_lite") is None:
        yield error(
            _CHECK,
            f"{str(path)!r} needs Milvus Lite, which is not installed",
            'pip install "onnxsearch[lite]"',
        )
    elif path.is_file():
        yield error(
            _CHECK,
            f"{str(path)!r} is a single file: Milvus Lite 2 wrote it, or another application",
            "choose another location and index again, or move the data with milvus-lite 2",
        )
    elif (owner := lock_owner(path / _LOCK)) is not None:
        yield error(
            _CHECK,
            f"{str(path)!r} is open in process {owner} ({command_of(owner)}), and Milvus Lite "
            "serves one process at a time",
            "end that process, send your queries to it, or use a Milvus server",
        )
    elif not (_PROCESSES / "locks").exists():
        yield ok(_CHECK, f"{str(path)!r} is there; this system does not say who has it open")
    else:
        yield ok(_CHECK, f"{str(path)!r} is not open in any process")


def lock_owner(file: Path) -> int | None:
    """Return the process that has locked a file; None if there is none, or it is not known.

    The lock is not tried: that would take it away from a process that opens the file now.
    """
    try:
        status = os.stat(file)
        lines = (_PROCESSES / "locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 11611 fe:00:2146825 0 EOF
        found = _FILE_LOCK.search(line)
        if found is None:
            continue
        process, major, minor, inode = found.groups()
        device = os.makedev(int(major, 16), int(minor, 16))
        if (device, int(inode)) == (status.st_dev, status.st_ino):
            return int(process)
    return None


def command_of(process: int) -> str:
    """Return the program that a process runs, without arguments, which may hold secrets."""
    try:
        line = (_PROCESSES / str(process) / "cmdline").read_bytes()
    except OSError:
        return "of another user, or in another container"
    words = [os.path.basename(os.fsdecode(word)) for word in line.split(b"\0") if word]
    match words:
        case [program, "-m", module, *_]:
            return f"{program} -m {module}"
        case [program, script, *_] if not script.startswith("-"):
            return f"{program} {script}"
        case [program, *_]:
            return program
        case _:
            return "a process that is ending"
