"""The records of what a search has found."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import TYPE_CHECKING

from onnxsearch.catalog.serialization import decode_record, may_expire

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex
    from onnxsearch.search.omission import Omission
    from onnxsearch.types import Record


class FoundRecords:
    """The records of what a search has found, by key, as they were when last read.

    A search that fuses rankings reads hundreds of records, some of them several times, and returns
    ten. So a record is decoded when it is first looked at, and again only if it has changed.

    Args:
        records: The records of all images.
    """

    def __init__(self, records: RecordIndex) -> None:
        self._records = records
        self._absolute = records.root.absolute()
        self._cells: dict[str, bytes] = {}
        self._decoded: dict[str, Record] = {}

    def read(self, keys: Collection[str]) -> Set[str]:
        """Read the records of keys as they are now; return the keys that have one."""
        cells = self._records.cells(keys)
        for key, cell in cells.items():
            if self._cells.get(key, cell) != cell:
                self._decoded.pop(key, None)
        self._cells |= cells
        return cells.keys()

    def __getitem__(self, key: str) -> Record:
        """Return a record that was read."""
        if (record := self._decoded.get(key)) is None:
            record = self._decoded[key] = decode_record(self._cells[key], self._absolute)
        return record

    def is_shown(self, key: str, omission: Omission) -> bool:
        """Return whether an image has not expired and is not left out."""
        if may_expire(self._cells[key]) and not self._records.is_live(self[key]):
            return False
        return not omission or not omission.holds(self[key])
