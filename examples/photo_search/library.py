"""What the application is about, in its own words. Nothing else knows of onnxsearch."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onnxsearch import F, Filter, Hit, ImageError, ImageInput, Metadata, Query, Record, SearchEngine


class UnknownPhotoError(LookupError):
    """The library holds no photo of this id."""


class UnreadablePhotoError(ValueError):
    """A file is not a photo that can be opened."""


@dataclass(frozen=True)
class Photo:
    """A photo of the library."""

    id: str
    """Its path below the folder that was imported, such as `trip/beach.jpg`."""
    album: str
    tags: tuple[str, ...]
    likeness: float | None = None
    """Cosine similarity to what was searched for; None if nothing was."""


@dataclass(frozen=True)
class ImportResult:
    """What an import did."""

    new: int
    known: int
    """Photos that the library held before, or that are copies of others."""
    refused: dict[str, str]
    """Why a file was not imported, by its path."""


class PhotoLibrary:
    """Photos in albums, with tags.

    Args:
        engine: The engine that finds photos; the caller closes it.
        least_likeness: Photos that are less alike say nothing about each other's tags.
    """

    def __init__(self, engine: SearchEngine, *, least_likeness: float = 0.4) -> None:
        self._engine = engine
        self._least_likeness = least_likeness

    def import_folder(self, folder: str | os.PathLike[str]) -> ImportResult:
        """Import all photos below a folder. Folders are albums; known photos keep their tags."""
        top = Path(folder).resolve()

        def metadata(path: Path) -> Metadata:
            id = path.relative_to(top)
            stored = self._engine.get(id.as_posix())
            tags = () if stored is None else _tags(stored.metadata)
            return {"album": id.parent.as_posix(), "tags": list(tags)}

        report = self._engine.index(top, root=top, metadata=metadata)
        counts = report.counts
        return ImportResult(
            new=counts["indexed"],
            known=counts["unchanged"] + counts["moved"] + counts["duplicate"],
            refused={failure.uri: str(failure.error) for failure in report.failures},
        )

    def photos(self, *, album: str | None = None, tag: str | None = None) -> list[Photo]:
        """Return the photos of an album, with a tag, or all, in the order of their ids."""
        records = self._engine.records(_condition(album, tag), order_by="id")
        return [_photo(record) for record in records]

    def similar(
        self, photo: ImageInput, *, album: str | None = None, limit: int = 10
    ) -> list[Photo]:
        """Return the photos that look most like a file or an upload, the most similar first.

        Raises:
            UnreadablePhotoError: It cannot be opened.
        """
        try:
            hits = self._engine.search(photo, limit=limit, filter=_condition(album, None))
        except ImageError as error:
            raise UnreadablePhotoError(str(error)) from error
        return [_photo(hit) for hit in hits]

    def more_like(self, id: str, *, limit: int = 10) -> list[Photo]:
        """Return the photos that look most like one of the library, without itself.

        Raises:
            UnknownPhotoError: The library does not hold it.
        """
        self._record(id)
        return [_photo(hit) for hit in self._engine.search(Query.id(id), limit=limit, exclude=id)]

    def tag(self, id: str, tags: Iterable[str]) -> Photo:
        """Replace the tags of a photo.

        Raises:
            UnknownPhotoError: The library does not hold it.
        """
        self._record(id)
        return _photo(self._engine.update(id, metadata={"tags": sorted(set(tags))}))

    def suggest_tags(self, id: str, *, limit: int = 3) -> list[str]:
        """Return tags that similar photos have and this one lacks, the likeliest first.

        Each of the ten most similar photos votes for its tags, with its likeness as the weight.

        Raises:
            UnknownPhotoError: The library does not hold it.
        """
        own = _tags(self._record(id).metadata)
        votes: defaultdict[str, float] = defaultdict(float)
        for photo in self.more_like(id):
            if photo.likeness is not None and photo.likeness >= self._least_likeness:
                for tag in photo.tags:
                    votes[tag] += photo.likeness
        ranked = sorted(votes, key=lambda tag: (-votes[tag], tag))
        return [tag for tag in ranked if tag not in own][:limit]

    def _record(self, id: str) -> Record:
        record = self._engine.get(id)
        if record is None:
            raise UnknownPhotoError(f"the library holds no photo {id!r}")
        return record


def _condition(album: str | None, tag: str | None) -> Filter | None:
    if album is not None and tag is not None:
        return (F("album") == album) & F("tags").contains(tag)
    if album is not None:
        return F("album") == album
    return None if tag is None else F("tags").contains(tag)


def _photo(found: Record | Hit) -> Photo:
    likeness = found.similarity if isinstance(found, Hit) else None
    album = str(found.metadata.get("album", ""))
    return Photo(found.id, album, _tags(found.metadata), likeness)


def _tags(metadata: Metadata) -> tuple[str, ...]:
    tags = metadata.get("tags")
    return tuple(map(str, tags)) if isinstance(tags, list | tuple) else ()
