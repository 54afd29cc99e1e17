"""Repeating a compare-and-set that another writer was faster at."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from onnxsearch.errors import StoreError

_ATTEMPTS = 1000
"""How often other writers of the same ids may be faster. A store that lets nobody
through this often is broken, and a loop without end would hide it."""
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02
"""Seconds: a commit of another process takes about as long."""


def attempts() -> Iterator[int]:
    """Yield the number of each attempt, from 0 on, with a pause before the third and later ones.

    Pauses double up to a limit and are random between half and all of their length, so
    that writers which collided do not collide again. The iterator ends after the last
    attempt; what a caller then raises is `contended()`.
    """
    pause = _FIRST_PAUSE
    for number in range(_ATTEMPTS):
        if number >= 2:
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)
        yield number


def contended() -> StoreError:
    """Return the error of a writer that used up its attempts."""
    return StoreError(
        f"gave up after {_ATTEMPTS:,} conflicts with other writers of the same ids: reduce the "
        "number of concurrent writers"
    )
