"""What a write leaves behind when it is cut off, and how it is ended.

See `onnxsearch.consistency` for the protocol of which this is the second half.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from onnxsearch.errors import StoreError
from onnxsearch.journal import Entry, State, age, decode_entry, encode_entry
from onnxsearch.ledger import Ledger
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
        ledger: Tells which keys have records.
        delete: Deletes vectors.
    """

    def __init__(
        self, metadata: MetadataStore, ledger: Ledger, delete: Callable[[Rows], None]
    ) -> None:
        self._metadata = metadata
        self._ledger = ledger
        self._delete = delete
        self._postponed: set[str] = set()
        self._lock = threading.Lock()

    def cell(self, op: str) -> Cell:
        """Return where the journal keeps the entry `op`."""
        return Cell(self._ledger.journal_table, op)

    def begin(self, op: str, entry: Entry) -> None:
        """Write an entry down."""
        self._metadata.commit({self.cell(op): encode_entry(entry)})

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
            if self._ledger.resolve(keys):
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

    def postpone(self, op: str) -> None:
        """Leave an entry to the next `retry`, or to the engine that opens next."""
        with self._lock:
            self._postponed.add(op)

    def retry(self) -> None:
        """Try again what was postponed; what still fails stays postponed."""
        with self._lock:
            ops, self._postponed = sorted(self._postponed), set()
        for op in ops:
            try:
                self._settle(op)
            except StoreError as error:
                self.postpone(op)
                logger.info("onnxsearch: an interrupted write is ended later: %s", error)

    def settle_all(self) -> int:
        """End every write that was begun; return how many were."""
        ops = sorted({op for op, _ in self._metadata.items(self._ledger.journal_table)})
        ended = sum(self._settle(op) for op in ops)
        if ended:
            logger.info("onnxsearch: ended %d interrupted writes", ended)
        return ended

    def unfinished(self) -> set[str]:
        """Return the keys of all rows that the journal answers for."""
        return {
            key
            for _, data in self._metadata.items(self._ledger.journal_table)
            for keys in decode_entry(data).keys.values()
            for key in keys
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
        self._delete(entry.keys)
        if entry.state is State.REPLACED or age(op) > GRACE:
            self.forget(op)
        return entry.state is State.REPLACED


def replaced(rows: Rows) -> bytes | None:
    """Return what stays in the journal until replaced rows are deleted."""
    return encode_entry(Entry(State.REPLACED, rows)) if rows else None
