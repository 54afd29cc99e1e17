"""Two stores, one truth: the protocol that keeps vectors and records together.

Every write goes under a key that was never used before. A picture's vectors lie
under that key in each model's collection, its record under the same key in the
metadata store, and one cell, `ids[id]`, says which key is the current one:

    put     1 journal: the whole entry, vectors included
            2 vectors: upsert under the new keys
            3 metadata, one atomic commit: records, ids, contents; the journal
              entry becomes a sweep of the keys that were replaced, or goes
            4 vectors: delete what was replaced        5 journal: done
    remove  1 metadata, one atomic commit: records gone; journal: sweep
            2 vectors: delete                          3 journal: done

A reader drops vectors without a record. So before step 3 it sees the old picture
and after it the new one, never a mix of one's vector and the other's record. Each
step can be done twice without harm, therefore recovery is: replay the journal.
Nothing that a crash leaves behind can destroy what was acknowledged, since no put
ever touches another one's rows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from onnxsearch.errors import CollectionNotFoundError, InvalidArgumentError, StoreError
from onnxsearch.journal import Amend, Put, Sweep, decode_entry, encode_entry
from onnxsearch.ledger import ATTEMPTS, Ledger, Stored
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.records import new_key
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.vectors.base import Vectors, VectorStore

logger = logging.getLogger("onnxsearch")

_PutOrAmend = TypeVar("_PutOrAmend", bound=Put)

# Single underscores only: two part the namespace from the model in a collection's name.
_NAMESPACE = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to store."""

    record: Record
    vectors: Mapping[str, Vectors]
    """Its vector by model, each of shape (columns,)."""


