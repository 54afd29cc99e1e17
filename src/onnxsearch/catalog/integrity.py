"""A full check of one namespace: every vector against the records, and back.

The journal covers everything that a crash can leave behind. This check finds damage that
no protocol can know of: a Redis that lost its last second, a backup of one store only, a
dropped collection, rows that were deleted by hand.

A vector and a record of different generations need no check: both are stored under one
key, which is written once and never again.

Memory is bounded: keys are compared in partitions of at most some 250,000, each with one
pass over the keys of either store. Writers may use the catalog meanwhile. Findings of the
passes are only suspected; each is checked again in an order that no running write can
deceive (see `compare_orphans`, `_missing`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import boolean
from onnxsearch.catalog.integrity_report import Defect, Finding, VerifyReport
from onnxsearch.catalog.keys import decode_key, decode_keys, key_of
from onnxsearch.catalog.records import StoredImage
from onnxsearch.catalog.root import NO_ROOT
from onnxsearch.catalog.root_cell import decode_root
from onnxsearch.catalog.serialization import decode_record
from onnxsearch.errors import CollectionNotFoundError, StoreCorruptError
from onnxsearch.metadata.base import Cell
from onnxsearch.vectors.base import is_key

if TYPE_CHECKING:
    from onnxsearch.catalog.augmented_spaces import AugmentedSpace
    from onnxsearch.catalog.catalog import Catalog

_PARTITION = 250_000
"""Keys compared at once: about 40 MB of memory."""
_BATCH = 500
"""Cells or vectors read with one call."""
_SHOWN = 1000
"""Findings that the report keeps in full; further ones are only counted."""


def verify(catalog: Catalog, *, repair: bool = False) -> VerifyReport:
    """Check every vector and every record of a catalog.

    Args:
        catalog: Others may use it meanwhile.
        repair: Also mend the damage, as `Defect` describes.

    Raises:
        StoreMismatchError: The vectors belong to other records. Nothing was changed.
        StoreCorruptError: A journal entry, or the key of a vector, cannot be read.
        StoreError: A store failed.
    """
    boolean("repair", repair)
    catalog.identity.check()
    return _Check(catalog, repair).run()


def remove_orphans(catalog: Catalog, model: str) -> None:
    """Delete the vectors of a model that belong to no image.

    Raises:
        StoreError: A store failed.
    """
    check, collection = _Check(catalog, repair=True), catalog.collection(model)
    for batch in batched(catalog.vectors.ids(collection), _BATCH):
        check.compare_orphans(collection, batch)


@dataclass(slots=True)
class _Check:
    catalog: Catalog
    repair: bool
    findings: list[Finding] = field(default_factory=list[Finding])
    counts: Counter[Defect] = field(default_factory=Counter[Defect])
    seen: Counter[str] = field(default_factory=Counter[str])

    def run(self) -> VerifyReport:
        # Paths depend on the root, and recovery reads records.
        self._check_root()
        if self.repair:
            self.catalog.recover()
        # Ids first, records next, vectors last: each repair may leave work for the next.
        self._check_contents()
        self._check_ids()
        records = self._check_records()
        self._check_words()
        self._check_vectors(max(records, *self._rows(), 1))
        return VerifyReport(
            records=records,
            vectors=dict(self.seen),
            counts={defect: self.counts[defect] for defect in Defect},
            findings=tuple(self.findings),
            repaired=self.repair,
        )

    def _rows(self) -> list[int]:
        return [self.catalog.vectors.count(name) for name in self.catalog.collections()]

    def _check_root(self) -> None:
        cell = self.catalog.records.root.cell
        data = self.catalog.metadata.get(*cell)
        if data is not None:
            try:
                decode_root(data)
            except StoreCorruptError:
                self._unreadable(cell, data)

    def _check_contents(self) -> None:
        table = self.catalog.records.contents_table
        for content, data in self.catalog.metadata.items(table):
            self._read_keys(Cell(table, content), data)

    def _check_ids(self) -> None:
        records = self.catalog.records
        for batch in batched(self.catalog.metadata.items(records.ids_table), _BATCH):
            cells = {hash: Cell(records.ids_table, hash) for hash, _ in batch}
            keys = {hash: self._read_key(cells[hash], data) for hash, data in batch}
            existing = self._resolve(key for key in keys.values() if key)
            for hash, key in keys.items():
                if not key or (key in existing and key_of(existing[key].record.id) == hash):
                    continue
                expected = key.encode()
                if self.catalog.metadata.get(*cells[hash]) != expected:
                    continue  # replaced between the two reads
                self._report(Finding(Defect.DANGLING_ID, hash))
                if self.repair:
                    self.catalog.metadata.commit(
                        {cells[hash]: None}, expect={cells[hash]: expected}
                    )

    def _check_records(self) -> int:
        records, metadata, number = self.catalog.records, self.catalog.metadata, 0
        for batch in batched(metadata.items(records.records_table), _BATCH):
            number += len(batch)
            readable = _readable(batch)
            for key, data in batch:
                if key not in readable:
                    self._unreadable(Cell(records.records_table, key), data)
            hashes = [key_of(stored.record.id) for stored in readable.values()]
            current = metadata.get_many(records.ids_table, hashes)
            not_current = [
                key for key, cell in zip(readable, current, strict=True) if cell != key.encode()
            ]
            # A record that still exists although it was not current is not about to be deleted.
            for stored in self._resolve(not_current).values():
                self._report(Finding(Defect.UNREACHABLE_RECORD, stored.key, stored.record.id))
                if self.repair:
                    self._reconnect(stored)
        return number

    def _check_words(self) -> None:
        # One moment shows both the records and their words.
        for key in self.catalog.keywords.stale(repair=self.repair):
            self._report(Finding(Defect.STALE_WORDS, key))

    def _read_key(self, cell: Cell, data: bytes) -> str | None:
        try:
            return decode_key(data)
        except StoreCorruptError:
            self._unreadable(cell, data)
            return None

    def _read_keys(self, cell: Cell, data: bytes) -> None:
        try:
            decode_keys(data)
        except StoreCorruptError:
            self._unreadable(cell, data)

    def _unreadable(self, cell: Cell, data: bytes) -> None:
        self._report(Finding(Defect.UNREADABLE_CELL, cell.key))
        if self.repair:
            self.catalog.metadata.commit({cell: None}, expect={cell: data})

    def _resolve(self, keys: Iterable[str]) -> dict[str, StoredImage]:
        """Return the readable records under `keys`, by key."""
        unique = list(dict.fromkeys(keys))
        values = self.catalog.metadata.get_many(self.catalog.records.records_table, unique)
        pairs = zip(unique, values, strict=True)
        return _readable((key, value) for key, value in pairs if value is not None)

    def _reconnect(self, stored: StoredImage) -> None:
        records, metadata = self.catalog.records, self.catalog.metadata
        cell = Cell(records.ids_table, key_of(stored.record.id))
        if metadata.commit({cell: stored.key.encode()}, expect={cell: None}):
            return
        change = records.removal([stored])
        del change.writes[cell], change.expect[cell]
        metadata.commit(change.writes, expect=change.expect)

    def _check_vectors(self, rows: int) -> None:
        partitions = math.ceil(rows / _PARTITION)
        for number in range(partitions):
            listed: dict[str, set[str]] = {name: set() for name in self.catalog.collections()}
            records = self.catalog.metadata.items(self.catalog.records.records_table)
            part = (
                (key, data)
                for key, data in records
                if is_key(key) and _partition(key, partitions) == number
            )
            for batch in batched(part, _BATCH):
                for stored in _readable(batch).values():
                    for model in stored.record.models:
                        listed.setdefault(self.catalog.collection(model), set()).add(stored.key)
            for collection, keys in listed.items():
                self._compare(collection, keys, number, partitions)

    def _compare(self, collection: str, listed: set[str], number: int, partitions: int) -> None:
        """Compare the keys of a partition; `listed` is used up."""
        suspected: set[str] = set()
        for key in self._keys(collection):
            if _partition(key, partitions) == number:
                self.seen[collection] += 1
                if key in listed:
                    listed.remove(key)
                else:
                    suspected.add(key)
        # Vectors of a space that is being made, or was cut off, come before they are listed.
        unlisted = {self.catalog.collection(each.name) for each in self._spaces_in_work()}
        for batch in batched(suspected if collection not in unlisted else (), _BATCH):
            self.compare_orphans(collection, batch)
        for batch in batched(listed, _BATCH):
            self._missing(collection, batch)

    def _spaces_in_work(self) -> Iterator[AugmentedSpace]:
        # One that cannot be read is in nobody's work.
        with suppress(StoreCorruptError):
            yield from (each for each in self.catalog.spaces.all() if each.writer is not None)

    def _keys(self, collection: str) -> Iterator[str]:
        try:
            for key in self.catalog.vectors.ids(collection):
                if not is_key(key):
                    raise StoreCorruptError(
                        f"collection {collection!r} holds a row under {key[:80]!r}, which is not "
                        "a key of onnxsearch. Drop the collection, call verify(repair=True), "
                        "and index again"
                    )
                yield key
        except CollectionNotFoundError:
            return  # then all vectors of the model are missing

    def _existing(self, collection: str, keys: Iterable[str]) -> list[str]:
        """Return the keys that have a vector."""
        try:
            return list(self.catalog.vectors.fetch(collection, list(keys)))
        except CollectionNotFoundError:
            return []

    def compare_orphans(self, collection: str, suspected: list[str]) -> None:
        # Every row belongs to a journaled write. If its entry is gone, the write either
        # committed or was rolled back; if no record refers to the row either, it is an
        # orphan. The journal is read again because the record may have been replaced after
        # the first reading: then the journal names the row until it is deleted.
        recovery = self.catalog.recovery
        left = set(suspected) - recovery.unfinished()
        records = self._resolve(left)
        left -= {key for key in records if self._lists(records[key], collection)}
        left -= recovery.unfinished()
        orphans = self._existing(collection, left)
        for key in orphans:
            id = records[key].record.id if key in records else None
            self._report(Finding(Defect.ORPHAN_VECTOR, key, id, collection))
        if self.repair and orphans:
            self.catalog.vectors.delete(collection, orphans)

    def _missing(self, collection: str, suspected: list[str]) -> None:
        # Vectors are stored before their record, and deleted after it. So a record that
        # exists after its vector was missing existed all the time. A drop deletes vectors
        # first, and the journal names it until no record lists the model.
        missing = set(suspected) - set(self._existing(collection, suspected))
        if collection in map(self.catalog.collection, self.catalog.recovery.dropped()):
            return
        for stored in self._resolve(missing).values():
            if self._lists(stored, collection):
                self._report(
                    Finding(Defect.MISSING_VECTOR, stored.key, stored.record.id, collection)
                )
                if self.repair:
                    self._unlist(stored, collection)

    def _unlist(self, stored: StoredImage, collection: str) -> None:
        records, metadata = self.catalog.records, self.catalog.metadata
        data = metadata.get(records.records_table, stored.key)
        for model in stored.record.models:
            if data is not None and self.catalog.collection(model) == collection:
                change = records.unlisting(stored.key, data, model)
                metadata.commit(change.writes, expect=change.expect)

    def _lists(self, stored: StoredImage, collection: str) -> bool:
        return collection in map(self.catalog.collection, stored.record.models)

    def _report(self, finding: Finding) -> None:
        self.counts[finding.defect] += 1
        if len(self.findings) < _SHOWN:
            self.findings.append(finding)


def _readable(records: Iterable[tuple[str, bytes]]) -> dict[str, StoredImage]:
    """Return the readable records, by key."""
    found: dict[str, StoredImage] = {}
    for key, data in records:
        # `_check_records` reports the others.
        with suppress(StoreCorruptError):
            if is_key(key):
                found[key] = StoredImage(key, decode_record(data, NO_ROOT.absolute))
    return found


def _partition(key: str, partitions: int) -> int:
    # The second half of a key is random; the first is the time.
    return int(key[-8:], 16) % partitions
