"""Blocking calls on threads, awaited from an event loop: bounded, and free again once cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import Any, TypeVar
from weakref import WeakSet

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.lifetime import Lifetime, close_all

T = TypeVar("T")


class AsyncPool:
    """Slots for blocking calls, each on a thread of its own.

    A call that is cancelled before it began never begins. One that runs cannot be stopped from
    outside: its thread runs on, and its slot is free at once for the next call. For such calls
    there are as many threads again as slots; while all of those are taken, calls wait.

    A pool belongs to the event loop in which calls first wait for each other.

    Args:
        slots: Calls at once.
        lifetime: Of the object whose calls these are.
    """

    def __init__(self, slots: int, lifetime: Lifetime) -> None:
        self.open: WeakSet[Closeable] = WeakSet()
        """What is closed before the threads end."""
        self.waiting = 0
        """Calls that wait for a slot."""
        self.running = 0
        """Calls that run in a slot."""
        self._abandoned: set[Future[Any]] = set()
        self._lifetime = lifetime
        self._slots = asyncio.Semaphore(slots)
        self._threads = ThreadPoolExecutor(2 * slots, thread_name_prefix="onnxsearch-async")

    @property
    def abandoned(self) -> int:
        """Calls that run on after their callers were cancelled."""
        return len(self._abandoned)

    async def run(
        self, function: Callable[[], T], *, abandoned: Callable[[T], None] | None = None
    ) -> T:
        """Call `function` on a thread when there is a slot, and return what it returns.

        Args:
            function: The call.
            abandoned: See `call`.

        Raises:
            ClosedError: The owner was closed, or belongs to another process.
        """
        async with self.slot():
            return await self.call(function, abandoned=abandoned)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, and hold it.

        Raises:
            ClosedError: The owner was closed, or belongs to another process.
        """
        self._lifetime.check()
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            self._lifetime.check()
            yield
        finally:
            self.running -= 1
            self._slots.release()

    async def call(
        self, function: Callable[[], T], *, abandoned: Callable[[T], None] | None = None
    ) -> T:
        """Call `function` on a thread, in a slot that is held, and return what it returns.

        The thread sees the context variables of the caller.

        Args:
            function: The call.
            abandoned: Is called, on a thread too, with what the call returns after its caller
                was cancelled.
        """
        running = self._threads.submit(copy_context().run, function)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not running.cancelled():
                self._abandoned.add(running)
                running.add_done_callback(self._abandoned.discard)
            if abandoned is not None:
                self._threads.submit(_pass_on, running, abandoned)
            raise

    def begin(self, function: Callable[[], None]) -> Future[None]:
        """Call `function` on a thread at once, without a slot."""
        return self._threads.submit(function)

    def end(self) -> None:
        """Close what is open, wait for all calls, and end the threads. This blocks."""
        close_all(list(self.open))
        self._threads.shutdown()


def _pass_on(running: Future[T], abandoned: Callable[[T], None]) -> None:
    """Wait for a call, and pass on what it returns, if anything."""
    with suppress(BaseException):
        abandoned(running.result())
