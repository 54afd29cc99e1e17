"""Metadata that a caller gives for files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.entries import Entry, FileEntry
from onnxsearch.types import JSONValue, MetadataInput

MetadataSource: TypeAlias = "MetadataInput | Callable[[Path], MetadataInput] | None"
"""Metadata for every file, or a function from path to metadata; None keeps what is stored."""


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """The metadata of each file of a run.

    Args:
        source: Metadata for every file, a function from path to metadata, or None.

    Raises:
        InvalidArgumentError: Metadata for every file cannot be stored, or are too large.
    """

    source: MetadataSource

    def __post_init__(self) -> None:
        if not callable(self.source):
            check_metadata(self.source)

    def given(self, entry: Entry) -> dict[str, JSONValue] | None:
        """Return the metadata that the caller gives for an image; None keeps what is stored.

        Those of this one image come before those for every file.

        Raises:
            InvalidArgumentError: The caller's function failed, or what it returned cannot
                be stored.
        """
        if not isinstance(entry, FileEntry) or self.source is None:
            return entry.metadata
        for_all = self._of_file(entry.path)
        return for_all if entry.metadata is None else check_metadata(for_all | entry.metadata)

    def _of_file(self, path: str) -> dict[str, JSONValue]:
        if not callable(self.source):
            return check_metadata(self.source)
        try:
            return check_metadata(self.source(Path(path)))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"metadata of file {path!r}: {error}") from error
        except Exception as error:
            raise InvalidArgumentError(
                f"metadata of file {path!r}: the function raised {type(error).__name__}: {error}"
            ) from error
