"""The metadata side of a catalog: which images are stored, and under which keys.

    ids[hash of id]    the key that is current for this id
    records[key]       the record, as JSON
    contents[hash]     the keys of the images whose files had these bytes, comma-separated
    copies, copied     files that are not stored; see `onnxsearch.catalog.copies`
    expiries[key]      the moment at which the record expires; see `onnxsearch.catalog.expiry`
    journal[op]        rows without a record; see `onnxsearch.catalog.journal`
    identity           see `onnxsearch.catalog.identity` and `onnxsearch.catalog.root_cell`

This module works changes out as plain values; the protocol commits them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import TypeAlias

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.copies import CopyIndex
from onnxsearch.catalog.expiry import Clock, decode_moment, encode_moment
from onnxsearch.catalog.keys import decode_key, decode_keys, key_of, named_ids
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.catalog.root import NO_ROOT
from onnxsearch.catalog.root_cell import RootCell
from onnxsearch.catalog.serialization import decode_record, encode_record
from onnxsearch.errors import InvalidArgumentError, StoreCorruptError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.types import Record
from onnxsearch.vectors.base import is_key

Cells: TypeAlias = dict[Cell, bytes | None]

_BATCH = 1000
"""Cells read at once when a whole table is read: bounded memory, few round trips."""

_HOLDERS = 64
"""Images of the same bytes that are listed, at most; only `add` stores more than one."""

_EXPIRED = 256
"""Images removed with one commit when they have expired."""

_UNLISTED = 256
_UNLISTED_BYTES = 8 * 2**20
"""Records changed at once, and bytes: a quarter of what a commit takes. If another engine
changes one of these records at the same moment, all wait for the next pass."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image that is stored."""

    key: str
    record: Record


