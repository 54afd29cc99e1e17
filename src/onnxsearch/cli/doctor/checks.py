"""Checks, their results, and how each of them is kept from hanging."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from onnxsearch.errors import OnnxSearchError


class CheckStatus(Enum):
    """How bad a result is."""

    OK = "ok"
    WARNING = "warning"
    """It works, with a loss that the result names."""
    ERROR = "error"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    check: str
    """The name of the check, which stays the same between releases."""
    status: CheckStatus
    found: str
    remedy: str | None = None
    """What to do; None where nothing is wrong."""


def ok(check: str, found: str) -> CheckResult:
    """Return a result where nothing is wrong."""
    return CheckResult(check, CheckStatus.OK, found)


def warning(check: str, found: str, remedy: str) -> CheckResult:
    """Return a result of something that works, with a loss."""
    return CheckResult(check, CheckStatus.WARNING, found, remedy)


def error(check: str, found: str, remedy: str) -> CheckResult:
    """Return a result of something that does not work."""
    return CheckResult(check, CheckStatus.ERROR, found, remedy)


class Check(NamedTuple):
    """Something to look at."""

    name: str
    run: Callable[[], Iterable[CheckResult]]


def run_checks(checks: Sequence[Check], patience: float) -> Iterator[CheckResult]:
    """Yield the results of all checks, in order.

    Each check runs in a thread of its own, which is left behind if it hangs: a server that
    does not answer, or a network file system that is gone, holds up nothing for longer.

    Args:
        checks: What to look at.
        patience: Seconds that each check may take.
    """
    for check in checks:
        yield from _within(check, patience)


def _within(check: Check, patience: float) -> Iterator[CheckResult]:
    results: queue.SimpleQueue[CheckResult | None] = queue.SimpleQueue()
    threading.Thread(target=_collect, args=(check, results), daemon=True).start()
    deadline = time.monotonic() + patience
    while True:
        try:
            result = results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            yield error(
                check.name,
                f"no answer within {patience:g} s",
                "see whether the server, disk or driver hangs; --timeout waits longer",
            )
            return
        if result is None:
            return
        yield result


def _collect(check: Check, results: queue.SimpleQueue[CheckResult | None]) -> None:
    try:
        for result in check.run():
            results.put(result)
    except OnnxSearchError as problem:
        results.put(error(check.name, str(problem), "the message says what to do"))
    except Exception as problem:  # noqa: BLE001, a check looks at what may be broken in any way
        found = f"the check failed: {type(problem).__name__}: {problem}"
        results.put(error(check.name, found, "report this as an issue of onnxsearch"))
    finally:
        results.put(None)
