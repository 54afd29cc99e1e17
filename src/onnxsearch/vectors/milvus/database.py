"""The collections of a Milvus database that a store knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

from pymilvus import MilvusClient

from onnxsearch.errors import CollectionNotFoundError, StoreError, StoreUnavailableError
from onnxsearch.vectors.collection import CollectionSpec
from onnxsearch.vectors.milvus.collection import (
    LONG_SECONDS,
    create_collection,
    is_ours,
    is_partial,
    make_ready,
    read_spec,
    write_owner,
    write_partial,
)
from onnxsearch.vectors.milvus.connection import MilvusConnection
from onnxsearch.vectors.milvus.errors import is_not_loaded
from onnxsearch.vectors.milvus.index import MilvusIndex

_T = TypeVar("_T")

FLUSH_ROWS = 1_000
"""Rows after which Lite flushes: it takes about 0.1 ms to search a row that is not flushed."""


class MilvusDatabase:
    """The collections of one database, each looked up once.

    All stores on one Milvus Lite file share what they know. On a server, a store notices
    the changes of other clients at the next `look_again`, or when a call fails because
    there is no such collection.
    """

    def __init__(
        self,
        connection: MilvusConnection,
        name: str,
        index: MilvusIndex,
        *,
        consistency: str,
        timeout: float,
    ) -> None:
        self.name = name
        self._connection, self._lite = connection, connection.lite
        self._index = index
        self._consistency, self._timeout = consistency, timeout
        self._specs: dict[str, CollectionSpec] = {}
        self._opening = threading.Lock()
        if self._lite is not None:
            self._specs = self._lite.specs[name]

    def describe(self, name: str) -> CollectionSpec | None:
        """Load a collection and return what it holds; None if it does not exist."""
        with self._connection.call() as client:
            found = self._specs.get(name)
            if found is not None or not client.has_collection(name, timeout=self._timeout):
                return found
            spec = read_spec(client, name, timeout=self._timeout)
            if spec is None:
                raise StoreError(
                    f"Milvus at {self._connection.address} has a collection {name!r} that "
                    "onnxsearch did not make; choose another namespace, or database"
                )
            with self._opening:
                if name not in self._specs:
                    make_ready(client, spec, self._index, timeout=self._timeout)
                    # Rows that an earlier process wrote may not be flushed.
                    self.wrote(name, FLUSH_ROWS)
                    self._specs[name] = spec
        return spec

    def look_again(self, name: str) -> None:
        """Forget a collection that another client dropped or created again."""
        known = self._specs.get(name)
        if known is None:
            return
        with suppress(CollectionNotFoundError), self.read(name) as client:
            found = read_spec(client, name, timeout=self._timeout)
            if found is None or found != known or found.owner != known.owner:
                self._specs.pop(name, None)

    def create(self, spec: CollectionSpec) -> None:
        """Create a collection, unless another client creates it first."""
        self._index.kind_for(spec.metric)
        with self._connection.call() as client:
            create_collection(client, spec, consistency=self._consistency, timeout=self._timeout)

    def set_owner(self, spec: CollectionSpec) -> None:
        """Write the owner of a collection that has none."""
        with self.write(spec.name) as client:
            write_owner(client, spec, timeout=self._timeout)
            found = read_spec(client, spec.name, timeout=self._timeout)
        if found is not None:
            self._specs[spec.name] = found

    def note_partial(self, name: str) -> None:
        """Record in Milvus that rows without some of their fields are about to be written."""
        if not self.is_partial(name):
            with self.write(name) as client:
                write_partial(client, name, timeout=self._timeout)

    def is_partial(self, name: str) -> bool:
        """Return whether a collection may have rows without some fields."""
        with self.read(name) as client:
            return is_partial(client, name, timeout=self._timeout)

    def names(self) -> list[str]:
        """Return the names of the collections that onnxsearch made."""
        with self._connection.call() as client:
            names = cast("list[str]", client.list_collections(timeout=self._timeout))
        return [name for name in names if name in self._specs or self._is_ours(name)]

    def _is_ours(self, name: str) -> bool:
        with suppress(CollectionNotFoundError), self._connection.call() as client:
            return is_ours(client, name, timeout=self._timeout)
        return False  # another client dropped it after it was listed

    def drop(self, name: str) -> None:
        """Delete a collection."""
        with self.write(name) as client:
            try:
                client.drop_collection(name, timeout=self._timeout)
            finally:
                self._specs.pop(name, None)

    @contextmanager
    def read(self, name: str) -> Iterator[MilvusClient]:
        """Return the client for a call on an existing collection."""
        with self._known(name), self._connection.call() as client:
            yield client

    @contextmanager
    def write(self, name: str) -> Iterator[MilvusClient]:
        """Return the client for a write to an existing collection."""
        with self._known(name), self._connection.write() as client:
            yield client

    def ask(self, name: str, question: Callable[[MilvusClient], _T]) -> _T:
        """Return the answer of a collection; load the collection first if it was released.

        Raises:
            CollectionNotFoundError: There is no such collection.
            StoreError: Milvus failed.
        """
        try:
            with self.read(name) as client:
                return question(client)
        except StoreUnavailableError as error:
            if not is_not_loaded(error):
                raise
            with self.read(name) as client:
                client.load_collection(name, timeout=self._timeout)
                return question(client)

    def change(self, name: str, write: Callable[[MilvusClient], None]) -> None:
        """Write to a collection; load the collection first if it was released.

        Raises:
            CollectionNotFoundError: There is no such collection.
            StoreError: Milvus failed.
        """
        try:
            with self.write(name) as client:
                write(client)
        except StoreUnavailableError as error:
            if not is_not_loaded(error):
                raise
            with self.write(name) as client:
                client.load_collection(name, timeout=self._timeout)
                write(client)

    @contextmanager
    def _known(self, name: str) -> Iterator[None]:
        try:
            yield
        except CollectionNotFoundError:
            self._specs.pop(name, None)
            raise

    def wrote(self, name: str, rows: int) -> None:
        """Record that rows were written, which Milvus Lite has to flush later."""
        if self._lite is not None:
            self._lite.unflushed[self.name, name] += rows

    def flush(self, name: str, *, least: int) -> None:
        """Flush a collection of Milvus Lite if at least that many rows are not flushed."""
        place = (self.name, name)
        if self._lite is not None and self._lite.unflushed[place] >= least:
            with self.write(name) as client:
                client.flush(name, timeout=LONG_SECONDS)
                self._lite.unflushed[place] = 0
