"""Faults of stores, for tests: calls that fail, hang, or end the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from onnxsearch._internal.validation import integer, seconds
from onnxsearch.errors import InvalidArgumentError, StoreUnavailableError

Moment: TypeAlias = Literal["before", "after"]

Write: TypeAlias = Literal["create", "drop", "upsert", "delete", "commit"]

Read: TypeAlias = Literal[
    "describe",
    "collections",
    "search",
    "fetch",
    "ids",
    "count",
    "get_many",
    "items",
    "variants",
    "pairs_within",
    "candidates",
    "search_parts",
    "rank_by_words",
    "stale_words",
]

Calls: TypeAlias = Literal["write", "read"] | Write | Read
"""Any write, any read, or the calls of one method."""

_WRITES: tuple[str, ...] = get_args(Write)
_READS: tuple[str, ...] = get_args(Read)


class ProcessDied(BaseException):
    """Simulates the end of the process: no `except Exception` catches it."""


@dataclass(eq=False)
class _Fault:
    on: Calls
    left: int
    """How many such calls pass before the fault strikes; below 0 it never strikes."""
    moment: Moment
    error: BaseException
    timeout: float | None = None
    released: threading.Event = field(default_factory=threading.Event)
    struck: bool = False


class Faults:
    """The fault of a store: which call fails or hangs, and how.

    Calls are counted over all stores that share one object. A call can fail before the
    store has done it, or after: then the store has the data and only the reply is lost. A
    call that hangs continues on `release`; if its time is up before that, it fails, as with
    a server that stops replying. Other calls continue meanwhile. After `ProcessDied` was
    raised, every further call raises it, because nothing runs in a dead process; only
    `revive`, which simulates a restart, ends that.

    There is one fault at a time: the next `fail` or `hang` replaces a fault that has not
    struck. A fault whose call never happens is ignored silently, so a test should assert
    `struck`.

    Example:
        >>> faults = Faults()
        >>> vectors = FaultyVectorStore(InMemoryVectorStore(), faults)
        >>> metadata = FaultyMetadataStore(InMemoryMetadataStore(), faults)
        >>> engine = SearchEngine(FakeEmbedder(), vectors, metadata)
        >>> faults.fail(at=1)
        >>> engine.add(picture("cat"))
        Traceback (most recent call last):
        onnxsearch.errors.StoreUnavailableError: write 1 failed, as the test asked for
        >>> faults.fail(on="search")
        >>> engine.search(picture("cat"))
        Traceback (most recent call last):
        onnxsearch.errors.StoreUnavailableError: search 0 failed, as the test asked for
        >>> faults.struck
        True
    """

    def __init__(self) -> None:
        self.writes: list[str] = []
        """Names of the writes since the last call of `fail`, `hang` or `revive`."""
        self.reads: list[str] = []
        """Names of the reads since then. Most methods of a `VectorStore` first call
        `describe`, which is a read."""
        self.hanging = threading.Event()
        """Event that is set when a call hangs; `hang` clears it."""
        self._fault: _Fault | None = None
        self._hung: list[_Fault] = []
        self._dead = False
        self._lock = threading.Lock()

    @property
    def struck(self) -> bool:
        """Whether the last requested fault has struck, even if `revive` was called since."""
        return self._fault is not None and self._fault.struck

    def fail(
        self,
        *,
        at: int = 0,
        on: Calls = "write",
        moment: Moment = "before",
        error: BaseException | type[BaseException] | None = None,
    ) -> None:
        """Make one call fail.

        Args:
            at: Which of the next calls that `on` names, counted from 0.
            on: `"write"` for any write, `"read"` for any read, or the method: `"upsert"`,
                `"search"`, `"commit"`, `"get_many"` and so on. Of `"pairs_within"` the call
                counts, and not how its pairs are read.
            moment: Whether the call fails before or after the store has done it. `ids` and
                `items` fail before their first row, or after their last.
            error: The exception, by default a `StoreUnavailableError`. A class is called
                without arguments.

        Raises:
            InvalidArgumentError: An argument has a wrong value, so the fault would never
                strike.
        """
        default = StoreUnavailableError(f"{on} {at} failed, as the test asked for")
        self._arm(_Fault(on, at, moment, default if error is None else _instance(error)))

    def hang(
        self,
        *,
        at: int = 0,
        on: Calls = "write",
        moment: Moment = "before",
        timeout: float = 5.0,
    ) -> None:
        """Make one call hang.

        Args:
            at: Which of the next calls that `on` names, counted from 0.
            on: Which calls, as for `fail`.
            moment: Whether the call hangs before or after the store has done it.
            timeout: Seconds after which the call raises `StoreUnavailableError`, as the
                stores with a server do. The default is long enough for a test to act
                meanwhile, and short enough for a test that went wrong.

        Raises:
            InvalidArgumentError: An argument has a wrong value.
        """
        timeout = seconds("timeout", timeout)
        error = StoreUnavailableError(f"{on} {at} was not answered within {timeout} s")
        self.hanging.clear()
        self._arm(_Fault(on, at, moment, error, timeout))

    def release(self) -> None:
        """Let the hanging calls continue. A fault that has not struck yet still hangs."""
        with self._lock:
            for fault in self._hung:
                fault.released.set()
            self._hung.clear()

    def revive(self) -> None:
        """Let all calls work again, except those that hang already."""
        with self._lock:
            self._forget_calls()
            self._dead = False
            if self._fault is not None:
                self._fault.left = -1

    @contextmanager
    def around(self, call: Write | Read) -> Iterator[None]:
        """Surround a call of the wrapped store: count it, and make it fail or hang."""
        fault = self._begin(call)
        if fault is not None and fault.moment == "before":
            self._strike(fault)
        yield
        if fault is not None and fault.moment == "after":
            self._strike(fault)

    def _arm(self, fault: _Fault) -> None:
        fault.left = integer("at", fault.left, least=0)
        _check("on", fault.on, ("write", "read", *_WRITES, *_READS))
        _check("moment", fault.moment, get_args(Moment))
        with self._lock:
            self._fault = fault
            self._forget_calls()

    def _begin(self, call: str) -> _Fault | None:
        """Count a call; return the fault if this call is the one to strike."""
        kind, calls = ("write", self.writes) if call in _WRITES else ("read", self.reads)
        with self._lock:
            self._check_alive()
            calls.append(call)
            fault = self._fault
            if fault is None or fault.on not in (kind, call):
                return None
            fault.left -= 1
            return fault if fault.left == -1 else None

    def _strike(self, fault: _Fault) -> None:
        fault.struck = True
        if fault.timeout is not None:
            with self._lock:
                self._hung.append(fault)
            self.hanging.set()
            if fault.released.wait(fault.timeout):
                self._check_alive()
                return
        if isinstance(fault.error, ProcessDied):
            self._dead = True
        raise fault.error

    def _check_alive(self) -> None:
        if self._dead:
            raise ProcessDied

    def _forget_calls(self) -> None:
        self.writes.clear()
        self.reads.clear()


def _check(name: str, given: str, expected: Sequence[str]) -> None:
    if given not in expected:
        raise InvalidArgumentError(f"{name} {given!r:.80}: expected one of {', '.join(expected)}")


def _instance(error: BaseException | type[BaseException]) -> BaseException:
    try:
        made = error() if isinstance(error, type) else error
    except TypeError as cause:
        raise InvalidArgumentError(
            f"error {error!r}: give an instance, it needs arguments"
        ) from cause
    if not isinstance(made, BaseException):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"error {error!r:.80}: expected an exception, or its class")
    return made
