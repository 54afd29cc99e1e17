"""Cores in containers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxsearch._internal import cpu
from onnxsearch._internal.cpu import CpuQuota, available_cores, cpu_quotas

Files = dict[str, str]


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Files], None]:
    """Put the process into control groups of a machine with 8 cores."""

    def make(membership: str, files: Files) -> None:
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        (tmp_path / "membership").write_text(membership)

    monkeypatch.setattr(cpu, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(cpu, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return make


def v1(folder: str, quota: int) -> Files:
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu.max": "6400000 100000"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu.max": "100000 0"}, 8),
        (v1("cpu", -1), 8),
        (v1("cpu", 300_000), 3),
    ],
)
def test_the_containers_quota_counts(
    groups: Callable[[str, Files], None], files: Files, expected: int
) -> None:
    groups("0::/\n", files)
    assert available_cores() == expected


@pytest.mark.parametrize("membership", ["", "0::/\n", "3:cpuset:/a/b\n1:name=systemd:/a\n"])
def test_a_process_outside_of_groups_with_a_quota(
    groups: Callable[[str, Files], None], membership: str
) -> None:
    groups(membership, {"a/cpu.max": "100000 100000", "a/b/cpu.max": "100000 100000"})
    assert available_cores() == 8
    assert cpu_quotas() == []


@pytest.mark.parametrize("limited", ["pods", "pods/pod1", "pods/pod1/c1"])
def test_a_quota_at_any_level_counts(
    groups: Callable[[str, Files], None], tmp_path: Path, limited: str
) -> None:
    files = {f"{group}/cpu.max": "max 100000" for group in ("pods", "pods/pod1", "pods/pod1/c1")}
    groups("0::/pods/pod1/c1\n", files | {f"{limited}/cpu.max": "250000 100000"})
    assert available_cores() == 3
    assert cpu_quotas() == [CpuQuota(tmp_path / "cgroup" / limited, 2.5)]


def test_the_smallest_quota_counts(groups: Callable[[str, Files], None]) -> None:
    quotas = {"a/cpu.max": "200000 100000", "a/b/cpu.max": "600000 100000"}
    groups("0::/a/b\n", {**quotas, "a/b/c/cpu.max": "100000 100000"})
    assert available_cores() == 2


@pytest.mark.parametrize("mounted", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("limited", ["docker", "docker/c1"])
def test_quotas_of_version_1(
    groups: Callable[[str, Files], None], mounted: str, limited: str
) -> None:
    groups(f"4:memory:/docker/c1\n2:{mounted}:/docker/c1\n", v1(f"{mounted}/{limited}", 400_000))
    assert available_cores() == 4


def test_both_versions_beside_each_other(groups: Callable[[str, Files], None]) -> None:
    files = {"unified/a/cpu.max": "500000 100000", **v1("cpu/a", 300_000)}
    groups("1:cpu:/a\n0::/a\n", files)
    assert available_cores() == 3


def test_a_path_that_leads_out_of_the_namespace(groups: Callable[[str, Files], None]) -> None:
    groups("0::/../../other\n", {"cpu.max": "200000 100000"})
    assert available_cores() == 2
