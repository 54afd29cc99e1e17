"""What is left to do: files against what is stored already."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.records import RecordIndex, StoredImage
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue, Metadata, Outcome, Status

MetadataSource: TypeAlias = "Metadata | Callable[[Path], Metadata] | None"
"""Metadata for all files, or a function that tells a file's; None to say nothing."""

_BATCH = 256
"""Files looked up at once: one round trip to the metadata store for that many."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may have to be embedded."""

    uri: str
    size: int
    modified_ns: int
    metadata: dict[str, JSONValue]
    stored: StoredImage | None
    """What is stored under its path already."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Tells candidates from files whose outcome is clear without opening them.

    Files whose size and modification time are those of the record, with nothing
    new to store about them, are unchanged.
    """

    records: RecordIndex
    models: frozenset[str]
    """Models whose vectors a picture must have."""
    metadata: MetadataSource

    def __call__(self, paths: Iterable[str]) -> Iterator[Outcome | Candidate]:
        """Yield an outcome or a candidate for each path, in order."""
        for batch in batched(paths, _BATCH):
            stored = self.records.find(batch)
            for path in batch:
                yield self._look(path, stored.get(path))

    def _look(self, path: str, stored: StoredImage | None) -> Outcome | Candidate:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return Outcome(path, Status.MISSING, error=f"there is no file {path!r}")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            return Outcome(path, Status.BROKEN, error=f"file {path!r} cannot be read: {error}")
        if stat.S_ISDIR(status.st_mode) and not os.access(path, os.R_OK | os.X_OK):
            return Outcome(path, Status.BROKEN, error=f"folder {path!r} may not be read")
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
            return Outcome(path, Status.UNSUPPORTED, error=f"{path!r} is {kind}, not a file")
        candidate = Candidate(
            path, status.st_size, status.st_mtime_ns, self._metadata_of(path, stored), stored
        )
        if (
            stored is not None
            and same_file(stored, candidate)
            and stored.record.metadata == candidate.metadata
            and self.models.issubset(stored.record.models)
        ):
            return Outcome(path, Status.UNCHANGED, id=stored.record.id)
        return candidate

    def _metadata_of(self, path: str, stored: StoredImage | None) -> dict[str, JSONValue]:
        if self.metadata is None:
            # Nothing said: what an earlier run was told stays.
            return dict(stored.record.metadata) if stored else {}
        try:
            if callable(self.metadata):
                return check_metadata(self.metadata(Path(path)))
            return check_metadata(self.metadata)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"metadata of file {path!r}: {error}") from error


def same_file(stored: StoredImage, candidate: Candidate) -> bool:
    """Return whether the file looks as it did when it was stored."""
    record = stored.record
    return record.size == candidate.size and record.modified_ns == candidate.modified_ns
