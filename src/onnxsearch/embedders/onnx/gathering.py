"""Batches of several threads, run together on a device."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from onnxsearch.embedders.base import Tensor
from onnxsearch.errors import EmbeddingError

Run: TypeAlias = Callable[[Tensor, Sequence[str]], Sequence[Tensor]]
"""Runs a model on a batch, and returns the values of the outputs that are named."""

MOST_TOGETHER = 64
"""Images in one run, at most, however many wait. A batch of 64 photographs for a model of 224 x
224 pixels is 39 MB; the device also holds what its largest layer makes of them."""


class GatheredRuns:
    """Runs the batches that threads bring, as many together as wait.

    A GPU is fastest with large batches, and threads that decode bring small ones. While one
    batch runs, others gather, and the next run takes all of them. So nobody waits for a batch to
    fill up: batches are as large as the device is behind.

    Args:
        run: Runs the model on a batch (n, ...), and returns the values of the outputs that are
            named, each (n, ...).
        devices: Runs at once, at most.
    """

    def __init__(self, run: Run, devices: int = 1) -> None:
        self._run = run
        self._count = devices
        self._devices = threading.Semaphore(devices)
        self._waiting: deque[_Request] = deque()
        self._lock = threading.Lock()

    def __call__(self, batch: Tensor, outputs: Sequence[str]) -> Sequence[Tensor]:
        """Return the values of each output for `batch`, with which others may have been run.

        Raises:
            EmbeddingError: The run of this batch failed.
        """
        request = _Request(batch, tuple(outputs))
        with self._lock:
            self._waiting.append(request)
        with self._devices:
            while gathered := self._take(request):
                self._run_together(gathered)
        request.finished.wait()
        if request.values is None:
            # Alone, so that a batch that fails does not take others with it.
            return self._run(batch, outputs)
        return request.values

    def __reduce__(self) -> tuple[type[GatheredRuns], tuple[Run, int]]:
        return GatheredRuns, (self._run, self._count)

    def _take(self, request: _Request) -> list[_Request]:
        """Return what the next run is to hold; nothing if another thread runs `request`."""
        with self._lock:
            if request not in self._waiting:
                return []
            taken = [self._waiting.popleft()]
            images = len(taken[0].batch)
            while self._waiting and self._waiting[0].fits(taken[0]):
                images += len(self._waiting[0].batch)
                if images > MOST_TOGETHER:
                    break
                taken.append(self._waiting.popleft())
            return taken

    def _run_together(self, requests: Sequence[_Request]) -> None:
        try:
            together = np.concatenate([request.batch for request in requests])
            ends = np.cumsum([len(request.batch) for request in requests])[:-1]
            found = [np.split(values, ends) for values in self._run(together, requests[0].outputs)]
            for request, *own in zip(requests, *found, strict=True):
                request.values = own
        except EmbeddingError:
            pass  # each thread runs its own batch, and meets its own error
        finally:
            for request in requests:
                request.finished.set()


class _Request:
    """A batch that waits for its values."""

    def __init__(self, batch: Tensor, outputs: tuple[str, ...]) -> None:
        self.batch = batch
        self.outputs = outputs
        self.values: list[Tensor] | None = None
        """None until the batch is run, and if that failed."""
        self.finished = threading.Event()

    def fits(self, other: _Request) -> bool:
        """Return whether both can be run together."""
        same_type = self.batch.dtype == other.batch.dtype and self.outputs == other.outputs
        return same_type and self.batch.shape[1:] == other.batch.shape[1:]
