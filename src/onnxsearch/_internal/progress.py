"""Progress reports of long operations."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch._internal.validation import boolean
from onnxsearch.types import Progress

if TYPE_CHECKING:
    from tqdm import tqdm

ProgressSink: TypeAlias = "bool | Callable[[Progress], None]"
"""True shows a bar or a line on standard error, False is silent, a callable is called."""

_INTERVAL = 0.2
"""Seconds between two lines: often enough to follow, too seldom to cost time."""


def reporter(sink: ProgressSink) -> Callable[[Progress], None]:
    """Return the function to call after every item."""
    if callable(sink):
        return sink
    boolean("progress", sink, "True, False or a function of a Progress")
    return _display() if sink else _silent


def _silent(progress: Progress) -> None:
    del progress


def _display() -> Callable[[Progress], None]:
    """Return a bar of tqdm where it is installed and can be drawn, else a line of ours."""
    if not (sys.stderr.isatty() or _in_notebook()):
        return _Line()
    try:
        with warnings.catch_warnings():
            # Without ipywidgets, tqdm draws a notebook's bar as text, and warns.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm as bar
    except ImportError:
        return _Line()
    return _Bar(bar)


def _in_notebook() -> bool:
    """Return whether this is a Jupyter kernel, whose standard error is shown in a page."""
    # An attribute, not an import: outside a notebook, nothing has loaded IPython.
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return "IPKernelApp" in getattr(get_shell() if get_shell else None, "config", ())


class _Bar:
    """A bar of tqdm, made with the first item."""

    def __init__(self, kind: Callable[..., tqdm[None]]) -> None:
        self._kind = kind
        self._bar: tqdm[None] | None = None

    def __call__(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = self._kind(total=progress.total, unit=" images", file=sys.stderr)
        bar = self._bar
        bar.total = progress.total  # it may become known on the way
        bar.update(progress.done - bar.n)
        if progress.done == progress.total:
            bar.close()
            self._bar = None


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
