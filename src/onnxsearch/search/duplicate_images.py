"""Images of groups of duplicates, read from their files as they are now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.errors import ImageError
from onnxsearch.images.exif import exif
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.images.sharpness import SIDE, sharpness
from onnxsearch.reporting.thumbnails import Thumbnails, as_jpeg
from onnxsearch.search.keep_suggestion import DuplicateImage

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex
    from onnxsearch.types import Record

_GROUPS = 64
"""Groups whose records are read at once."""


class ReadDuplicate(NamedTuple):
    """An image of a group, as its file is now."""

    image: DuplicateImage
    thumbnail: bytes | None
    """A JPEG; None if the file is gone or cannot be read."""


@dataclass(frozen=True, slots=True)
class DuplicateReader:
    """Reads the images of groups, each file once, on all cores."""

    records: RecordIndex
    policy: ReadPolicy
    """How image files are opened: the engine's policy."""

    def read(
        self, groups: Sequence[Sequence[str]], thumbnail: int
    ) -> Iterator[list[ReadDuplicate]]:
        """Yield the images of each group, in order and in bounded memory.

        Args:
            groups: Ids, or for exact copies paths.
            thumbnail: Pixels of a thumbnail, at most.
        """
        read = ordered_map(
            partial(self._read, thumbnail), self._members(groups), workers=available_cores()
        )
        for group in groups:
            yield list(islice(read, len(group)))

    def _members(self, groups: Sequence[Sequence[str]]) -> Iterator[tuple[str, Record | None]]:
        for batch in batched(groups, _GROUPS):
            found = self.records.find([member for group in batch for member in group])
            for group in batch:
                for member in group:
                    yield member, found[member].record if member in found else None

    def _read(self, thumbnail: int, member: tuple[str, Record | None]) -> ReadDuplicate:
        id, record = member
        is_copy = record is None and os.path.isabs(id)
        path = record.file if record is not None else id if is_copy else None
        small = Thumbnails(SIDE, self.policy).image(path)
        if path is None or small is None:
            return ReadDuplicate(DuplicateImage(id, path, is_copy=is_copy), None)
        fields = _fields(path)
        image = DuplicateImage(
            id,
            path,
            width=_whole(fields.get("width")) or small.width,
            height=_whole(fields.get("height")) or small.height,
            file_size=_whole(fields.get("file_size")),
            taken=_text(fields.get("taken")),
            modified=_modified(path),
            sharpness=sharpness(small),
            is_copy=is_copy,
        )
        small.thumbnail((thumbnail, thumbnail))
        return ReadDuplicate(image, as_jpeg(small))


def _fields(path: str) -> dict[str, str | int | float]:
    try:
        return exif(path)
    except ImageError:  # gone since
        return {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _modified(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
