"""Stores that fail when a test says so, to see what is left behind."""

# A store that stands in front of another one calls its hooks.

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from onnxsearch.errors import StoreUnavailableError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore

if TYPE_CHECKING:
    from onnxsearch.filters import Filter

Moment: TypeAlias = Literal["before", "after"]


class ProcessDied(BaseException):
    """Stands for the end of the process: no `except Exception` gets in its way."""


class Faults:
    """Decides which write to a store fails or hangs, and how.

    Writes are counted over all stores that share one object. A write can fail
    before it is done, or after: then the store has it and only its answer is lost.
    One that hangs does so until `release`, or until its time is up, as with a store
    that stops answering: then it fails. Meanwhile others can do what they like.
    Once `ProcessDied` was raised, every further access raises it, as nothing runs in
    a process that is dead; `revive` ends that, as a restart would.

    Example:
        >>> faults = Faults()
        >>> vectors = FaultyVectorStore(InMemoryVectorStore(), faults)
        >>> metadata = FaultyMetadataStore(InMemoryMetadataStore(), faults)
        >>> engine = SearchEngine(FakeEmbedder(), vectors, metadata)
        >>> faults.fail(at=1)
        >>> engine.add(picture("cat"))
        Traceback (most recent call last):
        onnxsearch.errors.StoreUnavailableError: write 1 failed, as the test asked for
    """

    def __init__(self) -> None:
        self.writes: list[str] = []
        """Names of the writes since `fail` or `revive` was called last."""
        self._at = -1
        self._moment: Moment = "before"
        self._error: BaseException | None = None
        self._dead = False
        self._timeout: float | None = None
        self.hanging = threading.Event()
        """Set as soon as a write hangs."""
        self._released = threading.Event()
        self._lock = threading.Lock()

    def fail(
        self, *, at: int, moment: Moment = "before", error: BaseException | None = None
    ) -> None:
        """Let a write fail, once.

        Args:
            at: Which one, counted from 0 on from now.
            moment: Whether the store has it all the same.
            error: What is raised, by default a `StoreUnavailableError`.
        """
        with self._lock:
            self.writes.clear()
            self._at, self._moment, self._timeout = at, moment, None
            self._error = error or StoreUnavailableError(
                f"write {at} failed, as the test asked for"
            )

    def hang(self, *, at: int, moment: Moment = "before", timeout: float = 5.0) -> None:
        """Let a write hang, once.

        Args:
            at: Which one, counted from 0 on from now.
            moment: Whether the store has it already when it begins to hang.
            timeout: Seconds after which it fails with `StoreUnavailableError`, as the
                stores that talk to a server do.
        """
        self.hanging.clear()
        self._released.clear()
        error = StoreUnavailableError(f"write {at} was not answered within {timeout} s")
        with self._lock:
            self.writes.clear()
            self._at, self._moment, self._timeout, self._error = at, moment, timeout, error

    def release(self) -> None:
        """Let a write that hangs go on."""
        self._released.set()

    def revive(self) -> None:
        """Let everything work again."""
        with self._lock:
            self.writes.clear()
            self._at, self._dead = -1, False

    def alive(self) -> None:
        """Raise `ProcessDied` if the process is dead."""
        if self._dead:
            raise ProcessDied

    def before(self, write: str) -> int:
        """Count a write that begins, or raise; return its number."""
        self.alive()
        with self._lock:
            number = len(self.writes)
            self.writes.append(write)
        self._strike(number, "before")
        return number

    def after(self, number: int) -> None:
        """Raise if write `number` is to fail once it is done."""
        self._strike(number, "after")

    def _strike(self, number: int, moment: Moment) -> None:
        if number == self._at and moment == self._moment and self._error is not None:
            if self._timeout is not None:
                self.hanging.set()
                if self._released.wait(self._timeout):
                    return
            self._dead = isinstance(self._error, ProcessDied)
            raise self._error


class FaultyVectorStore(VectorStore):
    """Passes everything on to another store, but for the writes that fail or hang."""

    def __init__(self, store: VectorStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def _describe(self, name: str) -> CollectionSpec | None:
        self._faults.alive()
        return self._store._describe(name)

    def _create(self, spec: CollectionSpec) -> None:
        number = self._faults.before("create")
        self._store._create(spec)
        self._faults.after(number)

    def _collections(self) -> list[str]:
        self._faults.alive()
        return self._store._collections()

    def _drop(self, name: str) -> None:
        number = self._faults.before("drop")
        self._store._drop(name)
        self._faults.after(number)

    def _upsert(
        self,
        spec: CollectionSpec,
        keys: Sequence[str],
        vectors: Vectors,
        metadata: Sequence[str],
    ) -> None:
        number = self._faults.before("upsert")
        self._store._upsert(spec, keys, vectors, metadata)
        self._faults.after(number)

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        self._faults.alive()
        return self._store._search(spec, queries, limit, filter)

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        self._faults.alive()
        return self._store._fetch(spec, keys)

    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        number = self._faults.before("delete")
        self._store._delete(spec, keys)
        self._faults.after(number)

    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        self._faults.alive()
        return self._store._ids(spec)

    def _count(self, spec: CollectionSpec) -> int:
        self._faults.alive()
        return self._store._count(spec)

    def close(self) -> None:
        """Leave the store behind it open: it may be needed for the next engine."""


class FaultyMetadataStore(MetadataStore):
    """Passes everything on to another store, but for the commits that fail or hang."""

    def __init__(self, store: MetadataStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        self._faults.alive()
        return self._store._get_many(table, keys)

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        number = self._faults.before("commit")
        done = self._store._commit(writes, expect)
        self._faults.after(number)
        return done

    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        self._faults.alive()
        return self._store._items(table)

    def _count(self, table: str) -> int:
        self._faults.alive()
        return self._store._count(table)

    def close(self) -> None:
        """Leave the store behind it open: it may be needed for the next engine."""
