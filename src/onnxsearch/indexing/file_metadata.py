"""Metadata that a caller gives for files and items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.exif import exif
from onnxsearch.indexing.entries import Entry, FileEntry
from onnxsearch.types import ImageInput, JSONValue, MetadataInput, Record

MetadataSource: TypeAlias = "MetadataInput | Callable[[Path], MetadataInput] | None"
"""Metadata for every file, or a function from path to metadata; None keeps what is stored."""

ItemMetadata: TypeAlias = "MetadataInput | Callable[[ImageInput], MetadataInput] | None"
"""Metadata for every item, or a function from an item's image to metadata, such as `exif`; None
keeps what is stored. The function receives the `Path` of a file, and otherwise the bytes, the
array or the Pillow image. Several threads call it at once."""


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """The metadata of each file or item of a run.

    Args:
        source: Metadata for all of them, a function from path or image to metadata, or None.
        ttl: Seconds after which the images expire; None keeps what is stored.

    Raises:
        InvalidArgumentError: Metadata for all cannot be stored, or are too large.
    """

    source: MetadataSource | ItemMetadata
    ttl: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.source):
            check_metadata(self.source)

    def given(self, entry: Entry, image: ImageInput) -> dict[str, JSONValue] | None:
        """Return the metadata that the caller gives for an image; None keeps what is stored.

        The fields of an item come before those for all.

        Args:
            entry: The file or item.
            image: What the caller's function receives.

        Raises:
            InvalidArgumentError: The caller's function failed, or what it returned cannot
                be stored.
        """
        if self.source is None:
            return entry.metadata
        kind = "file " if isinstance(image, Path) else ""
        for_all = self._of(image, f"{kind}{entry.name!r}")
        return for_all if entry.metadata is None else check_metadata(for_all | entry.metadata)

    def of_file(self, file: FileEntry) -> dict[str, JSONValue] | None:
        """Return what `given` returns for a file; the caller's function receives its path."""
        # A `Path` takes a tenth of the time of a file that has not changed.
        return file.metadata if self.source is None else self.given(file, Path(file.path))

    def are_stored(self, entry: Entry, record: Record) -> bool:
        """Return whether an unchanged image has what `given` would return, by its record.

        What `exif` reads depends on the image alone, so that the file need not be opened.
        """
        described = record.metadata.get("file_size") == record.size is not None
        return self.source is exif and entry.metadata is None and described

    def _of(self, image: ImageInput, name: str) -> dict[str, JSONValue]:
        if not callable(self.source):
            return check_metadata(self.source)
        function = cast("Callable[[ImageInput], MetadataInput]", self.source)
        try:
            return check_metadata(function(image))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"metadata of {name}: {error}") from error
        except Exception as error:
            raise InvalidArgumentError(
                f"metadata of {name}: the function raised {type(error).__name__}: {error}"
            ) from error


NO_METADATA = FileMetadata(None)
"""Metadata of a caller who gives none."""
