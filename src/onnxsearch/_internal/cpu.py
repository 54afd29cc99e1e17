"""How many cores this process may use, in a container too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import NamedTuple

_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


class CpuQuota(NamedTuple):
    """The cores that one control group grants to all processes in it."""

    group: Path
    """The folder of the group."""
    cores: float


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    The smaller one of what the scheduler allows (`taskset`, cpusets) and the
    smallest quota of the control groups around the process (`docker run --cpus`,
    limits of a pod or of a systemd slice), rounded up. `os.cpu_count` tells what the
    machine has, and a thread for each of those in a container with two makes a model
    several times slower.
    """
    quota = min((quota.cores for quota in cpu_quotas()), default=None)
    cores = allowed_cores()
    return cores if quota is None else max(1, min(cores, ceil(quota)))


def allowed_cores() -> int:
    """Return the number of cores on which the scheduler may place this process."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        return os.cpu_count() or 1


def cpu_quotas() -> list[CpuQuota]:
    """Return the quotas of the process's control group and of all groups above it.

    Groups without a quota are left out, and so are those that a container does not see.
    Both versions of control groups count.
    """
    found = {group: _quota(group) for group in _groups()}
    return [CpuQuota(group, cores) for group, cores in found.items() if cores is not None]


def _groups() -> Iterator[Path]:
    """Yield the folders of the groups, the inner ones first, and last those of a container.

    A line of the membership is `number:controllers:path`; version 2 has no controllers. In a
    container without a namespace of its own, the path is the machine's, which is not there:
    the container's own group is then at the root.
    """
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # no control groups here
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = [part for part in path.split("/") if part not in ("", "..")]
        if not controllers:
            roots = [_CGROUP, _CGROUP / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [_CGROUP / controllers, _CGROUP / "cpu"]
        else:
            continue
        for depth in range(len(names), 0, -1):
            yield from (root.joinpath(*names[:depth]) for root in roots)
    yield from (_CGROUP, _CGROUP / "cpu")


def _quota(group: Path) -> float | None:
    """Return the cores that a control group grants; None if it limits none."""
    try:
        if (version_2 := group / "cpu.max").exists():
            quota, period = version_2.read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        # It is not there, or says "max".
        return None
    return limit if limit > 0 else None
