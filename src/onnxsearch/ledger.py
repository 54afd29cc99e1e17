"""The metadata side of a catalog: which pictures there are, and under which keys.

    ids[hash of id]    the key that is current for this id
    records[key]       the record, as JSON
    contents[hash]     the key of a picture whose file had these bytes
    journal[op]        a write under way; see `onnxsearch.consistency`

Changes are worked out here as plain values; the protocol commits them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from onnxsearch.errors import StoreCorruptError
from onnxsearch.journal import Amend, Put
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.records import decode_record, encode_record, key_of
from onnxsearch.types import Record

Cells: TypeAlias = dict[Cell, bytes | None]

ATTEMPTS = 1000
"""How often other writers of the same ids may be faster. A store that lets nobody
through this often is broken, and a loop without end would hide it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One picture that is stored."""

    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Change:
    """What to commit, what must still be so, and whose vectors are nobody's after it."""

    writes: Cells = field(default_factory=dict[Cell, "bytes | None"])
    expect: Cells = field(default_factory=dict[Cell, "bytes | None"])
    swept: dict[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    """Keys by model."""


class Ledger:
    """Reads the records of one namespace, and works out changes to them.

    Args:
        metadata: Where the tables are.
        namespace: Prefix of the tables' names.
    """

    def __init__(self, metadata: MetadataStore, namespace: str) -> None:
        self._metadata = metadata
        self._ids = f"{namespace}:ids"
        self._records = f"{namespace}:records"
        self._contents = f"{namespace}:contents"

    def find(self, ids: Iterable[str]) -> dict[str, Stored]:
        """Return what is stored under `ids`, by id; ids that are not are left out."""
        found: dict[str, Stored] = {}
        pending = list(dict.fromkeys(ids))
        for _ in range(ATTEMPTS):
            cells = self._metadata.get_many(self._ids, [key_of(id) for id in pending])
            keys = {id: cell.decode() for id, cell in zip(pending, cells, strict=True) if cell}
            stored = self.resolve(list(keys.values()))
            found |= {id: stored[key] for id, key in keys.items() if key in stored}
            # A record that is gone was replaced between the two reads: look again.
            pending = [id for id, key in keys.items() if key not in stored]
            if not pending:
                return found
        raise StoreCorruptError(
            f"id {pending[0]!r} has a key but no record: the metadata store is damaged"
        )

    def resolve(self, keys: Sequence[str]) -> dict[str, Stored]:
        """Return what is stored under `keys`, by key; keys without record are left out."""
        unique = list(dict.fromkeys(keys))
        values = self._metadata.get_many(self._records, unique)
        return {
            key: Stored(key, decode_record(value))
            for key, value in zip(unique, values, strict=True)
            if value is not None
        }

    def with_content(self, content: str) -> Record | None:
        """Return a stored picture whose file had these bytes (see `Record.content`)."""
        key = self._metadata.get(self._contents, content)
        if key is None:
            return None
        stored = self.resolve([key.decode()]).get(key.decode())
        return stored.record if stored else None

    def records(self) -> Iterator[Record]:
        """Yield the record of every picture, in bounded memory, at least once each."""
        for _, value in self._metadata.items(self._records):
            yield decode_record(value)

    def count(self) -> int:
        """Return how many pictures are stored."""
        return self._metadata.count(self._records)

    def removal(self, pictures: Iterable[Stored]) -> Change:
        """Work out how to remove pictures."""
        change = Change()
        contents: dict[str, str] = {}
        for key, record in ((stored.key, stored.record) for stored in pictures):
            self._set_current(change, record.id, key, None)
            change.writes[Cell(self._records, key)] = None
            if record.content is not None:
                contents[record.content] = key
            for model in record.models:
                change.swept[model] = (*change.swept.get(model, ()), key)
        holders = self._metadata.get_many(self._contents, list(contents))
        for (content, key), holder in zip(contents.items(), holders, strict=True):
            if holder == key.encode():
                change.writes[Cell(self._contents, content)] = None
                change.expect[Cell(self._contents, content)] = holder
        return change

    def replacement(self, entry: Put) -> Change:
        """Work out how to store pictures in place of what their ids held before."""
        before = self.find(record.id for record in entry.records.values())
        change = self.removal(before.values())
        for key, record in entry.records.items():
            current = before.get(record.id)
            self._set_current(change, record.id, current.key if current else None, key)
            change.writes[Cell(self._records, key)] = encode_record(record)
            if record.content is not None:
                change.writes[Cell(self._contents, record.content)] = key.encode()
        return change

    def amendment(self, entry: Amend) -> Change:
        """Work out how to rewrite records where they still stand."""
        change = Change()
        keys = list(entry.records)
        gone: list[str] = []
        for key, value in zip(keys, self._metadata.get_many(self._records, keys), strict=True):
            cell = Cell(self._records, key)
            change.expect[cell] = value
            if value is None:
                gone.append(key)
            else:
                record = entry.records[key]
                models = dict.fromkeys((*decode_record(value).models, *record.models))
                change.writes[cell] = encode_record(replace(record, models=tuple(models)))
        if gone:
            change.swept.update(dict.fromkeys(entry.vectors, tuple(gone)))
        return change

    def _set_current(self, change: Change, id: str, before: str | None, after: str | None) -> None:
        cell = Cell(self._ids, key_of(id))
        change.expect[cell] = None if before is None else before.encode()
        change.writes[cell] = None if after is None else after.encode()
