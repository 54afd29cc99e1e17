"""Change detection: which files differ from what is stored."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from onnxsearch._internal.metadata_json import same_metadata
from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.copies import Copy
from onnxsearch.catalog.records import RecordIndex, StoredImage
from onnxsearch.catalog.root import Root
from onnxsearch.errors import ImageError, InvalidArgumentError
from onnxsearch.images.image_file import check_regular
from onnxsearch.indexing.entries import Entry, FileEntry
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.file_metadata import FileMetadata, MetadataSource as MetadataSource
from onnxsearch.indexing.twins import looks_unchanged
from onnxsearch.types import JSONValue, Outcome, Record, Status


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that may have to be embedded."""

    entry: Entry
    id: str
    """The id to store it under."""
    stored: StoredImage | None
    """What is stored under this id."""
    given: dict[str, JSONValue] | None = None
    """Metadata that the caller gives for a file that is stored; None keeps what is stored.
    For others the caller is asked when they have been read."""


def detect_changes(
    entries: Iterable[Entry | Outcome],
    records: RecordIndex,
    models: frozenset[str],
    metadata: FileMetadata,
    size: int = BATCH,
) -> Iterator[Outcome | Candidate]:
    """Yield an outcome or a candidate for each entry, in order.

    A file is unchanged if its size and modification time are those of the record, the
    caller gives no other metadata, and the image has vectors of all models. A file that an
    earlier run found to be a copy is a duplicate as long as it and its twin are unchanged.
    Such files are not opened. Whether another image is unchanged shows when it is read.

    Args:
        entries: Files and other images; outcomes pass through.
        records: What is stored.
        models: Models whose vectors an image must have.
        metadata: What the caller says of the files.
        size: Entries that are looked up at once, and held in memory.
    """
    for batch in batched(entries, size):
        root = records.root.read()
        ids = [None if isinstance(entry, Outcome) else entry.id_below(root) for entry in batch]
        stored = records.find(id for id in ids if id is not None)
        files = [
            entry.path
            for entry, id in zip(batch, ids, strict=True)
            if isinstance(entry, FileEntry) and id not in stored
        ]
        copies = _known_copies(files, records)
        for entry, id in zip(batch, ids, strict=True):
            if isinstance(entry, Outcome) or id is None:
                yield cast("Outcome", entry)
            elif isinstance(entry, FileEntry):
                known = None if entry.has_own_id else copies.get(entry.path)
                yield _detect(entry, id, root, stored.get(id), known, models, metadata)
            else:
                yield Candidate(entry, id, stored.get(id))


@dataclass(frozen=True, slots=True)
class _KnownCopy:
    copy: Copy
    twin: StoredImage


def _known_copies(paths: Sequence[str], records: RecordIndex) -> dict[str, _KnownCopy]:
    """Return the files that are copies of a stored image whose file is unchanged, by path."""
    copies = records.copies.find(paths)
    images = records.with_contents(copy.content for copy in copies.values())
    found: dict[str, _KnownCopy] = {}
    for path, copy in copies.items():
        twins = images[copy.content]
        # Of several images one may have been moved to this path, which reading it shows.
        if twins and all(looks_unchanged(twin.record) for twin in twins):
            found[path] = _KnownCopy(copy, twins[0])
    return found


def _detect(
    file: FileEntry,
    id: str,
    root: Root,
    stored: StoredImage | None,
    known: _KnownCopy | None,
    models: frozenset[str],
    metadata: FileMetadata,
) -> Outcome | Candidate:
    path = file.path
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode) and not os.access(path, os.R_OK | os.X_OK):
            return Outcome(file.name, Status.BROKEN, error=f"folder {path!r} may not be read")
        check_regular(path, status)
        given = None if stored is None else _given(file, status, stored.record, metadata)
    except (ImageError, InvalidArgumentError, OSError, ValueError) as error:
        return failure(file.name, error)
    if stored is None:
        if known is not None and _is_as(status, known.copy):
            return Outcome(file.name, Status.DUPLICATE, id=known.twin.record.id)
    elif (
        _is_as(status, stored.record)
        and stored.record.uri is not None
        and root.id_of(stored.record.uri) == root.id_of(path)
        and (given is None or same_metadata(given, stored.record.metadata))
        and models.issubset(stored.record.models)
        and metadata.ttl is None
    ):
        return Outcome(file.name, Status.UNCHANGED, id=stored.record.id)
    return Candidate(file, id, stored, given)


def _given(
    file: FileEntry, status: os.stat_result, before: Record, metadata: FileMetadata
) -> dict[str, JSONValue] | None:
    if _is_as(status, before) and metadata.are_stored(file, before):
        return None
    return metadata.of_file(file)


def _is_as(status: os.stat_result, before: Record | Copy) -> bool:
    """Return whether the file looks as it did before."""
    return (status.st_size, status.st_mtime_ns) == (before.size, before.modified_ns)
