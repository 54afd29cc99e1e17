"""Listings: the records of a catalog that match a filter, in an order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from onnxsearch._internal.external_sort import SortKey, sorted_names
from onnxsearch._internal.tables import Tabular, columns_of, row
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import text
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.records import RecordIndex
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import Filter, check_filter
from onnxsearch.types import JSONValue, Record


@dataclass(frozen=True, slots=True)
class Order:
    """An order of records: by `id`, `uri`, `modified` or a metadata field."""

    field: str
    descending: bool = False

    @classmethod
    def parse(cls, order_by: str) -> Order:
        """Return the order that a name means; "-" before it means descending.

        Raises:
            InvalidArgumentError: It is not a name.
        """
        expected = "'id', 'uri', 'modified' or a metadata field, with '-' before it to descend"
        name = text("order_by", order_by, expected)
        if name == "-":
            raise InvalidArgumentError(f"order_by '-': expected {expected}")
        return cls(name.removeprefix("-"), descending=name.startswith("-"))

    def key(self, record: Record) -> SortKey:
        """Return what a record is sorted by; None if it has no such value."""
        match self.field:
            case "id":
                return record.id
            case "uri":
                return record.uri
            case "modified":
                return record.modified_ns
        value = record.metadata.get(self.field)
        return value if isinstance(value, str | int | float) else None


class Records(Tabular):
    """The records that `SearchEngine.records` selects, read while they are iterated.

    Each iteration reads the store anew, so that it shows the state of that time. An image
    that stays meanwhile is among the records in any case. One that is replaced comes as it
    was or as it is; without an order it may come twice.
    """

    _columns = columns_of(Record)

    def __init__(
        self, index: RecordIndex, filter: Filter | None = None, order_by: str | None = None
    ) -> None:
        if filter is not None:
            check_filter(filter)
        self._index = index
        self._filter = filter
        self._order = None if order_by is None else Order.parse(order_by)

    def __iter__(self) -> Iterator[Record]:
        matching = filter(self._matches, self._index.values())
        found = matching if self._order is None else self._sorted(self._order, matching)
        for batch in batched(found, BATCH):
            yield from self._index.with_paths(batch)

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return all records as dictionaries with the fields of `Record`, in memory."""
        return [row(record) for record in self]

    def _sorted(self, order: Order, matching: Iterable[Record]) -> Iterator[Record]:
        """Yield the records in order. Only ids and sort keys are kept, on disk if need be."""
        entries = ((record.id, order.key(record)) for record in matching)
        for ids in batched(sorted_names(entries, descending=order.descending), BATCH):
            found = self._index.find(ids)
            records = (found[id].record for id in ids if id in found)
            yield from filter(self._matches, records)

    def _matches(self, record: Record) -> bool:
        return self._filter is None or self._filter.matches(record.metadata)

    def __repr__(self) -> str:
        order = f", in the order of {self._order.field!r}" if self._order else ""
        return f"<Records {'that match a filter' if self._filter is not None else 'all'}{order}>"
