"""Observation of operations and their steps: timings, spans, metrics and lines of the log.

An operation is a call of an engine's method; its steps are decoding, embedding, and the calls of
the stores. A step belongs to the engine whose operation it is part of, on whatever thread. What is
observed are names, counts and durations: no path, id, text or metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import Context, ContextVar, copy_context
from functools import partial, wraps
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from onnxsearch._internal.lifetime import Lifetime
from onnxsearch._internal.telemetry.otel import Attributes, open_telemetry
from onnxsearch._internal.telemetry.timings import Recorder

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_NOTHING: Attributes = MappingProxyType({})

_SLOW = 1.0
"""Seconds from which on an operation is logged as information, and not for debugging only."""

_recorder: ContextVar[Recorder | None] = ContextVar("onnxsearch_recorder", default=None)

# A library leaves it to the application where its log goes.
logging.getLogger("onnxsearch").addHandler(logging.NullHandler())


class ObservedStep:
    """A kind of work that is observed.

    Args:
        name: Such as `"embed"`.
        logger: Such as `"onnxsearch.embedders"`.
        kind: `"operation"` or `"step"`.

    Example:
        >>> _EMBED = ObservedStep("embed", "onnxsearch.embedders")
        >>> with _EMBED(4, {"onnxsearch.model": "vgg16"}):
        ...     vectors = run(batch)
    """

    def __init__(self, name: str, logger: str, kind: str = "step") -> None:
        self.name = name
        self.kind = kind
        self.logger = logging.getLogger(logger)

    def __call__(self, items: int = 1, attributes: Attributes = _NOTHING) -> Observation:
        """Observe the body of a `with` statement.

        Args:
            items: Images, queries or records.
            attributes: What spans, metrics and the log also show, such as the model.
        """
        return Observation(self, items, attributes)


class Observation:
    """One piece of work, from its beginning to its end."""

    __slots__ = ("_attributes", "_begun", "_span", "_step", "items")

    def __init__(self, step: ObservedStep, items: int, attributes: Attributes) -> None:
        self.items = items
        self._step = step
        self._attributes = attributes

    def __enter__(self) -> None:
        telemetry = open_telemetry()
        # A step outside of operations, such as the use of a store by itself, is not observed.
        if telemetry is None or _recorder.get() is None:
            self._span = None
        else:
            self._span = telemetry.begin(self._step.name, self._attributes)
        self._begun = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(perf_counter() - self._begun, kind)

    def end(self, seconds: float, *errors: type[BaseException] | None) -> None:
        """Note how long the work took, and how it ended.

        Args:
            seconds: The duration.
            errors: How it ended; of work that answers several calls, how each of them ended.
        """
        # What is cancelled, or not iterated to its end, has not failed.
        failures = [
            error.__name__ if error is not None and issubclass(error, Exception) else None
            for error in errors
        ]
        for failure in failures:
            self._note(seconds, failure)
        if (telemetry := open_telemetry()) is not None:
            telemetry.end(self._span, failures[0] if len(failures) == 1 else None)

    def _note(self, seconds: float, failure: str | None) -> None:
        step, telemetry, recorder = self._step, open_telemetry(), _recorder.get()
        if recorder is None:
            return
        recorder.record(step.kind, step.name, seconds, self.items, failed=failure is not None)
        level = _level(step, seconds, failure)
        logs = step.logger.isEnabledFor(level)
        if not logs and telemetry is None:
            return
        attributes = {f"onnxsearch.{step.kind}": step.name, **self._attributes}
        if failure is not None:
            attributes["error.type"] = failure
        if telemetry is not None:
            telemetry.measure(step.kind, seconds, self.items, attributes)
        if logs:
            figures = {"onnxsearch.items": self.items, "onnxsearch.duration": seconds}
            ending = "took" if failure is None else f"failed ({failure}) after"
            fields = {**attributes, **figures}
            step.logger.log(level, "%s %s %.4f s", step.name, ending, seconds, extra=fields)


def _level(step: ObservedStep, seconds: float, failure: str | None) -> int:
    shown = step.kind == "operation" and (failure is not None or seconds >= _SLOW)
    return logging.INFO if shown else logging.DEBUG


class _Owner(Protocol):
    """What operations belong to."""

    @property
    def _lifetime(self) -> Lifetime: ...
    @property
    def _recorder(self) -> Recorder: ...


_Self = TypeVar("_Self", bound=_Owner)


def operation(method: Callable[Concatenate[_Self, P], R]) -> Callable[Concatenate[_Self, P], R]:
    """Make a method an operation of its object: it runs while that is open, and is observed.

    Raises:
        ClosedError: When it is called: the object was closed, or belongs to another process.
    """
    step = ObservedStep(method.__name__, "onnxsearch.engine", "operation")

    @wraps(method)
    def call(self: _Self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._lifetime.check()
        token = _recorder.set(self._recorder)
        try:
            with step():
                return method(self, *args, **kwargs)
        finally:
            _recorder.reset(token)

    return call


def iterated_operation(
    method: Callable[Concatenate[_Self, P], Iterator[T]],
) -> Callable[Concatenate[_Self, P], Generator[T, None, None]]:
    """Make a method that returns an iterator an operation, which lasts as long as its iteration.

    Only the time in which items are produced counts, not what the caller does meanwhile.

    Raises:
        ClosedError: When it is called: the object was closed, or belongs to another process.
    """
    step = ObservedStep(method.__name__, "onnxsearch.engine", "operation")

    @wraps(method)
    def call(self: _Self, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        self._lifetime.check()
        # A context of its own, so that the caller's code between two items is not part of it.
        context = copy_context()
        context.run(_recorder.set, self._recorder)
        items = context.run(partial(method, self, *args, **kwargs))
        return _iterate(step(0), context, items)

    return call


def joint_operation(
    of: str,
) -> Callable[
    [Callable[[_Self, Sequence[T]], Sequence[R]]], Callable[[_Self, Sequence[T]], Sequence[R]]
]:
    """Make a method that answers several calls of an operation count as each of these calls.

    There is one span for all of them. A call has failed if its answer is an error.

    Args:
        of: Name of the operation.
    """
    step = ObservedStep(of, "onnxsearch.engine", "operation")

    def decorate(
        method: Callable[[_Self, Sequence[T]], Sequence[R]],
    ) -> Callable[[_Self, Sequence[T]], Sequence[R]]:
        @wraps(method)
        def call(self: _Self, calls: Sequence[T], /) -> Sequence[R]:
            self._lifetime.check()
            context = copy_context()
            context.run(_recorder.set, self._recorder)
            observation, begun = step(), perf_counter()
            context.run(observation.__enter__)
            ends: list[type[BaseException] | None] = []
            try:
                answers = context.run(method, self, calls)
                ends += (type(a) if isinstance(a, Exception) else None for a in answers)
                return answers
            finally:
                context.run(observation.end, perf_counter() - begun, *ends)

        return call

    return decorate


def _iterate(
    observation: Observation, context: Context, items: Iterator[T]
) -> Generator[T, None, None]:
    seconds, error = 0.0, None
    context.run(observation.__enter__)
    try:
        while True:
            begun = perf_counter()
            try:
                item = context.run(next, items)
            except StopIteration:
                return
            finally:
                seconds += perf_counter() - begun
            observation.items += 1
            yield item
    except BaseException as reason:
        error = type(reason)
        raise
    finally:
        if isinstance(items, Generator):
            context.run(items.close)
        context.run(observation.end, seconds, error)
