"""The catalog: every write of the protocol that the package describes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from onnxsearch.catalog.augmented_spaces import AugmentedSpaces, is_augmented, model_below
from onnxsearch.catalog.expiry import Clock, Sweeper
from onnxsearch.catalog.identity import StoreIdentity
from onnxsearch.catalog.journal import Entry, State, encode_entry
from onnxsearch.catalog.keys import check_namespace, new_key
from onnxsearch.catalog.keyword_index import KeywordIndex
from onnxsearch.catalog.manifest import Manifest
from onnxsearch.catalog.records import Cells, RecordIndex, StoredImage, same_content
from onnxsearch.catalog.recovery import Recovery, replaced
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.catalog.root import NO_ROOT
from onnxsearch.catalog.serialization import encode_record
from onnxsearch.catalog.vector_rows import VectorRows
from onnxsearch.errors import CollectionNotFoundError, StoreError
from onnxsearch.metadata.base import MetadataStore
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.embedders.description import ModelDescription
    from onnxsearch.filters import Filter
    from onnxsearch.vectors.base import CollectionSpec, Vectors, VectorStore

logger = logging.getLogger("onnxsearch")

Completion: TypeAlias = "Callable[[Sequence[NewImage]], Sequence[NewImage]]"
"""Returns images with the vectors that are computed of those they have."""

_Planned: TypeAlias = "tuple[Sequence[NewImage], Mapping[str, StoredImage] | None]"
"""The items to write, and the images that they replace; None for whatever their ids hold."""


@dataclass(frozen=True, slots=True)
class NewImage:
    """One image to store."""

    record: Record
    vectors: Mapping[str, Vectors]
    """Its vector by model, each of shape (columns,)."""
    amends: str | None = None
    """For `Catalog.amend` and `Catalog.replace`: the key under which the image was found.
    To amend an image under whatever key: None. Its content must then be known."""


@dataclass(frozen=True, slots=True)
class Move:
    """A stored image whose file has another path now."""

    item: NewImage
    """The record for the new path, with vectors of models that the image lacked."""
    former: StoredImage
    """What was stored of the image, under the same id or under its former path."""
    displaced: StoredImage | None = None
    """What was stored under the new path, of a file that is no longer there."""


class Catalog:
    """The images of one namespace: vectors in one store, records in another.

    Several threads may use it at once, and several processes if both stores allow it.

    Args:
        vectors: Holds a collection per model.
        metadata: Holds the records and the journal.
        namespace: Separates catalogs in the same stores: a letter, then letters,
            digits and single underscores, at most 64.
        clock: Returns the time in seconds since 1970.

    Raises:
        InvalidArgumentError: The namespace has another form.
    """

    def __init__(
        self,
        vectors: VectorStore,
        metadata: MetadataStore,
        namespace: str,
        clock: Clock = time.time,
    ) -> None:
        self.namespace = check_namespace(namespace)
        self.vectors = vectors
        self.metadata = metadata
        self.records = RecordIndex(metadata, namespace, clock)
        self.keywords = KeywordIndex(metadata, self.records.records_table)
        self.rows = VectorRows(vectors, namespace)
        self.identity = StoreIdentity(vectors, metadata, self.records, self.rows)
        self.manifest = Manifest(metadata, namespace)
        self.spaces = AugmentedSpaces(metadata, namespace)
        self.recovery = Recovery(metadata, self.records, self.rows, self.manifest, self.spaces)
        self.complete: Completion = list
        self.sweeper = Sweeper(self.records, self.discard)

    def collection(self, model: str) -> str:
        """Return the name of the collection that holds the vectors of `model`."""
        return self.rows.collection(model)

    def collections(self) -> list[str]:
        """Return the names of all existing collections of this namespace."""
        return self.rows.collections()

    def whereabouts(self, model: str) -> str:
        """Return a remark on where vectors of a model are that an engine does not have."""
        own = self.collection(model)
        stored = self.vectors.collections()
        if own in stored:
            return ". Its vectors are stored, but this engine was made without its embedder"
        _, _, name = own.partition("__")
        for namespace, _, other in (collection.partition("__") for collection in stored):
            if other == name:
                return (
                    f". Namespace {namespace!r} has one of that name: models of different "
                    "namespaces hold different images, and each has its own engine"
                )
        return ""

    def ensure_collection(self, model: str, space: CollectionSpec) -> None:
        """Create the collection of a model, or check that it is of this space.

        Args:
            model: The model.
            space: What the collection must hold; its name and owner do not count.

        Raises:
            SpaceMismatchError: It is of another space.
            StoreMismatchError: Its vectors belong to other records.
        """
        owner = self.identity.owner_of(model)
        self.vectors.ensure_collection(replace(space, name=self.collection(model), owner=owner))

    def remember(self, models: Sequence[ModelDescription]) -> None:
        """Note in the manifest which models the vectors are of; see `Manifest.remember`."""
        # Records that are not known to belong to the vectors are left as they are.
        if self.identity.is_confirmed:
            self.manifest.remember(models)

    def put(self, items: Iterable[NewImage]) -> None:
        """Store images, each in place of what its id held before.

        When this returns, searches find the images, also after a crash. When it raises,
        searches find none of them, and the ids still hold what they held before; only
        when a store can no longer be reached may either be the case. Of two items with
        one id, the last one counts.

        Raises:
            StoreError: A store failed.
        """
        last = list({item.record.id: item for item in items}.values())
        self._write(lambda: (last, None))

    def amend(self, items: Sequence[NewImage]) -> None:
        """Change the records of stored images, and add vectors of further models.

        Skips an image that was replaced or removed meanwhile, judged by its content hash
        or, without one, by its key. The vectors of other models stay.

        Args:
            items: New records, with the vectors that are new.

        Raises:
            StoreError: A store failed.
        """
        self._write(lambda: self._amended(items))

    def replace(self, items: Sequence[NewImage]) -> set[str]:
        """Store images, each if its id still holds what it was found to hold.

        Args:
            items: New images. `NewImage.amends` is the key that the id held; None if it
                held nothing.

        Returns:
            The ids of the items that were skipped, since the id holds something else.

        Raises:
            StoreError: A store failed.
        """
        skipped: set[str] = set()

        def plan() -> _Planned:
            held = self.records.held(item.record.id for item in items)
            keys = {id: s.key for id, s in held.items() if self.records.is_live(s.record)}
            kept = [item for item in items if keys.get(item.record.id) == item.amends]
            kept_ids = {item.record.id for item in kept}
            skipped.update({item.record.id for item in items} - kept_ids)
            return kept, {id: held[id] for id in kept_ids & held.keys()}

        self._write(plan)
        return skipped

    def move(self, moves: Sequence[Move]) -> set[str]:
        """Store images under their new paths, with the vectors that they have.

        What was stored under the new path takes the former path of the image, so that a
        later move can find it there.

        Returns:
            The ids of the items that were skipped, since something else is stored there.

        Raises:
            StoreError: A store failed.
        """
        skipped: set[str] = set()
        self._write(lambda: self._moved(moves, skipped))
        return skipped

    def update(self, id: str, change: Callable[[Record], Record]) -> Record:
        """Replace the record of a stored image; its vectors stay.

        No change of another writer is lost: if one comes first, `change` is called again.

        Args:
            id: The image.
            change: Returns the new record, from the one that is stored.

        Returns:
            The record that is stored now.

        Raises:
            InvalidArgumentError: No image of this id is stored.
            StoreError: A store failed; the image is as it was.
        """
        updated: list[Record] = []

        def plan() -> _Planned:
            stored = self.records.existing([id])[id]
            item = _with_vectors(change(stored.record), self._kept_vectors([stored])[stored.key])
            updated[:] = [item.record]
            # Bytes, because Python finds 1 and True equal.
            if encode_record(item.record, NO_ROOT) == encode_record(stored.record, NO_ROOT):
                return [], None
            return [item], {id: stored}

        self._write(plan)
        return updated[0]

    def remove(self, ids: Iterable[str], filter: Filter | None = None) -> list[str]:
        """Remove images from all models; return the ids that were stored.

        When this returns, no search finds them again, also after a crash.

        Args:
            ids: The images.
            filter: Keeps images whose metadata do not match when they are removed.

        Raises:
            StoreError: A store failed.
        """
        wanted = list(ids)

        def found() -> list[StoredImage]:
            stored = self.records.find(wanted).values()
            return [s for s in stored if filter is None or filter.matches(s.record.metadata)]

        return self._remove(found)

    def discard(self, images: Collection[StoredImage]) -> list[str]:
        """Remove images as `remove` does, but skip those that were replaced meanwhile."""
        return self._remove(lambda: self._current(images))

    def give_up(self, stored: StoredImage, twin: StoredImage) -> bool:
        """Remove an image whose file shows the same as that of `twin`.

        Returns:
            Whether it was removed. It is not if one of the two was replaced meanwhile.
        """

        def both() -> list[StoredImage]:
            return [stored] if len(self._current([stored, twin])) == 2 else []

        expect: Cells = {self.records.current_cell(twin.record.id): twin.key.encode()}
        return bool(self._remove(both, expect))

    def _remove(
        self, find: Callable[[], Collection[StoredImage]], expect: Cells | None = None
    ) -> list[str]:
        self.identity.confirm()
        self.recovery.retry()
        op = new_key()
        for _ in attempts():
            found = find()
            if not found:
                return []
            change = self.records.removal(found)
            change.expect.update(expect or {})
            change.writes[self.recovery.cell(op)] = replaced(change.orphaned_rows)
            try:
                committed = self.metadata.commit(change.writes, expect=change.expect)
            except StoreError:
                self.recovery.postpone(op)
                raise
            if committed:
                self.recovery.clean(op, change.orphaned_rows)
                return [stored.record.id for stored in found]
        raise contended()

    def drop(self, model: str) -> None:
        """Remove a model: its vectors, and its name in every record.

        Unfinished writes with this model fail. If the drop is cut off, the engine that
        opens next continues it.

        Raises:
            StoreError: A store failed; the next write continues the drop.
        """
        self.identity.confirm()
        self.recovery.drop(model)

    def vectors_of(self, images: Collection[StoredImage]) -> dict[str, dict[str, Vectors]]:
        """Return the vectors of images by key and model; see `VectorRows.of_images`."""
        return self.rows.of_images(images)

    def recover(self) -> int:
        """Finish or take back every interrupted write; return how many there were.

        Raises:
            StoreCorruptError: A journal entry cannot be read.
            StoreError: A store failed.
        """
        return self.recovery.settle_all()

    def _write(self, plan: Callable[[], _Planned]) -> None:
        self.identity.confirm()
        self.recovery.retry()
        self.sweeper.sweep_some()
        state = State.BEGUN
        for _ in attempts():
            planned, before = plan()
            items = {new_key(): item for item in self.complete(planned)}
            try:
                if not items or self._attempt(items, before, state):
                    return
            except CollectionNotFoundError:
                if not self._lacks_space(items.values()):
                    raise
            state = State.LEASED
        raise contended()

    def _lacks_space(self, items: Iterable[NewImage]) -> bool:
        """Return whether items have vectors of an augmented space that was dropped meanwhile."""
        names = {name for item in items for name in item.vectors if is_augmented(name)}
        return len(self.spaces.of(map(model_below, names))) < len(names)

    def _attempt(
        self, items: Mapping[str, NewImage], before: Mapping[str, StoredImage] | None, state: State
    ) -> bool:
        """Store the items under their new keys; return False if another writer was first."""
        op, entry = new_key(), Entry(state, _keys(items))
        self.recovery.begin(op, entry)
        try:
            self._store_vectors(items, entry)
            orphaned_rows = self._publish(op, items, before, entry)
        except BaseException as error:
            self.recovery.postpone(op)
            # If taking the write back fails too, the error of the write is reported.
            with suppress(StoreError):
                if not self.recovery.take_back(op, entry) and isinstance(error, StoreError):
                    self.recovery.confirm(op)
                    logger.warning("onnxsearch: a write succeeded in spite of: %s", error)
                    return True
            raise
        if orphaned_rows is None:
            self.recovery.take_back(op, entry)
            self.recovery.forget(op)
            return False
        self.recovery.clean(op, orphaned_rows)
        return True

    def _store_vectors(self, items: Mapping[str, NewImage], entry: Entry) -> None:
        for model, keys in entry.keys.items():
            matrix = np.stack([items[key].vectors[model] for key in keys])
            metadata = [items[key].record.metadata for key in keys]
            # The records have the metadata as a whole.
            self.vectors.upsert(self.collection(model), keys, matrix, metadata, partial=True)

    def _publish(
        self,
        op: str,
        items: Mapping[str, NewImage],
        before: Mapping[str, StoredImage] | None,
        entry: Entry,
    ) -> Mapping[str, tuple[str, ...]] | None:
        """Make the items visible; return the rows they replace, None if it is too late."""
        records = {key: item.record for key, item in items.items()}
        cell, expected = self.recovery.cell(op), encode_entry(entry)
        for _ in attempts():
            found = self.records.held(r.id for r in records.values()) if before is None else before
            change = self.records.replacement(records, found.values())
            change.expect[cell] = expected
            change.writes[cell] = replaced(change.orphaned_rows)
            if self.metadata.commit(change.writes, expect=change.expect):
                return change.orphaned_rows
            if before is not None or self.metadata.get(*cell) != expected:
                return None
        raise contended()

    def _current(self, images: Collection[StoredImage]) -> list[StoredImage]:
        """Return those of `images` that were not replaced."""
        found = self.records.held(stored.record.id for stored in images)
        keys = {stored.key for stored in found.values()}
        return [stored for stored in images if stored.key in keys]

    def _moved(
        self, moves: Sequence[Move], skipped: set[str]
    ) -> tuple[list[NewImage], dict[str, StoredImage]]:
        """Return the items that store the moves, and the images that they replace."""
        taken = [[s for s in (move.former, move.displaced) if s] for move in moves]
        kept = self._kept_vectors([stored for several in taken for stored in several])
        ids = {stored.record.id for several in taken for stored in several}
        root = self.records.root.read()
        places = {m.former.key: root.id_of(m.former.record.uri or "") for m in moves}
        ids |= {id for m in moves for id in (m.item.record.id, places[m.former.key]) if id}
        present = self.records.held(ids, {s.key: s for several in taken for s in several})
        found = {id: s.key for id, s in present.items() if self.records.is_live(s.record)}
        items: dict[str, NewImage] = {}
        before: dict[str, StoredImage] = {}
        for move, several in zip(moves, taken, strict=True):
            record, former, displaced = move.item.record, move.former, move.displaced
            held = {stored.record.id: stored.key for stored in several}
            free = record.id in held or record.id not in found
            # An image that an earlier move of this batch takes waits for the next look.
            if held.keys() & before.keys() or not free or not held.items() <= found.items():
                skipped.add(record.id)
                continue
            before |= {stored.record.id: stored for stored in several}
            items[record.id] = _with_vectors(record, kept[former.key] | dict(move.item.vectors))
            place = places[former.key]
            if displaced and place and found.get(place) in (None, former.key):
                moved = replace(displaced.record, id=place, uri=former.record.uri)
                items.setdefault(place, _with_vectors(moved, kept[displaced.key]))
        # An image that has expired makes room.
        return list(items.values()), {id: present[id] for id in items if id in present} | before

    def _kept_vectors(self, images: Collection[StoredImage]) -> dict[str, dict[str, Vectors]]:
        """Return the vectors of images by key and model, but for models that are being dropped."""
        dropped = self.recovery.dropped()
        return {
            key: {model: row for model, row in rows.items() if model not in dropped}
            for key, rows in self.vectors_of(images).items()
        }

    def _amended(self, items: Sequence[NewImage]) -> tuple[list[NewImage], dict[str, StoredImage]]:
        """Return the items merged into the stored images that they amend, and those images."""
        last = {item.record.id: item for item in items}
        found = self.records.held(last)
        before = {id: stored for id, stored in found.items() if _amends(last[id], stored)}
        kept = self._kept_vectors(before.values())
        amended: list[NewImage] = []
        for id, stored in before.items():
            # The record of an image that was stored again, from the same bytes, stays as well.
            seen = last[id].amends in (None, stored.key)
            record = last[id].record if seen else stored.record
            amended.append(_with_vectors(record, kept[stored.key] | dict(last[id].vectors)))
        return amended, before


def _with_vectors(record: Record, vectors: Mapping[str, Vectors]) -> NewImage:
    return NewImage(replace(record, models=tuple(vectors)), vectors)


def _amends(item: NewImage, stored: StoredImage) -> bool:
    same = same_content(item.record, stored.record)
    return stored.key == item.amends if same is None else same


def _keys(items: Mapping[str, NewImage]) -> dict[str, tuple[str, ...]]:
    """Return the keys of items by model, in order."""
    keys: dict[str, list[str]] = {}
    for key, item in items.items():
        for model in item.vectors:
            keys.setdefault(model, []).append(key)
    return {model: tuple(several) for model, several in keys.items()}
