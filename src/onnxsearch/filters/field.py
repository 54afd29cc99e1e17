"""`F`, a field of the metadata, which begins every filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnxsearch._internal.validation import items
from onnxsearch.filters.conditions import (
    Contains,
    Exists,
    FieldComparison,
    Filter,
    OneOf,
    Operator,
    StartsWith,
)
from onnxsearch.filters.values import Scalar, check_text


class F:
    """A field of the metadata, by its name at the top level, which begins every filter.

    Values are strings, finite numbers (integers of at most 64 bits) and booleans.

    Example:
        >>> F("rating") > 3
        FieldComparison(field='rating', operator=<Operator.GT: '>'>, value=3)

    Raises:
        InvalidArgumentError: Metadata cannot hold the name, or a value that the field
            is compared with.
    """

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so that sets cannot hold it

    def __init__(self, name: str) -> None:
        check_text(name, "name")
        self.name = name

    def __eq__(self, value: Scalar) -> Filter:  # type: ignore[override]
        return FieldComparison(self.name, Operator.EQ, value)

    def __ne__(self, value: Scalar) -> Filter:  # type: ignore[override]
        return FieldComparison(self.name, Operator.NE, value)

    def __lt__(self, value: str | float) -> Filter:
        return FieldComparison(self.name, Operator.LT, value)

    def __le__(self, value: str | float) -> Filter:
        return FieldComparison(self.name, Operator.LE, value)

    def __gt__(self, value: str | float) -> Filter:
        return FieldComparison(self.name, Operator.GT, value)

    def __ge__(self, value: str | float) -> Filter:
        return FieldComparison(self.name, Operator.GE, value)

    def in_(self, values: Iterable[Scalar]) -> Filter:
        """Return the condition that the field equals one of `values`."""
        expected = "a list of values; for a string in a list of strings use contains()"
        single = (str, bytes, bytearray, Mapping)
        return OneOf(self.name, tuple(items("values", values, expected, single)))

    def contains(self, value: Scalar) -> Filter:
        """Return the condition that the field is a list with `value` in it."""
        return Contains(self.name, value)

    def startswith(self, prefix: str) -> Filter:
        """Return the condition that the field is a string that begins with `prefix`."""
        check_text(prefix, "prefix")
        return StartsWith(self.name, prefix)

    def exists(self) -> Filter:
        """Return the condition that the field is present, and not null."""
        return Exists(self.name)

    def __repr__(self) -> str:
        return f"F({self.name!r})"
