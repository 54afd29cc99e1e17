"""A full check of one namespace: every vector against the records, and back.

The journal covers all that a crash can leave behind. This check is for what no
protocol can know of: a Redis that lost its last second, a backup of one store and
not of the other, a collection that was dropped, rows that somebody deleted by hand.

There is no check for a vector and a record of different generations, because there
is nothing to check: both lie under one key, which is written once and never again.

Memory is bounded: keys are compared in partitions of at most some 250,000, each with
one pass over the keys of either store. The catalog may be written to meanwhile. What
the passes find is only suspected; it is looked at again in an order that no running
write can deceive (see `_orphans`, `_missing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from onnxsearch.errors import CollectionNotFoundError
from onnxsearch.metadata.base import Cell
from onnxsearch.parallel import batched
from onnxsearch.records import decode_record, key_of

if TYPE_CHECKING:
    from onnxsearch.consistency import Catalog
    from onnxsearch.ledger import Stored

_PARTITION = 250_000
"""Keys compared at once: about 40 MB."""
_BATCH = 500
"""Cells or vectors looked at with one call."""
_SHOWN = 1000
"""Findings that the report keeps in full; further ones are only counted."""


class Defect(StrEnum):
    """What can be wrong, and how it is mended."""

    ORPHAN_VECTOR = "orphan vector"
    """A vector that no record and no journal entry knows of. It is deleted."""
    MISSING_VECTOR = "missing vector"
    """A record lists a model that has no vector of it. The model is taken off the
    record; the next `index` fills it in. A picture that has no vector left keeps its
    record, and with it its metadata, but no search finds it until it is indexed or
    added again."""
    UNREACHABLE_RECORD = "unreachable record"
    """A record that is not the current one of its id. It becomes that if the id has
    none, and is removed otherwise."""
    DANGLING_ID = "dangling id"
    """An id whose record is gone. It is forgotten; the next `index` stores it anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    defect: Defect
    key: str
    """Key of the vector or record; for a dangling id the hash of the id."""
    id: str | None = None
    """The picture's id, where a record tells it."""
    collection: str | None = None
    """The collection of the vector that is orphaned or missing."""


@dataclass(frozen=True, slots=True, repr=False)
class VerifyReport:
    """What `SearchEngine.verify` found."""

    records: int
    """Records that were looked at."""
    vectors: Mapping[str, int]
    """Vectors that were looked at, by collection."""
    counts: Mapping[Defect, int]
    """How often each defect occurs; those that do not count 0."""
    findings: tuple[Finding, ...]
    """Each defect found, the first 1,000 of them."""
    repaired: bool
    """Whether the defects were mended."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, or all that was is mended."""
        return self.repaired or not any(self.counts.values())

    def __repr__(self) -> str:
        found = ", ".join(f"{n} {defect.value}" for defect, n in self.counts.items() if n)
        mended = ", repaired" if found and self.repaired else ""
        seen = f"{self.records} records, {sum(self.vectors.values())} vectors"
        return f"<VerifyReport {seen}: {found or 'all is well'}{mended}>"


def verify(catalog: Catalog, *, repair: bool = False) -> VerifyReport:
    """Check every vector and every record of a catalog.

    Args:
        catalog: May be in use meanwhile.
        repair: Also mend what is wrong, as `Defect` tells.

    Raises:
        StoreCorruptError: A record or journal entry cannot be read.
        StoreError: A store failed.
    """
    return _Check(catalog, repair).run()


