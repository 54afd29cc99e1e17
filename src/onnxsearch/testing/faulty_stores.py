"""Stores that fail when a test asks for it."""

# A wrapper calls the hooks of the wrapped store, which are private to it.

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.testing.faults import Faults, Read
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore
from onnxsearch.vectors.capabilities import Tunable, Variant

if TYPE_CHECKING:
    from onnxsearch.filters import Filter

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")

_OF_VECTORS: Sequence[Read] = ("pairs_within", "candidates", "search_parts")
_OF_METADATA: Sequence[Read] = ("rank_by_words", "stale_words")
"""Methods that not every store has."""


def _faulty(
    name: Read, call: Callable[_Given, _Answer], faults: Faults
) -> Callable[_Given, _Answer]:
    """Return a call that fails or hangs when it is asked to."""

    def faulty(*given: _Given.args, **named: _Given.kwargs) -> _Answer:
        with faults.around(name):
            return call(*given, **named)

    return faulty


def _pass_on(
    wrapper: VectorStore | MetadataStore,
    store: VectorStore | MetadataStore,
    names: Sequence[Read],
    faults: Faults,
) -> None:
    """Give a wrapper those of the methods that the wrapped store has.

    They are the instance's own, because a store offers an ability by having its method.
    """
    for name in names:
        if hasattr(store, name):
            setattr(wrapper, name, _faulty(name, getattr(store, name), faults))


def _variants_of(store: Tunable[Any], faults: Faults) -> Callable[[str, int], list[Variant[Any]]]:
    """Return what gives the variants of a store; their searches fail as its own do."""

    def variants(collection: str, limit: int) -> list[Variant[Any]]:
        return [
            replace(each, search=_faulty("search", each.search, faults))
            for each in store.variants(collection, limit)
        ]

    return variants


class FaultyVectorStore(VectorStore):
    """Passes all calls on to another store, except those that fail or hang.

    It has the optional abilities of that store, such as `LateInteraction`, and no others.
    `close` leaves the other store open, because the next engine may need it.
    """

    def __init__(self, store: VectorStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self.metrics = store.metrics
        self.max_rows = store.max_rows
        _pass_on(self, store, _OF_VECTORS, faults)
        if isinstance(store, Tunable):
            self.variants = _faulty("variants", _variants_of(store, faults), faults)

    def bytes_on_disk(self) -> int | None:
        return self._store.bytes_on_disk()

    def _describe(self, name: str) -> CollectionSpec | None:
        with self._faults.around("describe"):
            return self._store._describe(name)

    def _create(self, spec: CollectionSpec) -> None:
        with self._faults.around("create"):
            self._store._create(spec)

    def _set_owner(self, spec: CollectionSpec) -> None:
        self._store._set_owner(spec)

    def _collections(self) -> list[str]:
        with self._faults.around("collections"):
            return self._store._collections()

    def _drop(self, name: str) -> None:
        with self._faults.around("drop"):
            self._store._drop(name)

    def _check_whole(self, metadata: Sequence[str]) -> None:
        self._store._check_whole(metadata)

    def _upsert(
        self,
        spec: CollectionSpec,
        keys: Sequence[str],
        vectors: Vectors,
        metadata: Sequence[str],
    ) -> None:
        with self._faults.around("upsert"):
            self._store._upsert(spec, keys, vectors, metadata)

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        with self._faults.around("search"):
            return self._store._search(spec, queries, limit, filter)

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        with self._faults.around("fetch"):
            return self._store._fetch(spec, keys)

    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        with self._faults.around("delete"):
            self._store._delete(spec, keys)

    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        with self._faults.around("ids"):
            yield from self._store._ids(spec)

    def _count(self, spec: CollectionSpec) -> int:
        with self._faults.around("count"):
            return self._store._count(spec)

    def close(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return f"FaultyVectorStore({self._store!r})"


class FaultyMetadataStore(MetadataStore):
    """Passes all calls on to another store, except those that fail or hang.

    It has the optional ability of that store to rank by words, `KeywordSearch`.
    `close` leaves the other store open, because the next engine may need it.
    """

    def __init__(self, store: MetadataStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        _pass_on(self, store, _OF_METADATA, faults)

    @property
    def folder(self) -> str | None:
        return self._store.folder

    def bytes_on_disk(self) -> int | None:
        return self._store.bytes_on_disk()

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        with self._faults.around("get_many"):
            return self._store._get_many(table, keys)

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        with self._faults.around("commit"):
            return self._store._commit(writes, expect)

    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        with self._faults.around("items"):
            yield from self._store._items(table)

    def _count(self, table: str) -> int:
        with self._faults.around("count"):
            return self._store._count(table)

    def close(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return f"FaultyMetadataStore({self._store!r})"
