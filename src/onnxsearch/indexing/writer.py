"""The writer: images stored in commits of a useful size."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby

from onnxsearch.catalog.batching import COMMIT, record_batches
from onnxsearch.catalog.catalog import Catalog, Move, NewImage
from onnxsearch.catalog.records import Copy
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.file_metadata import FileMetadata
from onnxsearch.indexing.worker import Duplicate, PreparedImage
from onnxsearch.types import Outcome, Record, Status


class _Kind(Enum):
    NEW = "new"
    AMENDED = "amended"
    MOVED = "moved"


@dataclass(slots=True)
class Writer:
    """Stores images as they come, `COMMIT` at once.

    What is stored under an id is only replaced as it was found: an image that somebody
    else stored or removed meanwhile goes to `again`.
    """

    catalog: Catalog
    metadata: FileMetadata
    again: list[str] = field(default_factory=list[str])
    """Paths of files whose stored state changed before they were stored: look again."""
    moved: list[Record] = field(default_factory=list[Record])
    """Records of moved images as they were before, where their ids have changed."""
    _waiting: list[PreparedImage] = field(default_factory=list[PreparedImage])
    _copies: list[Copy] = field(default_factory=list[Copy])
    _ids: dict[str, str] = field(default_factory=dict[str, str])
    """Id by content of what this run stored: a worker that looked before a commit
    could not see the twin."""

    def accept(self, result: Outcome | PreparedImage | Duplicate) -> Outcome | None:
        """Store what a result asks for, now or with a later commit.

        Returns:
            The outcome; None if the file went to `again`.
        """
        if isinstance(result, Duplicate):
            return self._give_up(result)
        return self._enqueue(result) if isinstance(result, PreparedImage) else result

    def flush(self) -> None:
        """Store what is waiting."""
        waiting, self._waiting = self._waiting, []
        for kind, group in groupby(waiting, _kind):
            images = {image.record.id: image for image in group}
            for items in record_batches(_item(image) for image in images.values()):
                batch = [images[item.record.id] for item in items]
                skipped = self._store(kind, items, batch)
                self.again += [image.name for image in batch if image.record.id in skipped]
        copies, self._copies = self._copies, []
        if copies:
            self.catalog.records.remember(copies)

    def _store(self, kind: _Kind, items: list[NewImage], batch: list[PreparedImage]) -> set[str]:
        if kind is _Kind.AMENDED:
            self.catalog.amend(items)
            return set()
        if kind is _Kind.NEW:
            return self.catalog.replace(items)
        moves = [
            Move(item, image.former, image.stored)
            for item, image in zip(items, batch, strict=True)
            if image.former is not None
        ]
        skipped = self.catalog.move(moves)
        stored = [move for move in moves if move.item.record.id not in skipped]
        former = [(move.former.record, move.item.record.id) for move in stored]
        self.moved += [before for before, now in former if before.id != now]
        return skipped

    def _enqueue(self, image: PreparedImage) -> Outcome | None:
        record = image.record
        if not image.amends:
            content = record.content or record.id
            twin = self._ids.get(content, record.id)
            if twin != record.id and image.former is None and not image.keeps_its_place:
                return self._twin_of_this_run(image, twin)
            if image.stored is None:
                # The caller was not asked yet.
                try:
                    given = self.metadata.given(image.name)
                except InvalidArgumentError as error:
                    return failure(image.name, error)
                if given is not None:
                    image.record = record = replace(record, metadata=given)
            self._ids.setdefault(content, record.id)
        self._waiting.append(image)
        if len(self._waiting) >= COMMIT:
            self.flush()
        return Outcome(image.name, image.status, id=record.id)

    def _twin_of_this_run(self, image: PreparedImage, twin: str) -> Outcome | None:
        record = image.record
        if image.stored is not None:
            self.flush()
            self.again.append(image.name)  # the twin is stored now, and will be found
            return None
        if record.content is not None and record.size is not None and record.modified_ns:
            self._remember(Copy(image.name, record.content, record.size, record.modified_ns))
        return Outcome(image.name, Status.DUPLICATE, id=twin)

    def _give_up(self, duplicate: Duplicate) -> Outcome | None:
        path, twin, stored = duplicate.copy.uri, duplicate.twin, duplicate.stored
        if stored is not None:
            # Its image is no longer in the file, and that of the twin is.
            self.flush()
            if not self.catalog.give_up(stored, twin):
                self.again.append(path)
                return None
        self._remember(duplicate.copy)
        return Outcome(path, Status.DUPLICATE, id=twin.record.id)

    def _remember(self, copy: Copy) -> None:
        self._copies.append(copy)
        if len(self._copies) >= COMMIT:
            self.flush()


def _kind(image: PreparedImage) -> _Kind:
    if image.amends:
        return _Kind.AMENDED
    return _Kind.NEW if image.former is None else _Kind.MOVED


def _item(image: PreparedImage) -> NewImage:
    found = image.stored.key if image.stored is not None else None
    return NewImage(image.record, image.vectors, amends=found)