@dataclass(slots=True)
class _Check:
    catalog: Catalog
    repair: bool
    findings: list[Finding] = field(default_factory=list[Finding])
    counts: Counter[Defect] = field(default_factory=Counter[Defect])
    seen: Counter[str] = field(default_factory=Counter[str])

    def run(self) -> VerifyReport:
        if self.repair:
            self.catalog.recover()
        # Ids first, records next, vectors last: each repair may leave work to the next.
        self._check_ids()
        records = self._check_records()
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

    def _check_ids(self) -> None:
        ledger = self.catalog.ledger
        for batch in batched(self.catalog.metadata.items(ledger.ids_table), _BATCH):
            there = ledger.resolve([key.decode() for _, key in batch])
            for hash, key in batch:
                cell = Cell(ledger.ids_table, hash)
                if key.decode() in there or self.catalog.metadata.get(*cell) != key:
                    continue  # replaced between the two reads, if it is no longer the same
                self._tell(Finding(Defect.DANGLING_ID, hash))
                if self.repair:
                    self.catalog.metadata.commit({cell: None}, expect={cell: key})

    def _check_records(self) -> int:
        ledger, metadata, number = self.catalog.ledger, self.catalog.metadata, 0
        for batch in batched(metadata.items(ledger.records_table), _BATCH):
            number += len(batch)
            ids = {key: decode_record(data).id for key, data in batch}
            hashes = [key_of(id) for id in ids.values()]
            current = metadata.get_many(ledger.ids_table, hashes)
            astray = [key for key, cell in zip(ids, current, strict=True) if cell != key.encode()]
            # A record that is still there, and was not current, is not about to go.
            for stored in ledger.resolve(astray).values():
                self._tell(Finding(Defect.UNREACHABLE_RECORD, stored.key, stored.record.id))
                if self.repair:
                    self._reunite(stored)
        return number

    def _reunite(self, stored: Stored) -> None:
        ledger, metadata = self.catalog.ledger, self.catalog.metadata
        cell = Cell(ledger.ids_table, key_of(stored.record.id))
        if metadata.commit({cell: stored.key.encode()}, expect={cell: None}):
            return
        change = ledger.removal([stored])
        del change.writes[cell], change.expect[cell]
        metadata.commit(change.writes, expect=change.expect)

    def _check_vectors(self, rows: int) -> None:
        partitions = -(-rows // _PARTITION)
        for number in range(partitions):
            listed: dict[str, set[str]] = {name: set() for name in self.catalog.collections()}
            for key, data in self.catalog.metadata.items(self.catalog.ledger.records_table):
                if _partition(key, partitions) == number:
                    for model in decode_record(data).models:
                        listed.setdefault(self.catalog.collection(model), set()).add(key)
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
        for batch in batched(suspected, _BATCH):
            self._orphans(collection, batch)
        for batch in batched(listed, _BATCH):
            self._missing(collection, batch)

    def _keys(self, collection: str) -> Iterator[str]:
        try:
            yield from self.catalog.vectors.ids(collection)
        except CollectionNotFoundError:
            return  # then all of its vectors are missing

    def _orphans(self, collection: str, suspected: list[str]) -> None:
        # A row that was seen belongs to a write that the journal told of before. If the
        # journal no longer does, that write was shown, or taken back for good. If then
        # there is no record, it was replaced, which the journal tells of until the row
        # is gone. So a row is nobody's if neither journal, nor records, nor the journal
        # again know of it, and it is still there; and no write can bring it back.
        recovery, ledger = self.catalog.recovery, self.catalog.ledger
        left = set(suspected) - recovery.unfinished()
        records = ledger.resolve(list(left))
        left -= {key for key in records if self._lists(records[key], collection)}
        left -= recovery.unfinished()
        orphans = list(self.catalog.vectors.fetch(collection, list(left))) if left else []
        for key in orphans:
            id = records[key].record.id if key in records else None
            self._tell(Finding(Defect.ORPHAN_VECTOR, key, id, collection))
        if self.repair and orphans:
            self.catalog.vectors.delete(collection, orphans)

    def _missing(self, collection: str, suspected: list[str]) -> None:
        # Vectors are stored before their record is, and deleted after it. So if the
        # record is there once the vector was not, it was there all the time.
        there: Iterable[str] = ()
        if collection in self.catalog.vectors.collections():
            there = self.catalog.vectors.fetch(collection, suspected)
        records = self.catalog.ledger.resolve([key for key in suspected if key not in there])
        for stored in records.values():
            if self._lists(stored, collection):
                self._tell(Finding(Defect.MISSING_VECTOR, stored.key, stored.record.id, collection))
                if self.repair:
                    self._take_off(stored, collection)

    def _take_off(self, stored: Stored, collection: str) -> None:
        models = [m for m in stored.record.models if self.catalog.collection(m) != collection]
        change = self.catalog.ledger.relisting(stored, models)
        self.catalog.metadata.commit(change.writes, expect=change.expect)

    def _lists(self, stored: Stored, collection: str) -> bool:
        return collection in map(self.catalog.collection, stored.record.models)

    def _tell(self, finding: Finding) -> None:
        self.counts[finding.defect] += 1
        if len(self.findings) < _SHOWN:
            self.findings.append(finding)


def _partition(key: str, partitions: int) -> int:
    # The second half of a key is random; the first is the time.
    return int(key[-8:], 16) % partitions
