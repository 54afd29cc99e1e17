"""Vectors in memory, for tests and for temporary collections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnxsearch.errors import ClosedError, CollectionNotFoundError
from onnxsearch.filters import Filter
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore
from onnxsearch.vectors.capabilities import Parts
from onnxsearch.vectors.part_search import SearchedRows, check_parts, nearest_parts
from onnxsearch.vectors.row_table import RowTable


class InMemoryVectorStore(VectorStore):
    """An exact vector store whose data exist as long as the object.

    It checks its arguments like the durable stores, and copies what it receives.

    Example:
        >>> store = InMemoryVectorStore()
        >>> store.ensure_collection(CollectionSpec("photos", 2, fingerprint="v1"))
        >>> store.upsert("photos", ["0" * 32], np.float32([[0, 1]]))
        >>> store.search("photos", np.float32([[3, 5]]), limit=1)
        [[Match(key='00000000000000000000000000000000', distance=5.0)]]
    """

    def __init__(self) -> None:
        self._tables: dict[str, tuple[CollectionSpec, RowTable]] | None = {}

    def _describe(self, name: str) -> CollectionSpec | None:
        found = self._open_tables().get(name)
        return None if found is None else found[0]

    def _create(self, spec: CollectionSpec) -> None:
        self._open_tables().setdefault(spec.name, (spec, RowTable(spec)))

    def _set_owner(self, spec: CollectionSpec) -> None:
        tables = self._open_tables()
        found = tables.get(spec.name)
        if found is not None and found[0].owner is None:
            tables[spec.name] = (spec, found[1])

    def _collections(self) -> list[str]:
        return list(self._open_tables())

    def _drop(self, name: str) -> None:
        self._open_tables().pop(name, None)

    def _upsert(
        self, spec: CollectionSpec, keys: Sequence[str], vectors: Vectors, metadata: Sequence[str]
    ) -> None:
        self._table(spec).put(keys, vectors, metadata)

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        snapshot = self._table(spec).snapshot(with_metadata=filter is not None)
        return snapshot.search(queries, limit, filter)

    def search_parts(
        self,
        collection: str,
        queries: Vectors,
        parts: Parts,
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[list[Match]]:
        """Return the nearest rows by the nearest of their parts; see `LateInteraction`."""
        spec = self.describe(collection)
        queries, limit = check_parts(spec, queries, parts, limit, filter)
        view = self._table(spec).snapshot(with_metadata=filter is not None)
        rows = SearchedRows(view.keys, view.matrix, view.matching(filter))
        return nearest_parts(spec, [rows], queries, parts, limit)

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        return self._table(spec).fetch(keys)

    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        self._table(spec).discard(keys)

    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        return iter(self._table(spec).keys())

    def _count(self, spec: CollectionSpec) -> int:
        return len(self._table(spec))

    def close(self) -> None:
        """Forget every collection; closing twice is harmless."""
        self._tables = None

    def _open_tables(self) -> dict[str, tuple[CollectionSpec, RowTable]]:
        tables = self._tables
        if tables is None:
            raise ClosedError(f"{self!r} is closed")
        return tables

    def _table(self, spec: CollectionSpec) -> RowTable:
        found = self._open_tables().get(spec.name)
        if found is None:
            raise CollectionNotFoundError(f"collection {spec.name!r} was dropped meanwhile")
        return found[1]

    def __repr__(self) -> str:
        return "InMemoryVectorStore()"
