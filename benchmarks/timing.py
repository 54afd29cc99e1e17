"""Timing on machines that do other things as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Seconds(NamedTuple):
    """What a run took."""

    wall: float
    cpu: float
    """Of all threads of this process. It hardly depends on what else the machine does."""


def best_times(variants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Return the least seconds that each variant took in `rounds` rounds.

    Every round runs all variants, one after the other, so that a busy minute hits
    them alike. The minimum is the time with the least disturbance by other processes.
    """
    best = dict.fromkeys(variants, Seconds(float("inf"), float("inf")))
    for _ in range(rounds):
        for name, run in variants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            took = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = Seconds(*map(min, best[name], took))
    return best


def best_of(variants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least seconds by the clock; see `best_times`."""
    return {name: seconds.wall for name, seconds in best_times(variants, rounds).items()}


def table(title: str, rows: Mapping[str, str]) -> str:
    """Return `rows` as lines of aligned text under `title`."""
    width = max(map(len, rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows.items())])
