"""The metadata side of a catalog: which pictures there are, and under which keys.

    ids[hash of id]    the key that is current for this id
    records[key]       the record, as JSON
    contents[hash]     the key of a picture whose file had these bytes
    journal[op]        rows that may be nobody's; see `onnxsearch.catalog.journal`

Changes are worked out here as plain values; the protocol commits them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.serialization import decode_key, decode_record, encode_record, key_of
from onnxsearch.errors import StoreCorruptError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.types import Record

Cells: TypeAlias = dict[Cell, bytes | None]

ATTEMPTS = 1000
"""How often other writers of the same ids may be faster. A store that lets nobody
through this often is broken, and a loop without end would hide it."""

_BATCH = 1000
"""Cells read at once when all are read: bounded memory, few round trips."""

_UNLISTED = 256
_UNLISTED_BYTES = 8 * 2**20
"""Records changed at once, and bytes: a quarter of what a commit takes. If another engine
changes one of them at the same moment, all have to wait for the next pass."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One picture that is stored."""

    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Change:
    """What to commit, what must still be so, and whose vectors are nobody's after it."""

    writes: Cells = field(default_factory=dict[Cell, "bytes | None"])
    expect: Cells = field(default_factory=dict[Cell, "bytes | None"])
    orphaned_rows: dict[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    """Keys by model."""


class RecordIndex:
    """Reads the records of one namespace, and works out changes to them.

    Args:
        metadata: Where the tables are.
        namespace: Prefix of the tables' names.
    """

    def __init__(self, metadata: MetadataStore, namespace: str) -> None:
        self._metadata = metadata
        self.ids_table = f"{namespace}:ids"
        self.records_table = f"{namespace}:records"
        self.journal_table = f"{namespace}:journal"
        self.contents_table = f"{namespace}:contents"

    def find(self, ids: Iterable[str]) -> dict[str, StoredImage]:
        """Return what is stored under `ids`, by id; ids that are not are left out."""
        wanted = {key_of(id): id for id in ids}
        return {wanted[hash]: stored for hash, stored in self._current(wanted)}

    def resolve(self, keys: Sequence[str]) -> dict[str, StoredImage]:
        """Return what is stored under `keys`, by key; keys without record are left out."""
        unique = list(dict.fromkeys(keys))
        values = self._metadata.get_many(self.records_table, unique)
        return {
            key: StoredImage(key, decode_record(value))
            for key, value in zip(unique, values, strict=True)
            if value is not None
        }

    def with_content(self, content: str) -> Record | None:
        """Return a stored picture whose file had these bytes (see `Record.content`)."""
        cell = self._metadata.get(self.contents_table, content)
        if cell is None:
            return None
        key = decode_key(cell)
        stored = self.resolve([key]).get(key)
        return stored.record if stored else None

    def images(self) -> Iterator[StoredImage]:
        """Yield every picture, in bounded memory and no particular order.

        One that is there before the call and stays is yielded at least once, also if
        it is replaced meanwhile.
        """
        for batch in batched(self._metadata.items(self.ids_table), _BATCH):
            for _, stored in self._current(hash for hash, _ in batch):
                yield stored

    def values(self) -> Iterator[Record]:
        """Yield the record of every picture, as `images` does."""
        return (stored.record for stored in self.images())

    def count(self) -> int:
        """Return how many pictures are stored."""
        return self._metadata.count(self.records_table)

    def removal(self, pictures: Iterable[StoredImage]) -> Change:
        """Work out how to remove pictures."""
        change = Change()
        contents: dict[str, str] = {}
        for key, record in ((stored.key, stored.record) for stored in pictures):
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
        """Work out how to store records under new keys, in place of what was `before`."""
        change = self.removal(before.values())
        for key, record in records.items():
            current = before.get(record.id)
            self._set_current(change, record.id, current.key if current else None, key)
            change.writes[Cell(self.records_table, key)] = encode_record(record)
            if record.content is not None:
                change.writes[Cell(self.contents_table, record.content)] = key.encode()
        return change

    def unlistings(self, model: str) -> Iterator[Change]:
        """Work out how to say of all pictures that they have no vector of `model`.

        In parts that a commit can take. Records that cannot be read are passed over;
        `onnxsearch.catalog.integrity` finds them.
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
        """Work out how to say that a picture has no vector of `model`; `data` is its record."""
        record = decode_record(data)
        models = tuple(name for name in record.models if name != model)
        cell = Cell(self.records_table, key)
        return Change({cell: encode_record(replace(record, models=models))}, {cell: data})

    def _current(self, hashes: Iterable[str]) -> Iterator[tuple[str, StoredImage]]:
        """Yield the hash of each id that is stored, and what is stored under it."""
        pending = list(hashes)
        for _ in range(ATTEMPTS):
            cells = self._metadata.get_many(self.ids_table, pending)
            keys = {
                hash: decode_key(key)
                for hash, key in zip(pending, cells, strict=True)
                if key is not None
            }
            stored = self.resolve(list(keys.values()))
            yield from ((hash, stored[key]) for hash, key in keys.items() if key in stored)
            # A record that is gone was replaced between the two reads: look again.
            pending = [hash for hash, key in keys.items() if key not in stored]
            if not pending:
                return
        raise StoreCorruptError(
            f"{len(pending)} ids have a key but no record: the metadata store is damaged. "
            "verify(repair=True) mends it"
        )

    def _set_current(self, change: Change, id: str, before: str | None, after: str | None) -> None:
        cell = Cell(self.ids_table, key_of(id))
        change.expect[cell] = None if before is None else before.encode()
        change.writes[cell] = None if after is None else after.encode()
