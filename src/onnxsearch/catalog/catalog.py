"""The catalog: every write of the protocol that the package describes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch.catalog.identity import StoreIdentity
from onnxsearch.catalog.journal import Entry, State, encode_entry
from onnxsearch.catalog.keys import check_namespace, new_key
from onnxsearch.catalog.records import RecordIndex, StoredImage, same_content
from onnxsearch.catalog.recovery import Recovery, replaced
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.catalog.vector_rows import VectorRows
from onnxsearch.errors import StoreError
from onnxsearch.metadata.base import MetadataStore
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.vectors.base import CollectionSpec, Vectors, VectorStore

logger = logging.getLogger("onnxsearch")

_Plan = Callable[[], "tuple[Sequence[NewImage], Mapping[str, StoredImage] | None]"]
"""The items to write, and the images that their ids must still hold; None for any."""


@dataclass(frozen=True, slots=True)
class NewImage:
    """One image to store."""

    record: Record
    vectors: Mapping[str, Vectors]
    """Its vector by model, each of shape (columns,)."""
    amends: str | None = None
    """For `Catalog.amend`: the key under which the image was found."""


class Catalog:
    """The images of one namespace: vectors in one store, records in another.

    Several threads may use it at once, and several processes if both stores allow it.

    Args:
        vectors: Holds a collection per model.
        metadata: Holds the records and the journal.
        namespace: Separates catalogs in the same stores: a letter, then letters,
            digits and single underscores, at most 64.

    Raises:
        InvalidArgumentError: The namespace has another form.
    """

    def __init__(self, vectors: VectorStore, metadata: MetadataStore, namespace: str) -> None:
        check_namespace(namespace)
        self.vectors = vectors
        self.metadata = metadata
        self.records = RecordIndex(metadata, namespace)
        self.rows = VectorRows(vectors, namespace)
        self.identity = StoreIdentity(vectors, metadata, self.records, self.rows)
        self.recovery = Recovery(metadata, self.records, self.rows)

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

    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove images from all models; return the ids that were stored.

        When this returns, no search finds them again, also after a crash.

        Raises:
            StoreError: A store failed.
        """
        self.identity.confirm()
        self.recovery.retry()
        wanted = list(ids)
        op = new_key()
        for _ in attempts():
            found = self.records.find(wanted)
            if not found:
                return []
            change = self.records.removal(found.values())
            change.writes[self.recovery.cell(op)] = replaced(change.orphaned_rows)
            try:
                committed = self.metadata.commit(change.writes, expect=change.expect)
            except StoreError:
                self.recovery.postpone(op)
                raise
            if committed:
                self.recovery.clean(op, change.orphaned_rows)
                return list(found)
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

    def _write(self, plan: _Plan) -> None:
        self.identity.confirm()
        self.recovery.retry()
        state = State.BEGUN
        for _ in attempts():
            items, before = plan()
            if not items or self._attempt({new_key(): item for item in items}, before, state):
                return
            state = State.LEASED
        raise contended()

    def _attempt(
        self, items: Mapping[str, NewImage], before: Mapping[str, StoredImage] | None, state: State
    ) -> bool:
        """Store the items under their new keys; return False if another writer was first."""
        op, begun = new_key(), Entry(state, _keys(items))
        self.recovery.begin(op, begun)
        try:
            self._store_vectors(items, begun)
            orphaned_rows = self._show(op, items, before, begun)
        except BaseException as error:
            self.recovery.postpone(op)
            # If taking the write back fails too, the error of the write is reported.
            with suppress(StoreError):
                if not self.recovery.take_back(op, begun) and isinstance(error, StoreError):
                    self.recovery.confirm(op)
                    logger.warning("onnxsearch: a write succeeded in spite of: %s", error)
                    return True
            raise
        if orphaned_rows is None:
            self.recovery.take_back(op, begun)
            self.recovery.forget(op)
            return False
        self.recovery.clean(op, orphaned_rows)
        return True

    def _store_vectors(self, items: Mapping[str, NewImage], begun: Entry) -> None:
        for model, keys in begun.keys.items():
            matrix = np.stack([items[key].vectors[model] for key in keys])
            metadata = [items[key].record.metadata for key in keys]
            self.vectors.upsert(self.collection(model), keys, matrix, metadata)

    def _show(
        self,
        op: str,
        items: Mapping[str, NewImage],
        before: Mapping[str, StoredImage] | None,
        begun: Entry,
    ) -> Mapping[str, tuple[str, ...]] | None:
        """Make the items visible; return the rows they replace, None if it is too late."""
        records = {key: item.record for key, item in items.items()}
        cell, expected = self.recovery.cell(op), encode_entry(begun)
        for _ in attempts():
            found = self.records.find(r.id for r in records.values()) if before is None else before
            change = self.records.replacement(records, found)
            change.expect[cell] = expected
            change.writes[cell] = replaced(change.orphaned_rows)
            if self.metadata.commit(change.writes, expect=change.expect):
                return change.orphaned_rows
            if before is not None or self.metadata.get(*cell) != expected:
                return None
        raise contended()

    def _amended(self, items: Sequence[NewImage]) -> tuple[list[NewImage], dict[str, StoredImage]]:
        """Return the items merged into the stored images that they amend, and those images."""
        last = {item.record.id: item for item in items}
        found = self.records.find(last)
        before = {id: stored for id, stored in found.items() if _amends(last[id], stored)}
        kept, dropped = self.vectors_of(before.values()), self.recovery.dropped()
        amended: list[NewImage] = []
        for id, stored in before.items():
            stays = {m: row for m, row in kept[stored.key].items() if m not in dropped}
            vectors = stays | dict(last[id].vectors)
            amended.append(NewImage(replace(last[id].record, models=tuple(vectors)), vectors))
        return amended, before


def _amends(item: NewImage, stored: StoredImage) -> bool:
    same = same_content(item.record, stored.record)
    return stored.key == item.amends if same is None else same


def _keys(items: Mapping[str, NewImage]) -> dict[str, tuple[str, ...]]:
    """Return the keys of items by model, in order."""
    keys: dict[str, tuple[str, ...]] = {}
    for key, item in items.items():
        for model in item.vectors:
            keys[model] = (*keys.get(model, ()), key)
    return keys
