"""Expiry: images that are found until a moment, and removed from the stores later.

A record names the moment, `Record.expires`. From then on no reader returns the image. The
table `expiries` lists the keys of such records, so that a sweep reads no others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch._internal.validation import seconds
from onnxsearch.errors import InvalidArgumentError, StoreError

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex, StoredImage

Clock: TypeAlias = Callable[[], float]
"""A function that returns the time in seconds since 1970, such as `time.time`."""

logger = logging.getLogger("onnxsearch")

SWEEP_PAUSE = 60.0
"""Seconds between two sweeps that writes begin: listing what expires takes a second for
100,000 images."""
_SWEPT = 1024
"""Images that such a sweep removes, at most; the next one continues."""


def check_ttl(ttl: float | timedelta) -> float:
    """Return a time to live in seconds.

    Raises:
        InvalidArgumentError: It is not a finite number of seconds, or a `timedelta`, above 0.
    """
    try:
        return seconds("ttl", ttl.total_seconds() if isinstance(ttl, timedelta) else ttl)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{error}, or a timedelta") from error


def encode_moment(moment: float) -> bytes:
    """Return a time as text."""
    return repr(moment).encode("ascii")


def decode_moment(data: bytes) -> float:
    """Return the time that `encode_moment` wrote, and 0 for other bytes: the record decides."""
    try:
        return float(data)
    except ValueError:
        return 0.0


class Sweeper:
    """Removes expired images from the stores.

    Args:
        records: Lists them.
        discard: Removes images that were not replaced meanwhile, and returns their ids.
    """

    def __init__(
        self, records: RecordIndex, discard: Callable[[Collection[StoredImage]], list[str]]
    ) -> None:
        self._records = records
        self._discard = discard
        self._last: float | None = None
        self._lock = threading.Lock()

    def sweep(self) -> int:
        """Remove all expired images; return how many there were."""
        return sum(self._batches())

    def sweep_some(self) -> None:
        """Remove some expired images, unless that was done a short time ago.

        A store that fails is left to the next time: no reader returns these images.
        """
        now = self._records.clock()
        with self._lock:
            # A clock that was put back does not delay it either.
            if self._last is not None and 0 <= now - self._last < SWEEP_PAUSE:
                return
            self._last = now
        try:
            removed = 0
            for count in self._batches():
                removed += count
                if removed >= _SWEPT:
                    return
        except StoreError as error:
            logger.info("onnxsearch: expired images are removed later: %s", error)

    def _batches(self) -> Iterator[int]:
        """Remove expired images batch by batch; yield how many."""
        for images in self._records.expired():
            yield len(self._discard(images)) if images else 0
