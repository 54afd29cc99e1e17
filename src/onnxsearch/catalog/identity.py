"""Which vectors and which records belong together.

The first engine that opens two stores gives them one identity. The metadata store keeps
it in a cell of the namespace, the vector store as the owner of each collection. Records
of another identity know none of the vectors, so that a repair would delete all of them:
an engine compares the identities before it deletes anything.

Vector stores may lose the owner of a collection, and indexes of earlier releases have no
identity. Then the keys decide. A key is never used twice, so that records and vectors
that have one in common were written together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from onnxsearch.catalog.journal import decode_entry
from onnxsearch.catalog.keys import decode_key, new_key
from onnxsearch.catalog.root import NO_ROOT
from onnxsearch.catalog.serialization import decode_record
from onnxsearch.errors import CollectionNotFoundError, StoreCorruptError, StoreMismatchError
from onnxsearch.metadata.base import Cell
from onnxsearch.vectors.base import is_key

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex
    from onnxsearch.catalog.vector_rows import VectorRows
    from onnxsearch.metadata.base import MetadataStore
    from onnxsearch.vectors.base import CollectionSpec, VectorStore

_SAMPLE = 100
"""Records whose vectors are looked for where no owner is known."""


class StoreIdentity:
    """The identity of one namespace in both stores.

    Args:
        vectors: Holds the collections.
        metadata: Holds the records.
        records: The tables of the namespace.
        rows: The collections of the namespace.
    """

    def __init__(
        self, vectors: VectorStore, metadata: MetadataStore, records: RecordIndex, rows: VectorRows
    ) -> None:
        self._vectors, self._metadata = vectors, metadata
        self._records, self._rows = records, rows
        self._cell = Cell(records.identity_table, "identity")
        self._confirmed = False

    def open(self, models: Iterable[str]) -> None:
        """Compare the identities, before anything else is done with the stores.

        Empty records beside the vectors of others are let through: the vectors can be
        looked at, and `confirm` stops whatever asks for records or changes anything.

        Args:
            models: See `check`.

        Raises:
            StoreMismatchError: Vectors belong to other records. Nothing was changed.
            StoreError: A store failed.
        """
        try:
            self.check(models)
        except StoreMismatchError:
            if not self._has_no_records():
                raise

    @property
    def is_confirmed(self) -> bool:
        """Whether vectors and records are known to belong together."""
        return self._confirmed

    def confirm(self) -> None:
        """Raise unless vectors and records are known to belong together.

        Raises:
            StoreMismatchError: The records are empty, and there are vectors of others.
            StoreError: A store failed.
        """
        if not self._confirmed:
            self.check()

    def owner_of(self, model: str) -> str | None:
        """Return the owner for the collection of a model that is about to be opened.

        Raises:
            StoreMismatchError: Its vectors belong to other records.
            StoreError: A store failed.
        """
        return self.check([model]) if self._confirmed else None

    def check(self, models: Iterable[str] | None = None) -> str:
        """Return the identity of the stores; give them one if they have none.

        Args:
            models: Models whose collections are compared, beside those that the journal
                names; None for all collections of the namespace.

        Raises:
            StoreMismatchError: Vectors belong to other records. Nothing was changed.
            StoreCorruptError: The identity or a journal entry cannot be read.
            StoreError: A store failed.
        """
        found = list(self._collections(models))
        identity = self._read()
        if identity is None:
            identity = self._adopt(found)
        for spec in found:
            if spec.owner is None:
                self._check_keys(spec)
            elif spec.owner != identity:
                raise self._mismatch(
                    f"collection {spec.name!r} belongs to records with the identity "
                    f"{spec.owner}, and these records have the identity {identity}"
                )
        self._confirmed = True
        return identity

    def known(self) -> str | None:
        """Return the identity of the records; None if they have none."""
        return self._read()

    def _has_no_records(self) -> bool:
        tables = (self._cell.table, self._records.records_table, self._records.journal_table)
        return not any(self._metadata.count(table) for table in tables)

    def _collections(self, models: Iterable[str] | None) -> Iterator[CollectionSpec]:
        if models is None:
            names = set(self._rows.collections())
        else:
            journaled = (model for keys in self._journaled() for model in keys)
            names = {self._rows.collection(model) for model in (*models, *journaled)}
        for name in sorted(names):
            with suppress(CollectionNotFoundError):
                yield self._vectors.describe(name)

    def _read(self) -> str | None:
        data = self._metadata.get(*self._cell)
        return None if data is None else decode_key(data)

    def _adopt(self, found: Iterable[CollectionSpec]) -> str:
        """Give the records the identity of the vectors that are theirs, or a new one."""
        identity = new_key()
        for spec in found:
            self._check_keys(spec)
            identity = spec.owner or identity
        if self._metadata.commit({self._cell: identity.encode()}, expect={self._cell: None}):
            return identity
        return self._read() or self._adopt(found)  # another engine was faster

    def _check_keys(self, spec: CollectionSpec) -> None:
        """Raise if a collection holds vectors, and none of them is of these records."""
        with suppress(CollectionNotFoundError):
            number = self._vectors.count(spec.name)
            if not number and spec.owner is None:
                return
            keys = list(islice(self._keys(spec.name), _SAMPLE))
            if self._vectors.fetch(spec.name, keys):
                return
            records = "know none of them" if keys else "are empty"
            raise self._mismatch(
                f"collection {spec.name!r} holds {number} vectors of records with "
                f"{f'the identity {spec.owner}' if spec.owner else 'an unknown identity'}, and "
                f"these records {records}"
            )

    def _keys(self, collection: str) -> Iterator[str]:
        """Yield the keys that vectors in a collection may have, as far as records know."""
        for key, data in self._metadata.items(self._records.records_table):
            with suppress(StoreCorruptError):
                models = decode_record(data, NO_ROOT.absolute).models if is_key(key) else ()
                if collection in map(self._rows.collection, models):
                    yield key
        for entry in self._journaled():
            for model, keys in entry.items():
                if collection == self._rows.collection(model):
                    yield from keys

    def _journaled(self) -> Iterator[dict[str, tuple[str, ...]]]:
        for _, data in self._metadata.items(self._records.journal_table):
            yield dict(decode_entry(data).keys)

    def _mismatch(self, why: str) -> StoreMismatchError:
        return StoreMismatchError(
            f"the vectors in {self._vectors!r} and the records in {self._metadata!r} do not "
            f"belong together: {why}. Open the vectors with the records that they were stored "
            "with, or restore those. To start anew, choose another namespace, or another place "
            "for the vectors. Nothing was changed"
        )
