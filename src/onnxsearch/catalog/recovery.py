"""What a write leaves behind when it is cut off, and how it is ended.

See `onnxsearch.catalog.catalog` for the protocol of which this is the second half.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from onnxsearch.catalog.journal import Entry, State, age, decode_entry, encode_entry
from onnxsearch.catalog.records import Cells, RecordIndex
from onnxsearch.catalog.serialization import key_of
from onnxsearch.errors import CollectionNotFoundError, StoreError
from onnxsearch.metadata.base import Cell, MetadataStore

logger = logging.getLogger("onnxsearch")

Rows: TypeAlias = "Mapping[str, tuple[str, ...]]"
"""Keys of vectors by model."""

LEASE = 60.0
"""Seconds for which a second attempt is left alone: far longer than a write takes."""
GRACE = 3600.0
"""Seconds after which a writer that was taken back is taken for dead: longer than any
store's time-out or an overloaded machine's pause. Until then its entry costs a few bytes."""


class Recovery:
    """Begins and ends entries of a catalog's journal.

    Args:
        metadata: Holds the journal.
        records: Tells which keys have records.
        delete: Deletes vectors.
        delete_all: Deletes the collection of a model.
    """

    def __init__(
        self,
        metadata: MetadataStore,
        records: RecordIndex,
        delete: Callable[[Rows], None],
        delete_all: Callable[[str], None],
    ) -> None:
        self._metadata = metadata
        self._records = records
        self._delete = delete
        self._delete_all = delete_all
        self._postponed: set[str] = set()
        self._lock = threading.Lock()

    def cell(self, op: str) -> Cell:
        """Return where the journal keeps the entry `op`."""
        return Cell(self._records.journal_table, op)

    def begin(self, op: str, entry: Entry) -> None:
        """Write an entry down.

        Raises:
            CollectionNotFoundError: One of its models is being dropped.
        """
        kept: Cells = {self._drop_cell(model): None for model in entry.keys}
        if not self._metadata.commit({self.cell(op): encode_entry(entry)}, expect=kept):
            raise CollectionNotFoundError(
                f"one of the models {', '.join(entry.keys)} is being dropped by another engine: "
                "open an engine without it"
            )

    def forget(self, op: str) -> None:
        """Strike an entry out: nothing is left to do, and its writer will do no more."""
        self._metadata.commit({self.cell(op): None})

    def take_back(self, op: str, begun: Entry) -> bool:
        """Take a write back; return False if it had gone through."""
        taken_back = encode_entry(replace(begun, state=State.TAKEN_BACK))
        expect = {self.cell(op): encode_entry(begun)}
        if not self._metadata.commit({self.cell(op): taken_back}, expect=expect):
            # Another engine took it back, or it was shown and only the answer got lost.
            keys = [key for keys in begun.keys.values() for key in keys]
            if self._records.resolve(keys):
                return False
        self._delete(begun.keys)
        return True

    def confirm(self, op: str) -> None:
        """Have a write acknowledged that comes after the one whose answer was lost.

        A store that replicates has then replicated both.
        """
        data = self._metadata.get(*self.cell(op))
        later = data or encode_entry(Entry(State.REPLACED, {}))
        self._metadata.commit({self.cell(op): later}, expect={self.cell(op): data})

    def clean(self, op: str, rows: Rows) -> None:
        """Delete what a write has replaced, now or later."""
        if not rows:
            return
        try:
            self._delete(rows)
            self.forget(op)
        except StoreError as error:
            # The write itself is done and visible, and these rows are not.
            self.postpone(op)
            logger.warning("onnxsearch: replaced vectors will be deleted later: %s", error)

    def drop(self, model: str) -> None:
        """Drop a model, now or, if a store fails, later."""
        cell = self._drop_cell(model)
        try:
            self._metadata.commit({cell: encode_entry(Entry(State.DROPPED, {model: ()}))})
            self._settle(cell.key)
        except BaseException:
            self.postpone(cell.key)
            raise

    def postpone(self, op: str) -> None:
        """Leave an entry to the next `retry`, or to the engine that opens next."""
        with self._lock:
            self._postponed.add(op)

    def retry(self) -> None:
        """Try again what was postponed; what still fails stays postponed."""
        with self._lock:
            left, self._postponed = self._postponed, set()
        try:
            for op in sorted(left):
                try:
                    self._settle(op)
                    left.remove(op)
                except StoreError as error:
                    logger.info("onnxsearch: an interrupted write is ended later: %s", error)
        finally:
            with self._lock:
                self._postponed |= left

    def settle_all(self) -> int:
        """End every write that was begun; return how many were."""
        ops = sorted({op for op, _ in self._metadata.items(self._records.journal_table)})
        ended = sum(self._settle(op) for op in ops)
        if ended:
            logger.info("onnxsearch: ended %d interrupted writes", ended)
        return ended

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield all that the journal tells of."""
        for op, data in self._metadata.items(self._records.journal_table):
            yield op, decode_entry(data)

    def unfinished(self) -> set[str]:
        """Return the keys of all rows that the journal answers for."""
        return {key for _, entry in self.entries() for keys in entry.keys.values() for key in keys}

    def dropped(self) -> set[str]:
        """Return the models that are being dropped."""
        return {
            model
            for _, entry in self.entries()
            if entry.state is State.DROPPED
            for model in entry.keys
        }

    def _settle(self, op: str) -> bool:
        """Do what an entry says is left to do; return whether that ended a write."""
        data = self._metadata.get(*self.cell(op))
        if data is None:
            return False
        entry = decode_entry(data)
        if entry.state is State.LEASED and age(op) < LEASE:
            return False
        if entry.state in (State.BEGUN, State.LEASED):
            return self.take_back(op, entry)
        if entry.state is State.DROPPED:
            for model in entry.keys:
                self._drop(model, data)
            return True
        self._delete(entry.keys)
        if entry.state is State.REPLACED or age(op) > GRACE:
            self.forget(op)
        return entry.state is State.REPLACED

    def _drop(self, model: str, begun: bytes) -> None:
        """Do all that is left to do once the journal tells that a model goes."""
        cell = self._drop_cell(model)
        for op, entry in self.entries():
            if model in entry.keys and entry.state in (State.BEGUN, State.LEASED):
                self.take_back(op, entry)
        # If another engine has ended this drop, the model may be back. That leaves the
        # instant between these two calls, in which no store can be asked to compare.
        if self._metadata.get(*cell) == begun:
            self._delete_all(model)
        # A record that another engine changed at the same moment takes a further pass.
        while self._unlist(model, begun) and self._metadata.get(*cell) == begun:
            pass
        self._metadata.commit({cell: None}, expect={cell: begun})

    def _unlist(self, model: str, begun: bytes) -> bool:
        """Take a model off all records; return whether one was missed."""
        missed = False
        for change in self._records.unlistings(model):
            change.expect[self._drop_cell(model)] = begun
            missed |= not self._metadata.commit(change.writes, expect=change.expect)
        return missed

    def _drop_cell(self, model: str) -> Cell:
        """Return where the journal tells that a model is being dropped."""
        return self.cell(key_of(model))


def replaced(rows: Rows) -> bytes | None:
    """Return what stays in the journal until replaced rows are deleted."""
    return encode_entry(Entry(State.REPLACED, rows)) if rows else None
