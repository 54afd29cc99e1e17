"""Recovery of interrupted writes: the half of the protocol that deletes rows.

`onnxsearch.catalog` describes the protocol.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace

from onnxsearch.catalog.augmented_spaces import AugmentedSpaces
from onnxsearch.catalog.journal import Entry, State, age, decode_entry, encode_entry
from onnxsearch.catalog.keys import key_of
from onnxsearch.catalog.manifest import Manifest
from onnxsearch.catalog.records import Cells, RecordIndex
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.catalog.vector_rows import Rows, VectorRows
from onnxsearch.errors import CollectionNotFoundError, StoreError
from onnxsearch.metadata.base import Cell, MetadataStore

logger = logging.getLogger("onnxsearch")

LEASE = 60.0
"""Seconds for which engines leave a second attempt alone: far longer than a write takes."""
GRACE = 3600.0
"""Seconds after which a writer whose write was taken back counts as dead: longer than any
store's time-out or an overloaded machine's pause. Until then its entry costs a few bytes."""


class Recovery:
    """Begins and ends entries of a catalog's journal.

    Args:
        metadata: Holds the journal.
        records: Knows which keys have records.
        rows: The vectors.
        manifest: The models of the catalog.
        spaces: The augmented spaces of the catalog.
    """

    def __init__(
        self,
        metadata: MetadataStore,
        records: RecordIndex,
        rows: VectorRows,
        manifest: Manifest,
        spaces: AugmentedSpaces,
    ) -> None:
        self._metadata = metadata
        self._manifest = manifest
        self._spaces = spaces
        self._records = records
        self._rows = rows
        self._postponed: set[str] = set()
        self._lock = threading.Lock()

    def cell(self, op: str) -> Cell:
        """Return where the journal keeps the entry `op`."""
        return Cell(self._records.journal_table, op)

    def begin(self, op: str, entry: Entry) -> None:
        """Write an entry.

        Raises:
            CollectionNotFoundError: One of its models is being dropped.
        """
        expect = self.kept(entry.keys)
        if not self._metadata.commit({self.cell(op): encode_entry(entry)}, expect=expect):
            raise being_dropped(entry.keys)

    def kept(self, models: Iterable[str]) -> Cells:
        """Return what a commit has to expect if none of these models may be being dropped."""
        return {self._drop_cell(model): None for model in models}

    def forget(self, op: str) -> None:
        """Delete an entry: no work is left, and its writer has ended."""
        self._metadata.commit({self.cell(op): None})

    def take_back(self, op: str, entry: Entry) -> bool:
        """Take a write back; return False if it had succeeded."""
        taken_back = encode_entry(replace(entry, state=State.TAKEN_BACK))
        expect = {self.cell(op): encode_entry(entry)}
        if not self._metadata.commit({self.cell(op): taken_back}, expect=expect):
            # Another engine took it back, or the commit succeeded and only its reply was lost.
            keys = [key for keys in entry.keys.values() for key in keys]
            if self._records.resolve(keys):
                return False
        self._rows.delete(entry.keys)
        return True

    def confirm(self, op: str) -> None:
        """Commit a no-op after a write whose reply was lost.

        A store that replicates has then replicated both.
        """
        data = self._metadata.get(*self.cell(op))
        later = data or encode_entry(Entry(State.REPLACED, {}))
        self._metadata.commit({self.cell(op): later}, expect={self.cell(op): data})

    def clean(self, op: str, rows: Rows) -> None:
        """Delete the rows that a write replaced, now or, if a store fails, later."""
        if not rows:
            return
        try:
            self._rows.delete(rows)
            self.forget(op)
        except StoreError as error:
            # The write itself is committed and visible, and these rows are not visible.
            self.postpone(op)
            logger.warning("onnxsearch: replaced vectors will be deleted later: %s", error)

    def drop(self, model: str) -> None:
        """Drop a model, now or, if a store fails, later."""
        cell = self._drop_cell(model)
        try:
            self._begin_drop(model, cell)
            self._settle(cell.key)
        except BaseException:
            self.postpone(cell.key)
            raise

    def _begin_drop(self, model: str, cell: Cell) -> None:
        """Write to the journal that a model is being dropped, and forget how to open it."""
        entry = encode_entry(Entry(State.DROPPED, {model: ()}))
        for _ in attempts():
            change, space = self._manifest.without(model), self._spaces.without(model)
            writes = {cell: entry, **change.writes, **space.writes}
            if self._metadata.commit(writes, expect=change.expect):
                return
        raise contended()

    def postpone(self, op: str) -> None:
        """Leave an entry to the next `retry`, or to the engine that opens next."""
        with self._lock:
            self._postponed.add(op)

    def retry(self) -> None:
        """Settle the postponed entries; entries that still fail stay postponed."""
        with self._lock:
            left, self._postponed = self._postponed, set()
        try:
            for op in sorted(left):
                try:
                    self._settle(op)
                    left.remove(op)
                except StoreError as error:
                    logger.info("onnxsearch: an interrupted write is cleaned up later: %s", error)
        finally:
            with self._lock:
                self._postponed |= left

    def settle_all(self) -> int:
        """Finish or take back every interrupted write; return how many there were."""
        ops = sorted({op for op, _ in self._metadata.items(self._records.journal_table)})
        settled = sum(self._settle(op) for op in ops)
        if settled:
            logger.info("onnxsearch: cleaned up %d interrupted writes", settled)
        return settled

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield every entry of the journal."""
        for op, data in self._metadata.items(self._records.journal_table):
            yield op, decode_entry(data)

    def unfinished(self) -> set[str]:
        """Return the keys of all rows that the journal names."""
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
        """Do the work that an entry says is left; return whether that settled a write."""
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
        self._rows.delete(entry.keys)
        if entry.state is State.REPLACED or age(op) > GRACE:
            self.forget(op)
        return entry.state is State.REPLACED

    def _drop(self, model: str, dropping: bytes) -> None:
        """Do all the work of a drop that the journal names."""
        cell = self._drop_cell(model)
        for op, entry in self.entries():
            if model in entry.keys and entry.state in (State.BEGUN, State.LEASED):
                self.take_back(op, entry)
        # If another engine has finished this drop, the model may be back. The instant
        # between these two calls remains: no store can compare and drop in one step.
        if self._metadata.get(*cell) == dropping:
            self._rows.drop(model)
        # A record that another engine changed at the same moment takes a further pass.
        for _ in attempts():
            if not self._unlist(model, dropping) or self._metadata.get(*cell) != dropping:
                self._metadata.commit({cell: None}, expect={cell: dropping})
                return
        raise contended()

    def _unlist(self, model: str, dropping: bytes) -> bool:
        """Take a model off all records; return whether one was missed."""
        missed = False
        for change in self._records.unlistings(model):
            change.expect[self._drop_cell(model)] = dropping
            missed |= not self._metadata.commit(change.writes, expect=change.expect)
        return missed

    def _drop_cell(self, model: str) -> Cell:
        """Return where the journal says that a model is being dropped."""
        return self.cell(key_of(model))


def being_dropped(models: Iterable[str]) -> CollectionNotFoundError:
    """Return the error of a writer of whose models one is being dropped."""
    return CollectionNotFoundError(
        f"one of the models {', '.join(models)} is being dropped by another engine: open an "
        "engine without it"
    )


def replaced(rows: Rows) -> bytes | None:
    """Return the entry that stays in the journal until replaced rows are deleted."""
    return encode_entry(Entry(State.REPLACED, rows)) if rows else None
