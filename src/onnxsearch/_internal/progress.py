"""Progress reports of long operations."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeAlias

from onnxsearch._internal.validation import boolean
from onnxsearch.types import Progress

ProgressSink: TypeAlias = "bool | Callable[[Progress], None]"
"""True prints a line to standard error, False is silent, a callable is called."""

_INTERVAL = 0.2
"""Seconds between two lines: often enough to follow, too seldom to cost time."""


def reporter(sink: ProgressSink) -> Callable[[Progress], None]:
    """Return the function to call after every item."""
    if callable(sink):
        return sink
    boolean("progress", sink, "True, False or a function of a Progress")
    return _Line() if sink else _silent


def _silent(progress: Progress) -> None:
    del progress


class _Line:
    """One line on standard error: rewritten on a terminal, else a new one every 10 s."""

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        last = progress.done == progress.total
        if now - self._printed < (_INTERVAL if self._terminal else 10.0) and not last:
            return
        self._printed = now
        rate = progress.done / max(now - self._started, 1e-9)
        total = "" if progress.total is None else f" of {progress.total}"
        line = f"{progress.done}{total} images, {rate:.0f}/s"
        if self._terminal:
            line = f"\r{line:<60}"
        sys.stderr.write(line + ("\n" if last or not self._terminal else ""))
        sys.stderr.flush()
