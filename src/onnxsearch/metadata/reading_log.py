"""What a log says while the words of many values are read."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("onnxsearch")

_SAID = 10_000
"""Values whose words take seconds to read."""


class ReadingLog:
    """Says how many values have been read, if there are many."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._total = 0

    def add(self, number: int) -> None:
        """Count values that have been read."""
        before, self._total = self._total, self._total + number
        if before // _SAID < self._total // _SAID:
            logger.info("onnxsearch: read the words of %d images so far", self._total)

    def finish(self) -> None:
        """Say how long it took."""
        if self._total >= _SAID:
            seconds = time.monotonic() - self._began
            logger.info("onnxsearch: read the words of %d images in %.1f s", self._total, seconds)
