"""How many cores this process may use, in a container too."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    The smaller one of what the scheduler allows (`taskset`, cpusets) and the
    quota of the container (`docker run --cpus`), rounded up. `os.cpu_count` tells
    what the machine has, and a thread for each of those in a container with two
    makes a model several times slower.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        cores = os.cpu_count() or 1
    quota = _quota(_CGROUP)
    return cores if quota is None else max(1, min(cores, ceil(quota)))


def _quota(root: Path) -> float | None:
    """Return the cores that the control group under `root` grants; None if unlimited."""
    try:
        if (version_2 := root / "cpu.max").exists():
            quota, period = version_2.read_text().split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        # No control groups here, or the word "max".
        return None
    return limit if limit > 0 else None
