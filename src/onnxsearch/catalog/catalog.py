"""Two stores, one truth: the protocol that keeps vectors and records together.

Every write goes under keys that were never used before. A picture's vectors lie
under its key in each model's collection, its record under the same key in the
metadata store, and one cell, `ids[id]`, says which key is the current one:

    put     1 journal, if no model of theirs is being dropped: these keys are begun
            2 vectors: store them
            3 metadata, one atomic commit, if the journal still says "begun": records,
              ids, contents; the journal now names the keys that were replaced
            4 vectors: delete those                    5 journal: done
    remove  1 metadata, one atomic commit: records gone; journal: their keys
            2 vectors: delete them                     3 journal: done
    drop    1 journal: this model goes
            2 journal: writes that were begun with it are taken back
            3 vectors: drop its collection
            4 metadata: records no longer list it      5 journal: done

A reader drops vectors without a record. So before step 3 it sees the old picture
and after it the new one, never a mix of one's vector and the other's record. Of
several writers of one id, the one whose commit comes last wins whole.

Rows are never overwritten, and keys never used twice. Therefore a write that was
cut off before step 3 is taken back, and nothing else changes with it: it had not
been acknowledged, and what its ids held before is still whole. From step 3 on, all
that is left is to delete rows. So whoever opens an engine recovers by deleting what
the journal names, which can be done twice, by several at once, and be cut off.

A model that is dropped goes for good with step 1, whoever does the rest. No write with
it begins before step 5, and those that had begun are not shown after step 2, however
long they stand still: so no record comes to list rows that went in step 3.

No clock or heartbeat tells a dead writer from a slow one, and none is needed. Taking
a write back changes its journal entry, and step 3 expects it unchanged: of the two,
exactly one comes first. A writer that was alive after all writes again under fresh
keys; its entry then says "leased", and is left alone for a minute, so that engines
that keep opening cannot keep it from ever finishing. If it dies then, the first
engine to open after that minute cleans up.

A slow writer can still store rows (step 2) after they were orphaned_rows. So an entry that
was taken back stays for an hour, and is orphaned_rows again with each open. What remains is
a process that sleeps for an hour between two steps and is killed as it wakes. It
leaves rows that nobody sees; `onnxsearch.catalog.integrity` finds them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch.catalog.journal import Entry, State, encode_entry
from onnxsearch.catalog.records import ATTEMPTS, RecordIndex, StoredImage
from onnxsearch.catalog.recovery import Recovery, replaced
from onnxsearch.catalog.serialization import check_namespace, collection_of, new_key
from onnxsearch.errors import CollectionNotFoundError, StoreError
from onnxsearch.metadata.base import MetadataStore
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.vectors.base import Vectors, VectorStore

logger = logging.getLogger("onnxsearch")

_Plan = Callable[[], "tuple[Sequence[NewImage], Mapping[str, StoredImage] | None]"]
"""What to write, and what must still be stored under its ids; None for whatever is."""


@dataclass(frozen=True, slots=True)
class NewImage:
    """One picture to store."""

    record: Record
    vectors: Mapping[str, Vectors]
    """Its vector by model, each of shape (columns,)."""
    amends: str | None = None
    """For `Catalog.amend`: the key under which the picture was found."""


class Catalog:
    """The pictures of one namespace: vectors in one store, records in another.

    Safe to use from several threads, and from several processes if both stores are.

    Args:
        vectors: Holds a collection per model.
        metadata: Holds the records and the journal.
        namespace: Keeps catalogs in the same stores apart: a letter, then letters,
            digits and single underscores, at most 64.

    Raises:
        InvalidArgumentError: The namespace is not as said.
    """

    def __init__(self, vectors: VectorStore, metadata: MetadataStore, namespace: str) -> None:
        self._namespace = check_namespace(namespace)
        self.vectors = vectors
        self.metadata = metadata
        self.records = RecordIndex(metadata, namespace)
        self.recovery = Recovery(
            metadata, self.records, self._delete, lambda m: vectors.drop(self.collection(m))
        )

    def collection(self, model: str) -> str:
        """Return the name of the collection that holds the vectors of `model`."""
        return collection_of(model, self._namespace)

    def collections(self) -> list[str]:
        """Return the names of all collections of this namespace that there are."""
        prefix = f"{self._namespace}__"
        return [name for name in self.vectors.collections() if name.startswith(prefix)]

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

    def put(self, items: Iterable[NewImage]) -> None:
        """Store pictures, each in place of what its id held before.

        When this returns, they are found, also after a crash. When it raises, none is,
        and what the ids held before is still there; either may be so only if a store
        cannot be reached any more. Of two items with one id, the last one counts.

        Raises:
            StoreError: A store failed.
        """
        last = list({item.record.id: item for item in items}.values())
        self._write(lambda: (last, None))

    def amend(self, items: Sequence[NewImage]) -> None:
        """Change the records of stored pictures, and add vectors of further models.

        One that was replaced or removed meanwhile is passed over. Its content tells; of
        one without, its key. The vectors of other models stay.

        Args:
            items: New records, with the vectors that are new.

        Raises:
            StoreError: A store failed.
        """
        self._write(lambda: self._amended(items))

    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove pictures from all models; return the ids that were there.

        When this returns, they are never found again, also after a crash.

        Raises:
            StoreError: A store failed.
        """
        self.recovery.retry()
        wanted = list(ids)
        op = new_key()
        for _ in range(ATTEMPTS):
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
        raise _contended()

    def drop(self, model: str) -> None:
        """Take a model out: its vectors, and the mention of it in every record.

        Writes with this model that are under way fail. If this is cut off, the engine
        that opens next goes on with it.

        Raises:
            StoreError: A store failed; the next write goes on with it.
        """
        self.recovery.drop(model)

    def vectors_of(self, pictures: Collection[StoredImage]) -> dict[str, dict[str, Vectors]]:
        """Return the vectors of pictures by key and model, each of shape (columns,).

        What is not there, in spite of the record, is left out.
        """
        found: dict[str, dict[str, Vectors]] = {stored.key: {} for stored in pictures}
        for model in dict.fromkeys(m for stored in pictures for m in stored.record.models):
            keys = [stored.key for stored in pictures if model in stored.record.models]
            with suppress(CollectionNotFoundError):
                for key, vector in self.vectors.fetch(self.collection(model), keys).items():
                    found[key][model] = vector
        return found

    def recover(self) -> int:
        """End every write that was begun and not ended; return how many.

        Raises:
            StoreCorruptError: A journal entry cannot be read.
            StoreError: A store failed.
        """
        return self.recovery.settle_all()

    def _delete(self, rows: Mapping[str, tuple[str, ...]]) -> None:
        for model, keys in rows.items():
            # A collection that was dropped has nothing left to delete.
            with suppress(CollectionNotFoundError):
                self.vectors.delete(self.collection(model), keys)

    def _write(self, plan: _Plan) -> None:
        self.recovery.retry()
        state = State.BEGUN
        for _ in range(ATTEMPTS):
            items, before = plan()
            if not items or self._attempt({new_key(): item for item in items}, before, state):
                return
            state = State.LEASED
        raise _contended()

    def _attempt(
        self, items: Mapping[str, NewImage], before: Mapping[str, StoredImage] | None, state: State
    ) -> bool:
        """Store the items under their new keys; return False if others came first."""
        op, begun = new_key(), Entry(state, _keys(items))
        self.recovery.begin(op, begun)
        try:
            self._store_vectors(items, begun)
            orphaned_rows = self._show(op, items, before, begun)
        except BaseException as error:
            self.recovery.postpone(op)
            # If even taking it back fails, the error of the write is the one to tell.
            with suppress(StoreError):
                if not self.recovery.take_back(op, begun) and isinstance(error, StoreError):
                    self.recovery.confirm(op)
                    logger.warning("onnxsearch: a write went through in spite of: %s", error)
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
        """Make the items visible; return whose vectors they replace, None if it is too late."""
        records = {key: item.record for key, item in items.items()}
        cell, expected = self.recovery.cell(op), encode_entry(begun)
        for _ in range(ATTEMPTS):
            found = self.records.find(r.id for r in records.values()) if before is None else before
            change = self.records.replacement(records, found)
            change.expect[cell] = expected
            change.writes[cell] = replaced(change.orphaned_rows)
            if self.metadata.commit(change.writes, expect=change.expect):
                return change.orphaned_rows
            if before is not None or self.metadata.get(*cell) != expected:
                return None
        raise _contended()

    def _amended(self, items: Sequence[NewImage]) -> tuple[list[NewImage], dict[str, StoredImage]]:
        """Return the items with all that is stored of the same content, and stays so."""
        last = {item.record.id: item for item in items}
        found = self.records.find(last)
        before = {id: stored for id, stored in found.items() if _same_picture(stored, last[id])}
        kept, dropped = self.vectors_of(before.values()), self.recovery.dropped()
        amended: list[NewImage] = []
        for id, stored in before.items():
            stays = {m: row for m, row in kept[stored.key].items() if m not in dropped}
            vectors = stays | dict(last[id].vectors)
            amended.append(NewImage(replace(last[id].record, models=tuple(vectors)), vectors))
        return amended, before


def _same_picture(stored: StoredImage, item: NewImage) -> bool:
    if item.record.content is None:
        return stored.key == item.amends
    return stored.record.content == item.record.content


def _keys(items: Mapping[str, NewImage]) -> dict[str, tuple[str, ...]]:
    """Return the keys of items by model, in order."""
    keys: dict[str, tuple[str, ...]] = {}
    for key, item in items.items():
        for model in item.vectors:
            keys[model] = (*keys.get(model, ()), key)
    return keys


def _contended() -> StoreError:
    return StoreError(
        f"other writers of the same ids were faster {ATTEMPTS} times: let fewer write at once"
    )
