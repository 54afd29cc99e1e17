"""Threads that work in bounded memory and return results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

AHEAD = 3
"""Items under way per worker: one at work, one waiting, one done and not yet taken."""


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int
) -> Iterator[_Result]:
    """Yield `function(item)` for every item, in order, computed by `workers` threads.

    Items are taken only a few ahead of the results, so that a long iterator never
    fills the memory. The threads see the context variables of the caller. An exception
    of the function or of the iterator ends the map: running calls are waited for, and
    calls that have not begun are dropped.

    Example:
        >>> list(ordered_map(len, ["a", "bc"], workers=2))
        [1, 2]
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="onnxsearch") as pool:
        running: deque[Future[_Result]] = deque()
        try:
            for item in items:
                running.append(pool.submit(copy_context().run, function, item))
                if len(running) >= AHEAD * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield lists of `size` consecutive items, the last one shorter if need be.

    `itertools.batched` does the same from Python 3.12 on.

    Example:
        >>> list(batched("abc", 2))
        [['a', 'b'], ['c']]
    """
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
