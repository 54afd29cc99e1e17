"""Checks of the installed packages: versions, extras, and two copies of ONNX Runtime."""

from __future__ import annotations

import platform
import re
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distributions, requires, version

from onnxsearch._internal.version import VERSION
from onnxsearch.cli.doctor.checks import CheckResult, error, ok

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
_LEAST_PYTHON = (3, 11)
_LEAST_SQLITE = (3, 35)
"""The release whose tables and statements are used; Python 3.11 itself comes with later ones."""
_SHOWN = ("onnxruntime", "numpy", "pillow", "pymilvus", "milvus-lite", "redis")
"""Packages whose versions are worth a line in a report."""
_RUNTIMES = tuple(
    f"{name}{kind}"
    for name in ("onnxruntime", "ort-nightly")
    for kind in (
        *("", "-gpu", "-directml", "-openvino", "-silicon", "-training", "-rocm", "-migraphx"),
        *("-qnn", "-cann", "-azure", "-vitisai", "-noopenmp"),
    )
)
"""Distributions that bring the module onnxruntime; others extend it and may stand beside it."""


def versions() -> Iterator[CheckResult]:
    """Compare the versions of packages with those that this release needs."""
    python = platform.python_version()
    if sys.version_info[:2] < _LEAST_PYTHON:
        yield error("version.python", f"Python {python}", "install Python 3.11 or newer")
    else:
        yield ok("version.python", f"Python {python} on {platform.platform()}")
    yield ok("version.onnxsearch", f"onnxsearch {VERSION}")
    if sqlite3.sqlite_version_info < _LEAST_SQLITE:
        least = ".".join(map(str, _LEAST_SQLITE))
        found = f"SQLite {sqlite3.sqlite_version}: {least} is needed"
        yield error("version.sqlite", found, "install a newer Python, which comes with SQLite")
    else:
        yield ok("version.sqlite", f"SQLite {sqlite3.sqlite_version}")
    # The extra `all` repeats what others need.
    needed = {package: (wanted, extra) for package, wanted, extra in _requirements()}
    for package, (wanted, extra) in needed.items():
        if (result := _version_of(package, wanted, extra)) is not None:
            yield result


def extras() -> Iterator[CheckResult]:
    """Report which optional packages are missing."""
    missing: defaultdict[str, list[str]] = defaultdict(list)
    there: set[str] = set()
    for package, _, extra in _requirements():
        if extra in (None, "all"):
            continue
        there.add(str(extra))
        if _installed(package) is None:
            missing[str(extra)].append(package)
    there -= missing.keys()
    absent = "; ".join(f"{extra} ({', '.join(names)})" for extra, names in sorted(missing.items()))
    found = f"installed: {', '.join(sorted(there)) or 'none'}"
    yield ok("extras", f"{found}; not installed: {absent}" if absent else found)


def runtimes() -> Iterator[CheckResult]:
    """Find several distributions of ONNX Runtime, which overwrite each other's files."""
    found = _runtimes()
    shown = " and ".join(f"{name} {version}" for name, version in found)
    if len(found) > 1:
        names = sorted({name for name, _ in found})
        yield error(
            "onnxruntime.distributions",
            f"{shown} are installed, and each has overwritten files of the others",
            f"pip uninstall -y {' '.join(names)}, then install the one that you need",
        )
    elif found:
        yield ok("onnxruntime.distributions", shown)
    else:
        yield error(
            "onnxruntime.distributions",
            "ONNX Runtime is not installed",
            "pip install onnxruntime, or onnxruntime-gpu for CUDA",
        )


def _runtimes() -> list[tuple[str, str]]:
    """Return name and version of each distribution of ONNX Runtime."""
    # By name: to read all that is installed takes seconds.
    return [(name, each.version) for name in _RUNTIMES for each in distributions(name=name)]


def _requirements() -> Iterator[tuple[str, str, str | None]]:
    """Yield what onnxsearch needs: package, versions, and the extra that it belongs to."""
    try:
        lines: Iterable[str] = requires("onnxsearch") or ()
    except PackageNotFoundError:  # it runs from its source
        lines = ()
    for line in lines:
        if match := _REQUIREMENT.match(line):
            name, wanted, marker = match.groups()
            extra = _EXTRA.search(marker or "")
            if _normal(name) != "onnxsearch":
                yield _normal(name), wanted.strip(" ()"), extra.group(1) if extra else None


def _version_of(package: str, wanted: str, extra: str | None) -> CheckResult | None:
    """Return what to say of a package; None if that is nothing."""
    check = f"version.{package}"
    found = _installed(package)
    if package == "onnxruntime":
        # Any of its distributions will do; `runtimes` reports none, and several.
        found = next((version for _, version in _runtimes()), None)
        if found is None:
            return None
    if found is None:
        if extra is not None:
            return None  # `extras` names it
        return error(check, f"{package} is not installed", f'pip install "{package}{wanted}"')
    if not _satisfies(found, wanted):
        remedy = f'pip install "{package}{wanted}"'
        return error(check, f"{package} {found}: {wanted} is needed", remedy)
    return ok(check, f"{package} {found}") if package in _SHOWN else None


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _satisfies(found: str, wanted: str) -> bool:
    """Return whether a version lies within bounds such as `>=2.6.17,<4`."""
    have = _numbers(found)
    for bound in filter(None, (each.strip() for each in wanted.split(","))):
        limit = _numbers(bound.lstrip("<>=!~ "))
        if (bound.startswith(">=") and have < limit) or (
            bound.startswith("<") and not bound.startswith("<=") and have >= limit
        ):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a release, without zeros at the end."""
    release = re.split(r"[^\d.]", version, maxsplit=1)[0]
    numbers = [int(part) for part in release.split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
