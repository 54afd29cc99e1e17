"""The search engine for asyncio: the operations of `SearchEngine`, awaited."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from dataclasses import dataclass, fields
from functools import partial, wraps
from inspect import signature
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    cast,
)

from onnxsearch._internal.async_batcher import AsyncBatcher
from onnxsearch._internal.async_pool import AsyncPool
from onnxsearch._internal.async_progress import AsyncProgress
from onnxsearch._internal.async_stream import BlockingIterator, stream
from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.lifetime import Lifetime
from onnxsearch._internal.validation import boolean, instance, integer
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.index_stats import Stats
from onnxsearch.engine import DEFAULT_NAMESPACE, SearchEngine
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.results import SearchResults

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_Batcher: TypeAlias = "AsyncBatcher[Mapping[str, Any], SearchResults]"

_MOST_SEARCHES = 64
"""Searches that are answered together, at most: with more, a search would wait longer for the
others than it gains."""

_LEAST_SLOTS = 4
"""Operations at once by default, at least: they wait for stores as well as for cores."""


def _awaited(
    method: Callable[Concatenate[SearchEngine, P], R],
) -> Callable[Concatenate[AsyncSearchEngine, P], Coroutine[Any, Any, R]]:
    """Return a method that awaits a method of `SearchEngine`, with its parameters."""

    async def call(self: AsyncSearchEngine, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._pool.run(partial(method, self.engine, *args, **kwargs))

    return wraps(method)(call)


def _batched(
    method: Callable[Concatenate[SearchEngine, P], SearchResults],
) -> Callable[Concatenate[AsyncSearchEngine, P], Coroutine[Any, Any, SearchResults]]:
    """Return a method that awaits `SearchEngine.search`, together with other calls."""
    bind = signature(method).bind

    async def call(self: AsyncSearchEngine, /, *args: P.args, **kwargs: P.kwargs) -> SearchResults:
        if self._batcher is None:
            return await self._pool.run(partial(method, self.engine, *args, **kwargs))
        _, *given = bind(self.engine, *args, **kwargs).arguments.items()
        return await self._batcher.ask(dict(given))

    return wraps(method)(call)


def _reported(
    method: Callable[Concatenate[SearchEngine, P], R],
) -> Callable[Concatenate[AsyncSearchEngine, P], Coroutine[Any, Any, R]]:
    """Return a method that awaits a method with `progress=`, and ends it once cancelled."""
    operation = cast("Callable[..., R]", method)

    async def call(self: AsyncSearchEngine, /, *args: P.args, **kwargs: P.kwargs) -> R:
        stop = threading.Event()
        progress = AsyncProgress(cast("ProgressSink", kwargs.get("progress", False)), stop)
        given: dict[str, Any] = {**kwargs, "progress": progress}
        try:
            result = await self._pool.run(partial(operation, self.engine, *args, **given))
        finally:
            stop.set()
        if progress.error is not None:
            raise progress.error
        return result

    return wraps(method)(call)


def _iterated(
    method: Callable[Concatenate[SearchEngine, P], Iterable[T]], *, most: int = 1
) -> Callable[Concatenate[AsyncSearchEngine, P], AsyncGenerator[T, None]]:
    """Return a method that iterates what a method of `SearchEngine` returns.

    Args:
        method: The method of the engine.
        most: Items that are taken at once.
    """
    operation = cast("Callable[..., Iterable[T]]", method)
    parameters = signature(method).parameters

    def call(
        self: AsyncSearchEngine, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[T, None]:
        stop = threading.Event()
        given: dict[str, Any] = {name: _until(stop, value) for name, value in kwargs.items()}
        if "progress" in given:
            given["progress"] = AsyncProgress(given["progress"], stop)
        if "stop_event" in parameters:
            given["stop_event"] = _either(stop, given.get("stop_event"))
        begin = partial(operation, self.engine, *(_until(stop, each) for each in args), **given)
        return stream(self._pool, BlockingIterator(begin, most), stop)

    return wraps(method)(call)


def _until(stop: threading.Event, value: object) -> object:
    """Return `value`; in place of a generator, or of a source, one that ends with `stop`."""
    if isinstance(value, Iterable) and not isinstance(value, Sized) and not hasattr(value, "read"):
        return _stoppable(stop, cast("Iterable[object]", value))
    return value


def _stoppable(stop: threading.Event, items: Iterable[object]) -> Iterator[object]:
    for item in items:
        if stop.is_set():
            return
        yield item


class _EitherEvent(threading.Event):
    """An event that is set when one of two others is."""

    def __init__(self, one: threading.Event, other: threading.Event) -> None:
        super().__init__()
        self._others = one, other

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._others)


def _either(stop: threading.Event, other: threading.Event | None) -> threading.Event:
    if other is None:
        return stop
    return _EitherEvent(stop, instance("stop_event", other, threading.Event, "a threading.Event"))


@dataclass(frozen=True, slots=True)
class AsyncStats(Stats):
    """What `AsyncSearchEngine.stats` returns."""

    running: int = 0
    """Operations that run now, at most `concurrency`."""
    waiting: int = 0
    """Operations that wait for a slot now; a batch of searches counts as one."""
    abandoned: int = 0
    """Operations that were cancelled and run on, on threads of their own."""
    waiting_searches: int = 0
    """Searches that are not part of a batch yet; none without `batching`."""
    batches: int = 0
    """Batches of searches so far; a search that was alone is one, too."""
    batched: int = 0
    """Searches in them."""


class AsyncSearchEngine:
    """The operations of `SearchEngine` for asyncio: the event loop never waits for them.

    Each method has the parameters and results of the method of `SearchEngine` with the same name,
    which describes them, and is awaited. Those that return iterators (`index_iter`, `records`,
    `search_many`, `watch`) are iterated with `async for`. The work is done on threads.

    At most `concurrency` operations run at once; others wait for a slot, in order.

    **Cancellation.** Cancel the task, or use `asyncio.timeout`, which raises `TimeoutError`. The
    awaiting task continues at once, and the slot is free for the next operation. An operation
    that had not begun never begins. One that runs cannot be interrupted in the middle: one with
    `progress=` (such as `index`) ends after the image at work, and what was stored before stays;
    any other runs to its end on its thread, and its result is dropped. A write that was cancelled
    is therefore done or not done, never half.

    **Progress.** A function given as `progress` is called in the event loop, and may use what
    belongs to the loop. An error that it raises ends the operation.

    **Iteration.** An iterator advances only when its next item is asked for. `break` closes it.

    An engine belongs to one event loop, of asyncio or uvloop; under Trio it does not work. Threads
    may use the blocking engine at the same time.

    Args:
        engine: The engine. It belongs to the caller: `close` leaves it open.
        concurrency: Operations at once, and threads: as many again serve operations that were
            cancelled and run on. By default one per core that this process may use, and at
            least 4.
        batching: Search for queries together that arrive together.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value.

    Example:
        >>> async with AsyncSearchEngine.open("album") as engine:
        ...     await engine.index("~/Pictures")
        ...     async with asyncio.timeout(2):
        ...         results = await engine.search("query.jpg", limit=5)
        ...     async for outcome in engine.index_iter("~/More pictures"):
        ...         print(outcome.id, outcome.status)
    """

    def __init__(
        self, engine: SearchEngine, *, concurrency: int | None = None, batching: bool = True
    ) -> None:
        self._engine = instance("engine", engine, SearchEngine, "a SearchEngine")
        slots = _slots(concurrency)
        self._lifetime = Lifetime("this engine")
        self._pool = AsyncPool(slots, self._lifetime)
        self._batcher: _Batcher | None = None
        if boolean("batching", batching):
            self._batcher = AsyncBatcher(
                self._pool,
                engine._search_together,
                most=_MOST_SEARCHES,
                # A batch uses all cores. More at once make the loop wait for Python's lock.
                groups=max(1, slots // 4),
            )
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        embedders: Embedder | Sequence[Embedder] | None = None,
        records: str | os.PathLike[str] | None = None,
        model_path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        workers: int | None = None,
        batch_size: int = 4,
        reading: ReadPolicy = READ_STRICTLY,
        metadata: str | os.PathLike[str] | None = None,
        concurrency: int | None = None,
        batching: bool = True,
    ) -> Opening[Self]:
        """Open the engine at `location`, as `SearchEngine.open` does, without blocking the loop.

        Args:
            location: See `SearchEngine.open`; so are the other arguments that it has.
            embedders: See `SearchEngine.open`.
            records: See `SearchEngine.open`.
            model_path: See `SearchEngine.open`.
            namespace: See `SearchEngine.open`.
            workers: See `SearchEngine.open`.
            batch_size: See `SearchEngine.open`.
            reading: See `SearchEngine.open`.
            metadata: See `SearchEngine.open`.
            concurrency: See `AsyncSearchEngine`.
            batching: See `AsyncSearchEngine`.

        Returns:
            What opens the engine when it is awaited, or entered with `async with`, which also
            closes the engine, its models and its stores at the end.

        Raises:
            OnnxSearchError: As `SearchEngine.open`, when it is awaited.

        Example:
            >>> engine = await AsyncSearchEngine.open("album")
            >>> await engine.close()
        """
        _slots(concurrency)
        boolean("batching", batching)
        begin = partial(
            SearchEngine.open,
            location,
            embedders=embedders,
            records=records,
            model_path=model_path,
            namespace=namespace,
            workers=workers,
            batch_size=batch_size,
            reading=reading,
            metadata=metadata,
        )
        return Opening(begin, partial(cls._owner, concurrency=concurrency, batching=batching))

    @classmethod
    def _owner(cls, engine: SearchEngine, *, concurrency: int | None, batching: bool) -> Self:
        """Return an engine that closes `engine` with itself."""
        made = cls(engine, concurrency=concurrency, batching=batching)
        made._lifetime.own([engine])
        return made

    @property
    def engine(self) -> SearchEngine:
        """The engine that does the work. Its methods block."""
        return self._engine

    @property
    def models(self) -> list[str]:
        """Names of the models, the default one first."""
        return self._engine.models

    async def close(self) -> None:
        """Wait for the operations that run, and close what `open` created.

        Operations that wait for a slot raise `ClosedError`. A second call waits for the first.
        """
        self._lifetime.is_over = True
        if self._closing is None:
            self._closing = asyncio.ensure_future(asyncio.to_thread(self._end))
        await asyncio.shield(self._closing)

    def _end(self) -> None:
        self._pool.end()
        self._lifetime.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._lifetime.is_over else ""
        return f"<AsyncSearchEngine {', '.join(self.models)}{closed}>"

    async def stats(self) -> AsyncStats:
        """Return what `SearchEngine.stats` returns, and how busy the slots are."""
        found = await self._pool.run(self._engine.stats)
        own = {each.name: getattr(found, each.name) for each in fields(found)}
        pool, batcher = self._pool, self._batcher
        return AsyncStats(
            **own,
            running=pool.running,
            waiting=pool.waiting,
            abandoned=pool.abandoned,
            waiting_searches=batcher.waiting if batcher else 0,
            batches=batcher.batches if batcher else 0,
            batched=batcher.batched if batcher else 0,
        )

    add = _awaited(SearchEngine.add)
    add_many = _reported(SearchEngine.add_many)
    augment = _reported(SearchEngine.augment)
    backfill = _reported(SearchEngine.backfill)
    compare = _awaited(SearchEngine.compare)
    copies = _awaited(SearchEngine.copies)
    copy_from = _reported(SearchEngine.copy_from)
    copy_to = _reported(SearchEngine.copy_to)
    count = _awaited(SearchEngine.count)
    drop_model = _awaited(SearchEngine.drop_model)
    duplicate_threshold = _awaited(SearchEngine.duplicate_threshold)
    duplicates = _reported(SearchEngine.duplicates)
    evaluate = _awaited(SearchEngine.evaluate)
    advise = _awaited(SearchEngine.advise)
    classify = _awaited(SearchEngine.classify)
    classify_by_examples = _awaited(SearchEngine.classify_by_examples)
    export = _reported(SearchEngine.export)
    get = _awaited(SearchEngine.get)
    import_from = _reported(SearchEngine.import_from)
    index = _reported(SearchEngine.index)
    index_iter = _iterated(SearchEngine.index_iter)
    info = _awaited(SearchEngine.info)
    load_snapshot = _reported(SearchEngine.load_snapshot)
    map = _reported(SearchEngine.map)
    migrate = _reported(SearchEngine.migrate)
    recall = _awaited(SearchEngine.recall)
    records = _iterated(SearchEngine.records, most=BATCH)
    remove = _awaited(SearchEngine.remove)
    save_snapshot = _reported(SearchEngine.save_snapshot)
    search = _batched(SearchEngine.search)
    search_many = _iterated(SearchEngine.search_many)
    sweep = _awaited(SearchEngine.sweep)
    tune = _awaited(SearchEngine.tune)
    update = _awaited(SearchEngine.update)
    vectors = _awaited(SearchEngine.vectors)
    verify = _awaited(SearchEngine.verify)
    watch = _iterated(SearchEngine.watch)


_Opened = TypeVar("_Opened", bound=AsyncSearchEngine)


class Opening(Generic[_Opened]):
    """An engine that is about to be opened: `await` it, or enter it with `async with`.

    If the task is cancelled meanwhile, the engine is closed as soon as it is open.
    """

    def __init__(
        self, begin: Callable[[], SearchEngine], make: Callable[[SearchEngine], _Opened]
    ) -> None:
        self._begin = begin
        self._make = make
        self._opened: _Opened | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            raise AttributeError(
                f"the engine is not open yet, so it has no {name!r}: write `async with "
                "AsyncSearchEngine.open(...) as engine:`, or `await` what open() returns"
            )

    def __await__(self) -> Generator[Any, None, _Opened]:
        return self._open().__await__()

    async def __aenter__(self) -> _Opened:
        self._opened = await self
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def _open(self) -> _Opened:
        pool = AsyncPool(1, Lifetime("this engine"))
        return self._make(await pool.run(self._begin, abandoned=SearchEngine.close))


def _slots(concurrency: int | None) -> int:
    if concurrency is None:
        return max(_LEAST_SLOTS, available_cores())
    return integer("concurrency", concurrency, least=1)