_NONE: Mapping[str, StoredImage] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Change:
    """What to commit, what the commit expects, and the rows that no record names after it."""

    writes: Cells = field(default_factory=dict[Cell, "bytes | None"])
    expect: Cells = field(default_factory=dict[Cell, "bytes | None"])
    orphaned_rows: dict[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    """Keys by model."""


class RecordIndex:
    """The records of one namespace: reads them, and works out changes to them.

    An image that has expired is still held by its id, until a sweep removes it; but no method
    returns it that does not say so.

    Args:
        metadata: Holds the tables.
        namespace: Prefix of the tables' names.
        clock: Tells what has expired.
    """

    def __init__(self, metadata: MetadataStore, namespace: str, clock: Clock = time.time) -> None:
        self._metadata = metadata
        self.clock = clock
        self.ids_table = f"{namespace}:ids"
        self.records_table = f"{namespace}:records"
        self.journal_table = f"{namespace}:journal"
        self.identity_table = f"{namespace}:identity"
        self.contents_table = f"{namespace}:contents"
        self.expiries_table = f"{namespace}:expiries"
        self.root = RootCell(metadata, Cell(self.identity_table, "root"), self.records_table)
        self.copies = CopyIndex(metadata, namespace, self.root)

    def find(self, ids: Iterable[str]) -> dict[str, StoredImage]:
        """Return the images stored under `ids`, by id; unknown ids are left out."""
        held = self.held(ids).items()
        return {id: stored for id, stored in held if self.is_live(stored.record)}

    def held(
        self, ids: Iterable[str], known: Mapping[str, StoredImage] = _NONE
    ) -> dict[str, StoredImage]:
        """Return the images that `ids` hold, by id, whether they have expired or not.

        Args:
            ids: The ids.
            known: Images by key, as they were read before. Those that are still held are not
                read again, since a key is that of one image.
        """
        wanted = {key_of(id): id for id in ids}
        return {wanted[hash]: stored for hash, stored in self._current(wanted, known)}

    def is_live(self, record: Record) -> bool:
        """Return whether a record has not expired."""
        return record.expires is None or self.clock() < record.expires

    def record(self, id: str) -> Record | None:
        """Return the record of an image with the paths of its copies; None if it is not stored."""
        found = self.with_paths([stored.record for stored in self.find([id]).values()])
        return found[0] if found else None

    def existing(self, ids: Sequence[str]) -> dict[str, StoredImage]:
        """Return the images stored under `ids`, by id.

        Raises:
            InvalidArgumentError: One of them is not stored.
        """
        found = self.find(ids)
        if unknown := [id for id in ids if id not in found]:
            raise InvalidArgumentError(
                f"no image of {named_ids(unknown)} is stored. A file's id is its absolute path, or "
                "below the root of the index its path from there"
            )
        return found

    def resolve(self, keys: Sequence[str]) -> dict[str, StoredImage]:
        """Return the images stored under `keys`, by key, whether they have expired or not.

        Keys without a record are left out.
        """
        absolute = self.root.absolute()
        return {
            key: StoredImage(key, decode_record(cell, absolute))
            for key, cell in self.cells(keys).items()
        }

    def cells(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the records under `keys`, by key, as `encode_record` wrote them.

        Keys without a record are left out.
        """
        unique = list(dict.fromkeys(keys))
        values = self._metadata.get_many(self.records_table, unique)
        return {key: cell for key, cell in zip(unique, values, strict=True) if cell is not None}

    def with_contents(self, contents: Iterable[str]) -> dict[str, list[StoredImage]]:
        """Return the stored images by the hash of their bytes (see `Record.content`)."""
        wanted = list(dict.fromkeys(contents))
        cells = self._metadata.get_many(self.contents_table, wanted)
        keys = {
            content: [] if cell is None else decode_keys(cell)
            for content, cell in zip(wanted, cells, strict=True)
        }
        stored = self.resolve([key for several in keys.values() for key in several])
        return {
            content: [
                stored[key] for key in several if key in stored and self.is_live(stored[key].record)
            ]
            for content, several in keys.items()
        }

    def with_paths(self, records: Collection[Record]) -> list[Record]:
        """Return records with the paths of all files that are known to show their images."""
        contents = {record.content for record in records if record.content is not None}
        copies = self.copies.of(contents) if contents else {}
        found: list[Record] = []
        for record in records:
            own = [] if record.file is None else [record.file]
            others = [copy.uri for copy in copies.get(record.content or "", ())]
            paths = tuple(own + [path for path in others if path != record.uri])
            found.append(replace(record, paths=paths) if paths else record)
        return found

    def current_cell(self, id: str) -> Cell:
        """Return the cell that names the key that is current for an id."""
        return Cell(self.ids_table, key_of(id))

    def images(self) -> Iterator[StoredImage]:
        """Yield every image, in bounded memory and no particular order.

        An image that is stored before the call and stays is yielded at least once, also
        if it is replaced meanwhile.
        """
        for batch in batched(self._metadata.items(self.ids_table), _BATCH):
            keys = {hash: decode_key(key) for hash, key in batch}
            stored = self.resolve(list(keys.values()))
            # A record that is gone was replaced since its key was read: look again.
            again = self._current(hash for hash, key in keys.items() if key not in stored)
            for image in chain(stored.values(), (image for _, image in again)):
                if self.is_live(image.record):
                    yield image

    def shared_files(self) -> Iterator[tuple[str, ...]]:
        """Yield the paths of files of the same bytes, two at least: stored ones first."""
        for batch in batched(self._metadata.items(self.contents_table), _BATCH):
            copies = self.copies.of(content for content, _ in batch)
            shared = [content for content, keys in batch if copies[content] or b"," in keys]
            images = self.with_contents(shared)
            for content in shared:
                own = sorted(s.record.file for s in images[content] if s.record.file is not None)
                paths = dict.fromkeys(own + [copy.uri for copy in copies[content]])
                if own and len(paths) > 1:
                    yield tuple(paths)

    def values(self) -> Iterator[Record]:
        """Yield the record of every image, as `images` does."""
        return (stored.record for stored in self.images())

    def count(self) -> int:
        """Return how many images are stored."""
        # Listed after they are counted: a sweep between the two makes no image vanish.
        stored = self._metadata.count(self.records_table)
        return stored - sum(len(images) for images in self.expired())

    def expired(self) -> Iterator[list[StoredImage]]:
        """Yield the images that have expired, in batches."""
        due = (
            key
            for key, moment in self._metadata.items(self.expiries_table)
            if not self.clock() < decode_moment(moment)
        )
        for keys in batched(due, _EXPIRED):
            images = self.resolve(keys)
            # An entry whose record is gone, as after a repair, stays: it costs a few bytes.
            yield [stored for stored in images.values() if not self.is_live(stored.record)]

    def removal(self, images: Collection[StoredImage]) -> Change:
        """Work out how to remove images."""
        return self.replacement({}, images)

    def replacement(self, records: Mapping[str, Record], before: Collection[StoredImage]) -> Change:
        """Work out how to store records under new keys, in place of the images `before`."""
        change, root = Change(), self.root.read()
        current: dict[str, str] = {}
        orphaned: dict[str, list[str]] = {}
        for key, record in ((stored.key, stored.record) for stored in before):
            current[record.id] = key
            self._set_current(change, record.id, key, None)
            change.writes[Cell(self.records_table, key)] = None
            if record.expires is not None:
                change.writes[Cell(self.expiries_table, key)] = None
            for model in record.models:
                orphaned.setdefault(model, []).append(key)
        change.orphaned_rows.update({model: tuple(keys) for model, keys in orphaned.items()})
        for key, record in records.items():
            self._set_current(change, record.id, current.get(record.id), key)
            # Which copies there are is stored by content.
            stored = replace(record, paths=()) if record.paths else record
            change.writes[Cell(self.records_table, key)] = encode_record(stored, root)
            if record.expires is not None:
                change.writes[Cell(self.expiries_table, key)] = encode_moment(record.expires)
        # A file that is stored is no copy of another one.
        notes = [self.copies.cell(r.uri, root) for r in records.values() if r.uri is not None]
        noted = self._metadata.get_many(self.copies.table, [cell.key for cell in notes])
        change.writes.update(
            {cell: None for cell, data in zip(notes, noted, strict=True) if data is not None}
        )
        holders = [(key, record.content) for key, record in records.items()]
        self._set_holders(change, holders, [(s.key, s.record.content) for s in before])
        return change

    def _set_holders(
        self,
        change: Change,
        new: Iterable[tuple[str, str | None]],
        gone: Iterable[tuple[str, str | None]],
    ) -> None:
        """Let `contents` name the keys that are new, and no longer those that are gone."""
        removed = {key for key, _ in gone}
        added: dict[str, list[str]] = {content: [] for _, content in gone if content is not None}
        for key, content in new:
            if content is not None:
                added.setdefault(content, []).append(key)
        cells = self._metadata.get_many(self.contents_table, list(added))
        for (content, keys), data in zip(added.items(), cells, strict=True):
            before = [] if data is None else data.decode("ascii", "replace").split(",")
            after = [key for key in before if key not in removed and is_key(key)] + keys
            value = ",".join(after[:_HOLDERS]).encode() or None
            if value != data:
                cell = Cell(self.contents_table, content)
                change.expect[cell], change.writes[cell] = data, value

    def unlistings(self, model: str) -> Iterator[Change]:
        """Work out how to take `model` off all records, in parts that a commit can take.

        Records that cannot be read are skipped; `onnxsearch.catalog.integrity` finds them.
        """
        part, size = Change(), 0
        for key, data in self._metadata.items(self.records_table):
            try:
                listed = model in decode_record(data, NO_ROOT.absolute).models
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
        root = self.root.read()
        record = decode_record(data, root.absolute)
        models = tuple(name for name in record.models if name != model)
        cell = Cell(self.records_table, key)
        return Change({cell: encode_record(replace(record, models=models), root)}, {cell: data})

    def listings(self, records: Mapping[str, bytes], model: str) -> Change:
        """Work out how to list `model` in records, given their bytes by key."""
        change, root = Change(), self.root.read()
        for key, data in records.items():
            record = decode_record(data, root.absolute)
            if model not in record.models:
                cell, listed = Cell(self.records_table, key), (*record.models, model)
                change.writes[cell] = encode_record(replace(record, models=listed), root)
                change.expect[cell] = data
        return change

    def _current(
        self, hashes: Iterable[str], known: Mapping[str, StoredImage] = _NONE
    ) -> Iterator[tuple[str, StoredImage]]:
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
            unread = [key for key in keys.values() if key not in known]
            stored = {**known, **self.resolve(unread)}
            yield from ((hash, stored[key]) for hash, key in keys.items() if key in stored)
            # A record that is gone was replaced between the two reads: look again.
            before = {hash: key for hash, key in keys.items() if key not in stored}
            if not before:
                return
            pending = list(before)
        raise contended()

    def _set_current(self, change: Change, id: str, before: str | None, after: str | None) -> None:
        cell = self.current_cell(id)
        change.expect[cell] = None if before is None else before.encode()
        change.writes[cell] = None if after is None else after.encode()


def same_content(one: Record, other: Record) -> bool | None:
    """Return whether two images came from the same bytes; None if neither record says so."""
    if one.content is None and other.content is None:
        return None
    return one.content == other.content