class Catalog:
    """The pictures of one namespace: vectors in one store, records in another.

    Safe to use from several threads, and from several processes where both stores
    are. Of several writers of one id, the one whose commit comes last wins whole.

    Args:
        vectors: Holds a collection per model.
        metadata: Holds the records and the journal.
        namespace: Keeps catalogs in the same stores apart: a letter, then letters,
            digits and single underscores, at most 64.

    Raises:
        InvalidArgumentError: The namespace is not as said.
    """

    def __init__(self, vectors: VectorStore, metadata: MetadataStore, namespace: str) -> None:
        if not _NAMESPACE.fullmatch(namespace) or len(namespace) > 64:
            raise InvalidArgumentError(
                f"namespace {namespace!r}: expected a letter, then letters, digits and single "
                "underscores, 64 characters at most, the last no underscore"
            )
        self._vectors = vectors
        self._metadata = metadata
        self._namespace = namespace
        self._journal = f"{namespace}:journal"
        self.ledger = Ledger(metadata, namespace)

    def collection(self, model: str) -> str:
        """Return the name of the collection that holds the vectors of `model`.

        It is readable, and different for different models: where a character had
        to be replaced, a hash of the name is appended.
        """
        safe = "".join(c if c.isalnum() else "_" for c in model)
        if safe != model:
            safe += "_" + blake2b(model.encode(), digest_size=4).hexdigest()
        return f"{self._namespace}__{safe}"

    def put(self, items: Iterable[Item]) -> None:
        """Store pictures, each in place of what its id held before.

        When this returns, they are found, also after a crash. When it raises, none
        is, and what the ids held before is still there; only if the stores cannot
        be reached to make sure of that, the next `recover` decides. Of two items
        with one id, the last one counts.

        Raises:
            InvalidArgumentError: The pictures do not all have the same models.
            StoreError: A store failed.
        """
        last = {item.record.id: item for item in items}
        if last:
            self._write(_entry(Put, [(new_key(), item) for item in last.values()]))

    def amend(self, items: Sequence[tuple[str, Item]]) -> None:
        """Rewrite records under their keys, and add vectors of further models.

        The vectors that are there stay. A picture that was replaced or removed
        meanwhile is passed over.

        Args:
            items: Key of a stored picture, and its new record with the vectors of
                the models that are new.

        Raises:
            InvalidArgumentError: The pictures do not all bring the same models.
            StoreError: A store failed.
        """
        if items:
            self._write(_entry(Amend, items))

    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove pictures from all models; return the ids that were there.

        When this returns, they are never found again, also after a crash.

        Raises:
            StoreError: A store failed.
        """
        wanted = list(ids)
        op = Cell(self._journal, new_key())
        for _ in range(ATTEMPTS):
            found = self.ledger.find(wanted)
            if not found:
                return []
            change = self.ledger.removal(found.values())
            sweep = Sweep(change.swept)
            change.writes[op] = _left(sweep)
            if self._metadata.commit(change.writes, expect=change.expect):
                self._clean(op, sweep)
                return list(found)
        raise _contended()

    def vectors_of(self, stored: Stored) -> dict[str, Vectors]:
        """Return the vectors of a picture by model, each of shape (columns,)."""
        vectors: dict[str, Vectors] = {}
        for model in stored.record.models:
            with suppress(CollectionNotFoundError):
                found = self._vectors.fetch(self.collection(model), [stored.key])
                if stored.key in found:
                    vectors[model] = found[stored.key]
        return vectors

    def recover(self) -> int:
        """Finish every write that was begun and not ended; return how many.

        Writes of another engine that is running at the moment may be among them.
        That does no harm: whoever comes second finds the work done.

        Raises:
            StoreCorruptError: A journal entry cannot be read.
            StoreError: A store failed.
        """
        ops = sorted({op for op, _ in self._metadata.items(self._journal)})
        for op in ops:
            data = self._metadata.get(self._journal, op)
            if data is None:
                continue
            cell, entry = Cell(self._journal, op), decode_entry(data)
            if not isinstance(entry, Sweep):
                entry = self._carry_out(cell, self._without_dropped(entry), data)
            self._finish(cell, entry)
        if ops:
            logger.info("onnxsearch: finished %d interrupted writes", len(ops))
        return len(ops)

    def _write(self, entry: Put) -> None:
        op, data = Cell(self._journal, new_key()), encode_entry(entry)
        self._metadata.commit({op: data})
        try:
            sweep = self._carry_out(op, entry, data)
        except BaseException as error:
            # If even the undoing fails, the error of the write is the one to tell.
            with suppress(StoreError):
                if not self._undo(op, entry, data) and isinstance(error, StoreError):
                    logger.warning("onnxsearch: a write went through in spite of: %s", error)
                    return
            raise
        self._clean(op, sweep)

    def _carry_out(self, op: Cell, entry: Put, data: bytes) -> Sweep:
        """Store the entry and make it visible; return what is to be swept after it."""
        keys = list(entry.records)
        metadata = [record.metadata for record in entry.records.values()]
        for model, matrix in entry.vectors.items():
            self._vectors.upsert(self.collection(model), keys, matrix, metadata)
        for _ in range(ATTEMPTS):
            change = (
                self.ledger.amendment(entry)
                if isinstance(entry, Amend)
                else self.ledger.replacement(entry)
            )
            sweep = Sweep(change.swept)
            change.expect[op] = data
            change.writes[op] = _left(sweep)
            if self._metadata.commit(change.writes, expect=change.expect):
                return sweep
            if self._metadata.get(*op) != data:
                # Another engine recovered this entry, and finishes what comes after. If the
                # pictures were replaced since then, the vectors stored above are nobody's.
                self._sweep(_own_vectors(entry))
                return Sweep({})
        raise _contended()

    def _clean(self, op: Cell, sweep: Sweep) -> None:
        # The write itself is done and visible. What cannot be swept now is invisible,
        # stays in the journal, and goes with the next recovery.
        try:
            self._finish(op, sweep)
        except StoreError as error:
            logger.warning("onnxsearch: replaced vectors are left for the next recovery: %s", error)

    def _finish(self, op: Cell, sweep: Sweep) -> None:
        if sweep.keys:
            self._sweep(sweep)
            self._metadata.commit({op: None})

    def _sweep(self, sweep: Sweep) -> None:
        standing = self.ledger.resolve([key for keys in sweep.keys.values() for key in keys])
        for model, keys in sweep.keys.items():
            # An amendment may have brought vectors back under a key swept for a failed one.
            gone = [
                key
                for key in keys
                if key not in standing or model not in standing[key].record.models
            ]
            # A collection that was dropped has nothing left to delete.
            with suppress(CollectionNotFoundError):
                self._vectors.delete(self.collection(model), gone)

    def _undo(self, op: Cell, entry: Put, data: bytes) -> bool:
        """Take back an entry that failed; return False if it had gone through."""
        sweep = _own_vectors(entry)
        if not self._metadata.commit({op: _left(sweep)}, expect={op: data}):
            return False
        self._finish(op, sweep)
        return True

    def _without_dropped(self, entry: _PutOrAmend) -> _PutOrAmend:
        # A model may have been dropped since the crash; the others' vectors still count.
        there = set(self._vectors.collections())
        vectors = {
            model: matrix
            for model, matrix in entry.vectors.items()
            if self.collection(model) in there
        }
        return replace(entry, vectors=vectors)


def _entry(kind: type[_PutOrAmend], items: Sequence[tuple[str, Item]]) -> _PutOrAmend:
    """Turn pictures with a vector per model into a matrix per model."""
    models = list(items[0][1].vectors)
    if any(list(item.vectors) != models for _, item in items):
        raise InvalidArgumentError("pictures of one write must all have the same models")
    vectors = {model: np.stack([item.vectors[model] for _, item in items]) for model in models}
    return kind({key: item.record for key, item in items}, vectors)


def _own_vectors(entry: Put) -> Sweep:
    return Sweep(dict.fromkeys(entry.vectors, tuple(entry.records)))


def _left(sweep: Sweep) -> bytes | None:
    """Return what stays in the journal until the sweep is done."""
    return encode_entry(sweep) if sweep.keys else None


def _contended() -> StoreError:
    return StoreError(
        f"other writers of the same ids were faster {ATTEMPTS} times: let fewer write at once"
    )
