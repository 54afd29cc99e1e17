"""The writer: images stored in commits of a useful size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby

from onnxsearch.catalog.batching import COMMIT, MOVED, record_batches
from onnxsearch.catalog.catalog import Catalog, Move, NewImage
from onnxsearch.catalog.copies import Copy
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.entries import Entry
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.file_metadata import FileMetadata
from onnxsearch.indexing.recent import RecentImages
from onnxsearch.indexing.twins import shows_copy
from onnxsearch.indexing.worker import Duplicate, PreparedImage
from onnxsearch.types import Outcome, Record, Status


class _Kind(Enum):
    NEW = "new"
    AMENDED = "amended"
    MOVED = "moved"


@dataclass(slots=True)
class Writer:
    """Stores images as they come, `COMMIT` that were embedded at once, and `MOVED` others.

    Embedding takes so long that a commit more is not noticed. Where images were only moved,
    commits take most of the time, and a crash costs next to no work.

    What is stored under an id is only replaced as it was found: a file whose image
    somebody else stored or removed meanwhile goes to `again`.
    """

    catalog: Catalog
    metadata: FileMetadata
    recent: RecentImages
    """What workers that looked before a commit could not see."""
    again: list[Entry] = field(default_factory=list[Entry])
    """What was not stored, since the stored state changed meanwhile: look again."""
    moved: list[Record] = field(default_factory=list[Record])
    """Records of moved images as they were before, where their ids have changed."""
    _waiting: list[PreparedImage] = field(default_factory=list[PreparedImage])
    _embedded: int = 0
    """How many of the images that wait were embedded."""
    _copies: list[Copy] = field(default_factory=list[Copy])
    _failed: list[str] = field(default_factory=list[str])
    """Files that show no image, or none that can be stored."""

    @property
    def is_done(self) -> bool:
        """Whether all that was accepted is stored."""
        return not self._waiting and not self._copies

    def accept(self, result: Outcome | PreparedImage | Duplicate) -> Outcome | None:
        """Store what a result asks for, now or with a later commit.

        Returns:
            The outcome; None if the image went to `again`.
        """
        if isinstance(result, Duplicate):
            return self._give_up(result)
        if isinstance(result, Outcome) and result.error is not None:
            self._failed.append(result.uri)
            if len(self._failed) >= COMMIT:
                self.flush()
        return self._enqueue(result) if isinstance(result, PreparedImage) else result

    def flush(self) -> None:
        """Store what is waiting."""
        waiting, self._waiting, self._embedded = self._waiting, [], 0
        for kind, group in groupby(waiting, _kind):
            images = {image.record.id: image for image in group}
            displaced = {
                id: image.stored.record
                for id, image in images.items()
                if kind is _Kind.MOVED and image.stored is not None
            }
            for items in record_batches(map(_item, images.values()), displaced):
                batch = [images[item.record.id] for item in items]
                skipped = self._store(kind, items, batch)
                self.again += [i.file for i in batch if i.file and i.record.id in skipped]
        failed, self._failed = self._failed, []
        if failed:
            known = self.catalog.records.copies.find(failed)
            gone = [copy for copy in known.values() if not shows_copy(copy)]
            self.catalog.records.copies.forget(gone)
        copies, self._copies = self._copies, []
        if copies:
            self.catalog.records.copies.remember(copies)

    def _store(self, kind: _Kind, items: list[NewImage], batch: list[PreparedImage]) -> set[str]:
        if kind is _Kind.AMENDED:
            self.catalog.amend(items)
            return set()
        if kind is _Kind.NEW:
            skipped = self.catalog.replace(items)
            self._insist([i for i in batch if i.file is None and i.record.id in skipped])
            return skipped
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

    def _insist(self, images: Sequence[PreparedImage]) -> None:
        """Store items in place of what others stored under their ids meanwhile."""
        for _ in attempts():
            if not images:
                return
            found = self.catalog.records.find(image.record.id for image in images)
            for image in images:
                image.stored = found.get(image.record.id)
                if image.keeps_metadata:
                    kept = image.stored.record.metadata if image.stored else {}
                    image.record = replace(image.record, metadata=kept)
            skipped = self.catalog.replace([_item(image) for image in images])
            images = [image for image in images if image.record.id in skipped]
        raise contended()

    def _enqueue(self, image: PreparedImage) -> Outcome | None:
        record = image.record
        if not image.amends:
            content = record.content or record.id
            twin = self.recent.holder(content) or record.id
            if twin != record.id and image.former is None and not image.keeps_its_place:
                return self._twin_of_this_run(image, twin)
            if image.stored is None and image.file is not None:
                # The caller was not asked yet.
                try:
                    given = self.metadata.of_file(image.file)
                except InvalidArgumentError as error:
                    return failure(image.name, error)
                if given is not None:
                    image.record = record = replace(record, metadata=given)
            self.recent.note(record.id, content)
        self._waiting.append(image)
        self._embedded += bool(image.vectors)
        if self._embedded >= COMMIT or len(self._waiting) >= MOVED:
            self.flush()
        return Outcome(image.name, image.status, id=record.id)

    def _twin_of_this_run(self, image: PreparedImage, twin: str) -> Outcome | None:
        record = image.record
        if image.stored is not None and image.file is not None:
            self.flush()
            self.again.append(image.file)  # the twin is stored now, and will be found
            return None
        if record.content is not None and record.size is not None and record.modified_ns:
            self._remember(Copy(image.name, record.content, record.size, record.modified_ns))
        return Outcome(image.name, Status.DUPLICATE, id=twin)

    def _give_up(self, duplicate: Duplicate) -> Outcome | None:
        entry, twin, stored = duplicate.entry, duplicate.twin, duplicate.stored
        if not self.recent.may_show(twin.record.id, duplicate.content):
            self.flush()
            self.again.append(entry)
            return None
        if stored is not None:
            # Its image is no longer in the file, and that of the twin is.
            self.flush()
            if not self.catalog.give_up(stored, twin):
                self.again.append(entry)
                return None
        if duplicate.copy is not None:
            self._remember(duplicate.copy)
        return Outcome(entry.name, Status.DUPLICATE, id=twin.record.id)

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
