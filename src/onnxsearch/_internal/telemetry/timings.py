"""How often something was done since an engine was opened, and how long it took."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LATEST = 1024
"""Latencies that percentiles are taken of: enough for p95, and 8 kB for each kind of work."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Counts and latencies of one kind of work since an engine was opened."""

    count: int = 0
    """How often it was done, failures included."""
    failures: int = 0
    """How often it ended with an error."""
    items: int = 0
    """Images, queries or records in all of them."""
    seconds: float = 0.0
    """Time that all of them took together."""
    p50: float | None = None
    """Seconds that half of the latest 1,024 took, at most; None if there are none."""
    p95: float | None = None
    """Seconds that 95 % of the latest 1,024 took, at most; None if there are none."""


class Recorder:
    """Collects the timings of one engine. Several threads record at once."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._series: defaultdict[tuple[str, str], _Series] = defaultdict(_Series)
        self._lock = threading.Lock()

    def record(self, kind: str, name: str, seconds: float, items: int, *, failed: bool) -> None:
        """Add one piece of work."""
        with self._lock:
            self._series[kind, name].add(seconds, items, failed)

    def timings(self, kind: str) -> Mapping[str, Timing]:
        """Return the timings of one kind of work so far, by name."""
        with self._lock:
            copies = {key[1]: s.copy() for key, s in self._series.items() if key[0] == kind}
        return {name: series.timing() for name, series in sorted(copies.items())}


class _Series:
    __slots__ = ("count", "failures", "items", "latest", "seconds")

    def __init__(self) -> None:
        self.count = self.failures = self.items = 0
        self.seconds = 0.0
        self.latest: deque[float] = deque(maxlen=_LATEST)

    def add(self, seconds: float, items: int, failed: bool) -> None:
        self.count += 1
        self.failures += failed
        self.items += items
        self.seconds += seconds
        self.latest.append(seconds)

    def copy(self) -> _Series:
        other = _Series()
        other.count, other.failures, other.items = self.count, self.failures, self.items
        other.seconds, other.latest = self.seconds, self.latest.copy()
        return other

    def timing(self) -> Timing:
        latest = sorted(self.latest)
        return Timing(
            self.count,
            self.failures,
            self.items,
            self.seconds,
            _percentile(latest, 50),
            _percentile(latest, 95),
        )


def _percentile(ascending: Sequence[float], percent: int) -> float | None:
    """Return the nearest-rank percentile."""
    if not ascending:
        return None
    return ascending[-(-len(ascending) * percent // 100) - 1]
