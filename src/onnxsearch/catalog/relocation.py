"""Setting the root of a namespace, and storing by relative paths what is below it.

Records get their new ids under the keys that they have, so that no vector is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.copies import decode_copy, encode_copy
from onnxsearch.catalog.keys import key_of
from onnxsearch.catalog.records import Change, StoredImage
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.catalog.root_cell import decode_root, number_in
from onnxsearch.catalog.serialization import decode_record, encode_record
from onnxsearch.errors import InvalidArgumentError, StoreCorruptError
from onnxsearch.metadata.base import Cell
from onnxsearch.types import Record
from onnxsearch.vectors.base import is_key

if TYPE_CHECKING:
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.catalog.records import RecordIndex
    from onnxsearch.catalog.root import Root

_CHANGES = 1000
_CHANGES_BYTES = 8 * 2**20
"""Cells changed with one commit, and their bytes: a quarter of what a commit takes."""


def set_root(catalog: Catalog, path: str | None) -> Root:
    """Let files below a folder be stored by their paths relative to it; return the root.

    Files that are stored by absolute paths below it get relative ones, and ids to match. If
    this is cut off, the next call continues. No file is read.

    Args:
        catalog: The namespace, which has one root.
        path: Absolute path of the folder; None for the root that the namespace has, if any.

    Raises:
        InvalidArgumentError: The namespace has another root, in which its files still are.
        StoreError: A store failed.
    """
    catalog.identity.confirm()
    cell = catalog.records.root
    for _ in attempts():
        before, root = cell.stored(), cell.read()
        goal = root.path if path is None else path
        if goal is None:
            return root
        if path is not None and root.path is not None:
            _check_moved(catalog.records, root.path, path)
        settled = before is not None and root.path == goal and decode_root(before).settled
        if cell.write(goal, settled=settled, expect=before):
            if not settled:
                _settle(catalog, goal)
            return cell.read()
    raise contended()


def _check_moved(records: RecordIndex, before: str, path: str) -> None:
    """Raise if the stored files are still in the folder `before`, and not in the new one."""
    with suppress(OSError):
        if before == path or os.path.samefile(before, path):
            return
    sample = records.root.sample()
    if number_in(before, sample) > number_in(path, sample):
        raise InvalidArgumentError(
            f"root {path!r}: the files of this index are stored by their paths relative to "
            f"{before!r}, and they are still there. An index has one root: leave root= out to "
            f"continue with {before!r}, or store the files of {path!r} under another namespace. "
            "If the album moves, move all of it first"
        )


def _settle(catalog: Catalog, path: str) -> None:
    """Store by relative paths what is stored by absolute paths below the root."""
    cell = catalog.records.root
    for _ in attempts():
        before, root = cell.stored(), cell.read()
        if root.path != path:
            return  # another engine has moved the root on
        missed = False
        for batch in batched(catalog.records.images(), BATCH):
            catalog.discard(_superseded(catalog, root, batch))
        for change in _parts(chain(_records(catalog, root), _copies(catalog, root))):
            missed |= not catalog.metadata.commit(change.writes, expect=change.expect)
        catalog.records.copies.unlist()
        if not missed and cell.write(path, settled=True, expect=before):
            return
    raise contended()


def _superseded(catalog: Catalog, root: Root, images: Sequence[StoredImage]) -> list[StoredImage]:
    """Return images that were stored again under an absolute path, and those of older paths.

    A file that is added at its new path before the index knows its new root has two records.
    """
    own = [(root.id_of(str(s.record.uri)), s) for s in images if root.gave_id(s.record)]
    absolute = {id: stored for id, stored in own if id != stored.record.id}
    return [
        min(absolute[id], other, key=lambda each: each.key)  # keys sort by time
        for id, other in catalog.records.find(absolute).items()
        if other.record.uri == absolute[id].record.uri
    ]


class _Absolute(NamedTuple):
    """A record that is stored by an absolute path below the root."""

    key: str
    record: Record
    data: bytes
    id: str
    """Its id below the root."""


def _records(catalog: Catalog, root: Root) -> Iterator[Change]:
    """Yield the change to each record that is stored by an absolute path below the root."""
    records, metadata = catalog.records, catalog.metadata
    for batch in batched(metadata.items(records.records_table), BATCH):
        found = list(_absolute(batch, root))
        ids = [key_of(id) for each in found for id in (each.record.id, each.id)]
        keys = metadata.get_many(records.ids_table, ids)
        for each, current, taken in zip(found, keys[::2], keys[1::2], strict=True):
            if current == each.key.encode():  # else it is being replaced
                # An id that the caller chose for another image stays with it.
                yield _change(records, each, root, each.id if taken is None else each.record.id)


def _absolute(items: Iterable[tuple[str, bytes]], root: Root) -> Iterator[_Absolute]:
    for key, data in items:
        # `onnxsearch.catalog.integrity` finds what cannot be read.
        with suppress(StoreCorruptError):
            record = decode_record(data, root.absolute)
            if is_key(key) and encode_record(record, root) != data:
                id = root.id_of(str(record.uri)) if root.gave_id(record) else record.id
                yield _Absolute(key, record, data, id)


def _change(records: RecordIndex, stored: _Absolute, root: Root, id: str) -> Change:
    """Work out how to store a record by its relative path, under this id."""
    change, cell = Change(), Cell(records.records_table, stored.key)
    change.writes[cell] = encode_record(replace(stored.record, id=id), root)
    change.expect[cell] = stored.data
    # It may have been a copy when it was last seen below the root.
    change.writes[records.copies.cell(str(stored.record.uri), root)] = None
    if id != stored.record.id:
        old, new, key = records.current_cell(stored.record.id), records.current_cell(id), stored.key
        change.writes.update({old: None, new: key.encode()})
        change.expect.update({old: key.encode(), new: None})
    return change


def _copies(catalog: Catalog, root: Root) -> Iterator[Change]:
    """Yield the change to each note of a copy that is stored by an absolute path."""
    table = catalog.records.copies.table
    for key, data in catalog.metadata.items(table):
        copy = decode_copy(data, root.absolute)
        if copy is not None and (new := encode_copy(copy, root)) != data:
            before, after = Cell(table, key), catalog.records.copies.cell(copy.uri, root)
            yield Change({before: None} | {after: new}, {before: data})


def _parts(changes: Iterable[Change]) -> Iterator[Change]:
    """Merge changes into parts that a commit can take."""
    part, size = Change(), 0
    for change in changes:
        part.writes.update(change.writes)
        part.expect.update(change.expect)
        size += sum(
            len(data) for data in (*change.writes.values(), *change.expect.values()) if data
        )
        if len(part.writes) >= _CHANGES or size >= _CHANGES_BYTES:
            yield part
            part, size = Change(), 0
    if part.writes:
        yield part
