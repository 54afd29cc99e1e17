"""Blocking iterators, iterated asynchronously."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Generic, TypeVar

from onnxsearch._internal.async_pool import AsyncPool
from onnxsearch._internal.closeable import Closeable
from onnxsearch.errors import ClosedError

T = TypeVar("T")


class BlockingIterator(Closeable, Generic[T]):
    """An iterator that one thread at a time advances, until it is closed.

    Args:
        begin: Makes the iterable when the first item is taken.
        most: Items that are taken at once.
    """

    def __init__(self, begin: Callable[[], Iterable[T]], most: int) -> None:
        self._items = _begun(begin)
        self._most = most
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def take(self) -> list[T]:
        """Return the next items; none at the end.

        Raises:
            ClosedError: The iterator was closed before: a closed generator would seem to have
                come to its end.
        """
        try:
            with self._lock:
                if self._closed.is_set():
                    raise ClosedError("this engine was closed meanwhile: open a new one")
                return list(islice(self._items, self._most))
        finally:
            if self._closed.is_set():
                self.close()

    def close(self) -> None:
        """Close the iterator; if another thread advances it, that thread will."""
        self._closed.set()
        if self._lock.acquire(blocking=False):
            try:
                self._items.close()
            finally:
                self._lock.release()


def _begun(begin: Callable[[], Iterable[T]]) -> Generator[T, None, None]:
    iterator: Iterator[T] = iter(begin())
    # What the iterator holds, such as a generator of the caller, ends with it.
    del begin
    yield from iterator


async def stream(
    pool: AsyncPool, items: BlockingIterator[T], stop: threading.Event
) -> AsyncGenerator[T, None]:
    """Yield the items of a blocking iterator, which advances only when they are asked for.

    Between two items no slot is taken. However the iteration ends, the iterator is closed: at
    once if it waits to be asked, else by the thread that advances it, once it has its item.

    Args:
        pool: Advances the iterator.
        items: The iterator.
        stop: Is set when the iteration ends early.
    """
    pool.open.add(items)
    try:
        while taken := await pool.run(items.take):
            for item in taken:
                yield item
    except BaseException as reason:
        stop.set()
        with suppress(RuntimeError):  # the pool has ended, and closed it
            closing = pool.begin(items.close)
            if isinstance(reason, GeneratorExit):
                # Whoever leaves the iteration finds it closed; a cancelled task does not wait.
                await asyncio.shield(asyncio.wrap_future(closing))
        raise
