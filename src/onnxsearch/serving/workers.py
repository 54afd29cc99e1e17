"""Threads for what no method of the engine does, and the time limit of all work."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from onnxsearch.serving.answers import busy
from onnxsearch.serving.limits import ServiceLimits

T = TypeVar("T")


class Workers:
    """Two bounded pools of threads, so that the event loop never waits.

    What reads the whole index has one thread of its own, so that it never keeps searches
    waiting. A request that is given up frees its place in the queue at once; a call that
    runs already ends in its own time, and keeps its thread so long.

    Args:
        limits: The number of threads, and the seconds after which an answer is given up.
    """

    def __init__(self, limits: ServiceLimits) -> None:
        self._seconds = limits.answer_seconds
        self._calls = ThreadPoolExecutor(limits.working_threads, "onnxsearch-serve")
        self._scans = ThreadPoolExecutor(1, "onnxsearch-serve-scan")

    async def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns that works on a few images.

        Raises:
            Problem: It did not return in time.
        """
        return await self._result(self._calls, function)

    async def scan(self, function: Callable[[], T]) -> T:
        """Return what a function returns that may read the whole index.

        Raises:
            Problem: It did not return in time.
        """
        return await self._result(self._scans, function)

    async def in_time(self, answer: Awaitable[T]) -> T:
        """Return what is awaited, such as an operation of the engine.

        Raises:
            Problem: It is not there in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            raise busy(
                f"no answer within {self._seconds:g} s: ask for less, or try again later"
            ) from None

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        for pool in (self._calls, self._scans):
            pool.shutdown(wait=True, cancel_futures=True)

    async def _result(self, pool: Executor, function: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await self.in_time(loop.run_in_executor(pool, context.run, function))
