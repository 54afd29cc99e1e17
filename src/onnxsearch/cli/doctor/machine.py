"""Checks of the machine: execution providers, cores, memory, clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import onnxsearch
from onnxsearch._internal.cpu import allowed_cores, available_cores, cpu_quotas
from onnxsearch.cli.doctor.checks import Check, CheckResult, error, ok, warning

_TRIAL = (
    "import sys; from onnxsearch.embedders.onnx.provider_choice import why_not; "
    "reason = why_not(sys.argv[1]); sys.exit() if reason is None else sys.exit(reason)"
)
"""A program that runs a tiny model on a provider. A process of its own: the driver of a GPU may
hang, or end the process."""
_LIST = (
    "from onnxsearch.embedders.onnx.provider_choice import installed_providers; "
    "print(*installed_providers())"
)
_REMOTE = frozenset({"AzureExecutionProvider"})
"""Providers that send data to a service, and are not tried."""
_LONGEST_REASON = 500


def providers(patience: float) -> Iterator[CheckResult]:
    """Run a tiny model on every execution provider that is installed.

    Args:
        patience: Seconds that all of them may take.
    """
    deadline = time.monotonic() + patience
    listed = _python(_LIST, deadline=deadline)
    if listed.returncode:
        reason = _reason(listed)
        yield error("providers", f"ONNX Runtime cannot be imported: {reason}", _REINSTALL)
        return
    for name in listed.stdout.split():
        check = f"provider.{name}"
        if name in _REMOTE:
            continue
        try:
            tried = _python(_TRIAL, name, deadline=deadline)
        except subprocess.TimeoutExpired:
            yield error(check, f"{name} does not answer", f"check its driver. {_OTHER_PROVIDER}")
            continue
        if tried.returncode:
            found = f"{name} is installed but does not start: {_reason(tried)}"
            yield error(check, found, f"install its driver and libraries. {_OTHER_PROVIDER}")
        else:
            yield ok(check, f"{name} computes")


_REINSTALL = "pip install --force-reinstall onnxruntime"
_OTHER_PROVIDER = 'Or load models with providers="auto", which leaves it out'


def cores() -> Iterator[CheckResult]:
    """Compare the cores of the machine with those that this process may use."""
    machine, allowed, quotas = os.cpu_count() or 1, allowed_cores(), cpu_quotas()
    found = f"{available_cores()} cores are used; the machine has {machine}"
    if allowed < machine:
        found += f", this process may run on {allowed}"
    found += "".join(f", {each.group} grants {each.cores:g}" for each in quotas)
    least = min((each.cores for each in quotas), default=float(machine))
    if least < 1:
        remedy = "grant the container at least one core, or expect searches to wait for it"
        yield warning("cores", found, remedy)
    else:
        yield ok("cores", found)


def clock() -> Iterator[CheckResult]:
    """Find a clock that is far behind: images would expire too late."""
    installed = Path(onnxsearch.__file__).stat().st_mtime
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < installed - 86_400:
        found = f"the clock says {shown}, and onnxsearch was installed after that"
        yield error("clock", found, "set the clock, for example by NTP")
    else:
        yield ok("clock", shown)


def machine_checks(patience: float) -> list[Check]:
    """Return the checks of this module.

    Args:
        patience: Seconds that a check may take.
    """
    # A process that is killed, rather than left behind.
    return [
        Check("cores", cores),
        Check("clock", clock),
        Check("providers", partial(providers, patience * 0.9)),
    ]


def _python(program: str, *arguments: str, deadline: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=max(0.1, deadline - time.monotonic()),
        check=False,
    )


def _reason(ended: subprocess.CompletedProcess[str]) -> str:
    if ended.returncode < 0:
        return f"its process was ended by signal {-ended.returncode}"
    return " ".join(ended.stderr.split())[-_LONGEST_REASON:] or f"exit code {ended.returncode}"
