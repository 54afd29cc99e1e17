"""Several devices that run one model: which of them runs the next batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class DeviceTurns:
    """Gives every batch to the device with the fewest batches on it.

    Of several, the one that has had the fewest so far: batches of a single thread reach all
    devices, too.

    Args:
        count: The number of devices.
    """

    def __init__(self, count: int) -> None:
        self._running = [0] * count
        self._given = [0] * count
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Yield the number of the device to run one batch on, from 0."""
        with self._lock:
            loads = list(zip(self._running, self._given, strict=True))
            device = loads.index(min(loads))
            self._running[device] += 1
            self._given[device] += 1
        try:
            yield device
        finally:
            with self._lock:
                self._running[device] -= 1
