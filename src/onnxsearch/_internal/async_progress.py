"""Progress of an operation on a thread, reported in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from onnxsearch._internal.progress import ProgressSink, reporter

if TYPE_CHECKING:
    from onnxsearch.types import Progress


class AsyncProgress:
    """Receives the progress of an operation on its thread.

    A function of the caller is called in the event loop that awaits the operation. An error
    that it raises ends the operation. So does `stop`, after the image at work: what was stored
    before stays.

    Args:
        sink: See `onnxsearch._internal.progress.reporter`.
        stop: Ends the operation.

    Raises:
        InvalidArgumentError: `sink` is of another type.
    """

    def __init__(self, sink: ProgressSink, stop: threading.Event) -> None:
        self.error: Exception | None = None
        """What the caller's function raised."""
        # A bar imports tqdm, so it is made on the thread.
        self._report = None if sink is True else reporter(sink)
        self._loop = asyncio.get_running_loop() if callable(sink) else None
        self._stop = stop

    def __call__(self, progress: Progress) -> None:
        """Report, and end the operation if it is to end."""
        if self._stop.is_set():
            raise asyncio.CancelledError
        if self.error is not None:
            raise self.error
        if self._report is None:
            self._report = reporter(True)
        if self._loop is None:
            self._report(progress)
        else:
            self._loop.call_soon_threadsafe(self._pass_on, self._report, progress)

    def _pass_on(self, report: Callable[[Progress], None], progress: Progress) -> None:
        if self.error is None and not self._stop.is_set():
            try:
                report(progress)
            except Exception as error:  # noqa: BLE001, raised by the operation
                self.error = error
