"""Timing on machines that do other things as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def best_of(variants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least seconds that each variant took in `rounds` rounds.

    Every round runs all variants, one after the other, so that a busy minute hits
    them alike. The minimum is the time with the least disturbance by other processes.
    """
    seconds = dict.fromkeys(variants, float("inf"))
    for _ in range(rounds):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def table(title: str, rows: Mapping[str, str]) -> str:
    """Return `rows` as lines of aligned text under `title`."""
    width = max(map(len, rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows.items())])
