"""The metadata side of a catalog: which images are stored, and under which keys.

    ids[hash of id]    the key that is current for this id
    records[key]       the record, as JSON
    contents[hash]     the key of an image whose file had these bytes
    journal[op]        rows without a record; see `onnxsearch.catalog.journal`

This module works changes out as plain values; the protocol commits them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.keys import decode_key, key_of
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.catalog.serialization import decode_record, encode_record
from onnxsearch.errors import StoreCorruptError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.types import Record

Cells: TypeAlias = dict[Cell, bytes | None]

_BATCH = 1000
"""Cells read at once when a whole table is read: bounded memory, few round trips."""

_UNLISTED = 256
_UNLISTED_BYTES = 8 * 2**20
"""Records changed at once, and bytes: a quarter of what a commit takes. If another engine
changes one of these records at the same moment, all wait for the next pass."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image that is stored."""

    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Change:
    """What to commit, what the commit expects, and the rows that no record names after it."""

    writes: Cells = field(default_factory=dict[Cell, "bytes | None"])
    expect: Cells = field(default_factory=dict[Cell, "bytes | None"])
    orphaned_rows: dict[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    """Keys by model."""


class RecordIndex:
    """The records of one namespace: reads them, and works out changes to them.

    Args:
        metadata: Holds the tables.
        namespace: Prefix of the tables' names.
    """

    def __init__(self, metadata: MetadataStore, namespace: str) -> None:
        self._metadata = metadata
        self.ids_table = f"{namespace}:ids"
        self.records_table = f"{namespace}:records"
        self.journal_table = f"{namespace}:journal"
        self.identity_table = f"{namespace}:identity"
        self.contents_table = f"{namespace}:contents"

    def find(self, ids: Iterable[str]) -> dict[str, StoredImage]:
        """Return the images stored under `ids`, by id; unknown ids are left out."""
        wanted = {key_of(id): id for id in ids}
        return {wanted[hash]: stored for hash, stored in self._current(wanted)}

    def resolve(self, keys: Sequence[str]) -> dict[str, StoredImage]:
        """Return the images stored under `keys`, by key; keys without a record are left out."""
        unique = list(dict.fromkeys(keys))
        values = self._metadata.get_many(self.records_table, unique)
        return {
            key: StoredImage(key, decode_record(value))
            for key, value in zip(unique, values, strict=True)
            if value is not None
        }

    def with_content(self, content: str) -> Record | None:
        """Return a stored image whose file had these bytes (see `Record.content`)."""
        cell = self._metadata.get(self.contents_table, content)
        if cell is None:
            return None
        key = decode_key(cell)
        stored = self.resolve([key]).get(key)
        return stored.record if stored else None

    def images(self) -> Iterator[StoredImage]:
        """Yield every image, in bounded memory and no particular order.

        An image that is stored before the call and stays is yielded at least once, also
        if it is replaced meanwhile.
        """
        for batch in batched(self._metadata.items(self.ids_table), _BATCH):
            for _, stored in self._current(hash for hash, _ in batch):
                yield stored

    def values(self) -> Iterator[Record]:
        """Yield the record of every image, as `images` does."""
        return (stored.record for stored in self.images())

    def count(self) -> int:
        """Return how many images are stored."""
        return self._metadata.count(self.records_table)

    def removal(self, images: Iterable[StoredImage]) -> Change:
        """Work out how to remove images."""
        change = Change()
        contents: dict[str, str] = {}
        for key, record in ((stored.key, stored.record) for stored in images):
            self._set_current(change, record.id, key, None)
            change.writes[Cell(self.records_table, key)] = None
            if record.content is not None:
                contents[record.content] = key
            for model in record.models:
                change.orphaned_rows[model] = (*change.orphaned_rows.get(model, ()), key)
        holders = self._metadata.get_many(self.contents_table, list(contents))
        for (content, key), holder in zip(contents.items(), holders, strict=True):
            if holder == key.encode():
                change.writes[Cell(self.contents_table, content)] = None
                change.expect[Cell(self.contents_table, content)] = holder
        return change

    def replacement(
        self, records: Mapping[str, Record], before: Mapping[str, StoredImage]
    ) -> Change:
        """Work out how to store records under new keys, in place of the images `before`."""
        change = self.removal(before.values())
        for key, record in records.items():
            current = before.get(record.id)
            self._set_current(change, record.id, current.key if current else None, key)
            change.writes[Cell(self.records_table, key)] = encode_record(record)
            if record.content is not None:
                change.writes[Cell(self.contents_table, record.content)] = key.encode()
        return change

    def unlistings(self, model: str) -> Iterator[Change]:
        """Work out how to take `model` off all records, in parts that a commit can take.

        Records that cannot be read are skipped; `onnxsearch.catalog.integrity` finds them.
        """
        part, size = Change(), 0
        for key, data in self._metadata.items(self.records_table):
            try:
                listed = model in decode_record(data).models
            except StoreCorruptError:
                continue
            if listed:
                change = self.unlisting(key, data, model)
                part.writes.update(change.writes)
                part.expect.update(change.expect)
                size += 2 * len(data)
            if len(part.writes) >= _UNLISTED or size >= _UNLISTED_BYTES:
                yield part
                part, size = Change(), 0
        if part.writes:
            yield part

    def unlisting(self, key: str, data: bytes, model: str) -> Change:
        """Work out how to take `model` off the record at `key`, whose bytes are `data`."""
        record = decode_record(data)
        models = tuple(name for name in record.models if name != model)
        cell = Cell(self.records_table, key)
        return Change({cell: encode_record(replace(record, models=models))}, {cell: data})

    def _current(self, hashes: Iterable[str]) -> Iterator[tuple[str, StoredImage]]:
        """Yield the hash of each id that is stored, and the image stored under it."""
        pending, before = list(hashes), dict[str, str]()
        for _ in attempts():
            cells = self._metadata.get_many(self.ids_table, pending)
            keys = {
                hash: decode_key(key)
                for hash, key in zip(pending, cells, strict=True)
                if key is not None
            }
            # Keys are never used twice. So a key that is current in two reads was current
            # all the time between, when its record was missing.
            if damaged := [hash for hash, key in keys.items() if before.get(hash) == key]:
                raise StoreCorruptError(
                    f"{len(damaged)} ids have a key but no record: the metadata store is "
                    "damaged. verify(repair=True) mends it"
                )
            stored = self.resolve(list(keys.values()))
            yield from ((hash, stored[key]) for hash, key in keys.items() if key in stored)
            # A record that is gone was replaced between the two reads: look again.
            before = {hash: key for hash, key in keys.items() if key not in stored}
            if not before:
                return
            pending = list(before)
        raise contended()

    def _set_current(self, change: Change, id: str, before: str | None, after: str | None) -> None:
        cell = Cell(self.ids_table, key_of(id))
        change.expect[cell] = None if before is None else before.encode()
        change.writes[cell] = None if after is None else after.encode()


def same_content(one: Record, other: Record) -> bool | None:
    """Return whether two images came from the same bytes; None if neither record says so."""
    if one.content is None and other.content is None:
        return None
    return one.content == other.content
