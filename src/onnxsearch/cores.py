"""How many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return how many cores this process may use, at least 1.

    The least of the machine's cores, the process's affinity, and the CPU quota of
    its container (cgroup v2 `cpu.max`, v1 `cpu.cfs_quota_us`), rounded up. More
    threads than that fight over the quota and are slower, not faster.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return max(1, cores if quota is None else min(cores, quota))


def _quota() -> int | None:
    try:
        limit, period = (_CGROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (_CGROUP / "cpu/cpu.cfs_quota_us").read_text()
            period = (_CGROUP / "cpu/cpu.cfs_period_us").read_text()
        except OSError:
            return None
    if not (limit.strip().isdigit() and period.strip().isdigit()):
        return None  # "max", or -1: no limit
    return -(-int(limit) // int(period))
