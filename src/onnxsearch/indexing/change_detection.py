"""Change detection: which files differ from what is stored."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.records import Copy, RecordIndex, StoredImage
from onnxsearch.catalog.root import Root
from onnxsearch.errors import ImageError, InvalidArgumentError
from onnxsearch.images.image_file import check_regular
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.file_metadata import FileMetadata, MetadataSource as MetadataSource
from onnxsearch.indexing.twins import looks_unchanged
from onnxsearch.types import JSONValue, Outcome, Record, Status


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may have to be embedded."""

    uri: str
    id: str
    """The id that its path gives it."""
    stored: StoredImage | None
    """The image that is stored under this id."""
    given: dict[str, JSONValue] | None
    """Metadata that the caller gives for a file that is stored; None keeps what is stored.
    For other files the caller is asked when their image is known to be good."""


def detect_changes(
    entries: Iterable[str | Outcome],
    records: RecordIndex,
    models: frozenset[str],
    metadata: FileMetadata,
) -> Iterator[Outcome | Candidate]:
    """Yield an outcome or a candidate for each file, in order.

    A file is unchanged if its size and modification time are those of the record, the
    caller gives no other metadata, and the image has vectors of all models. A file that an
    earlier run found to be a copy is a duplicate as long as it and its twin are unchanged.
    Such files are not opened.

    Args:
        entries: Absolute paths; outcomes pass through.
        records: What is stored.
        models: Models whose vectors an image must have.
        metadata: What the caller says of the files.
    """
    for batch in batched(entries, BATCH):
        paths = [entry for entry in batch if isinstance(entry, str)]
        root = records.root.read()
        ids = {path: root.id_of(path) for path in paths}
        stored = records.find(ids.values())
        copies = _known_copies([path for path in paths if ids[path] not in stored], records)
        for entry in batch:
            if isinstance(entry, Outcome):
                yield entry
            else:
                known, image = copies.get(entry), stored.get(ids[entry])
                yield _detect(entry, root, image, known, models, metadata)


@dataclass(frozen=True, slots=True)
class _KnownCopy:
    copy: Copy
    twin: StoredImage


def _known_copies(paths: Sequence[str], records: RecordIndex) -> dict[str, _KnownCopy]:
    """Return the files that are copies of a stored image whose file is unchanged, by path."""
    copies = records.copies(paths)
    images = records.with_contents(copy.content for copy in copies.values())
    found: dict[str, _KnownCopy] = {}
    for path, copy in copies.items():
        twins = images[copy.content]
        # Of several images one may have been moved to this path, which reading it shows.
        if twins and all(looks_unchanged(twin.record) for twin in twins):
            found[path] = _KnownCopy(copy, twins[0])
    return found


def _detect(
    path: str,
    root: Root,
    stored: StoredImage | None,
    known: _KnownCopy | None,
    models: frozenset[str],
    metadata: FileMetadata,
) -> Outcome | Candidate:
    try:
        status = os.stat(path)
        if os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK):
            return Outcome(path, Status.BROKEN, error=f"folder {path!r} may not be read")
        check_regular(path, status)
        given = metadata.given(path) if stored is not None else None
    except (ImageError, InvalidArgumentError, OSError, ValueError) as error:
        return failure(path, error)
    id = root.id_of(path)
    if stored is None:
        if known is not None and _is_as(status, known.copy):
            return Outcome(path, Status.DUPLICATE, id=known.twin.record.id)
    elif (
        _is_as(status, stored.record)
        and stored.record.uri is not None
        and root.id_of(stored.record.uri) == id
        and given in (None, stored.record.metadata)
        and models.issubset(stored.record.models)
    ):
        return Outcome(path, Status.UNCHANGED, id=stored.record.id)
    return Candidate(path, id, stored, given)


def _is_as(status: os.stat_result, before: Record | Copy) -> bool:
    """Return whether the file looks as it did before."""
    return (status.st_size, status.st_mtime_ns) == (before.size, before.modified_ns)
