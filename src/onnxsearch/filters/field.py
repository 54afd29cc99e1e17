"""`F`, a field of the metadata, which begins every filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

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
from onnxsearch.filters.dict_form import from_dict
from onnxsearch.filters.parser import parse
from onnxsearch.filters.values import FilterDict, Scalar, check_path, check_text, plain


class F:
    """A field of the metadata, by its name, which begins every filter.

    Further names lead into nested objects: `F("camera", "make")` is the field `make` of the
    object in the field `camera`. A dot in a name is part of the name.

    Values are strings, finite numbers (integers of at most 64 bits), booleans, and dates and
    times. A `date` or `datetime` stands for its ISO 8601 text, the form in which metadata hold
    it: "2026-01-31" or "2026-01-31T12:30:00". A time with a zone is converted to UTC and ends
    in "+00:00". Such texts sort as the times do; a date sorts before all times of its day, and
    a time without a zone among those of UTC.

    Args:
        name: Name of a field at the top level.
        within: Names of fields of nested objects, at most 7.

    Example:
        >>> F("rating") > 3
        F.parse('rating > 3')
        >>> F("taken") >= date(2026, 1, 31)
        F.parse('taken >= "2026-01-31"')
        >>> F("camera", "make").in_(["Leica", "Nikon"])
        F.parse('camera.make in ["Leica", "Nikon"]')

    Raises:
        InvalidArgumentError: Metadata cannot hold the name, or a value that the field
            is compared with.
    """

    __slots__ = ("path",)
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so that sets cannot hold it

    def __init__(self, name: str, *within: str) -> None:
        check_text(name, "name")
        self.path = check_path((name, *within))

    @staticmethod
    def parse(text: str) -> Filter:
        """Return the filter that a text describes, such as `price < 20 and tags contains 'cup'`.

        Conditions are `==`, `!=`, `<`, `<=`, `>`, `>=`, `in [...]`, `contains`, `startswith`
        and `exists`, the words also after `not`. `not`, `and` and `or` combine them, the first
        one binding most tightly; parentheses group them. Values are text in single or double
        quotation marks, with the escapes of JSON, numbers, `true`, `false`, and dates such as
        2026-01-31 or 2026-01-31T12:30. A dot leads into nested objects: `camera.make`. A name
        of other characters than letters, digits and underscores, or one that is a word of the
        language, is put in backticks.

        Args:
            text: At most 524,288 characters. It may come from an untrusted source.

        Raises:
            InvalidArgumentError: The text is not a filter; the message shows where.

        Example:
            >>> F.parse("price < 20 and tags contains 'cup'")
            F.parse('price < 20 and tags contains "cup"')
            >>> F.parse("`focal length` in [35, 50] or not (camera.make exists)")
            F.parse('`focal length` in [35, 50] or not camera.make exists')
        """
        return parse(text)

    @staticmethod
    def from_dict(mapping: FilterDict) -> Filter:
        """Return the filter that a mapping describes, such as one from JSON.

        A condition is `{"field": name, operator: value}`, with one of the operators `eq`,
        `ne`, `lt`, `le`, `gt`, `ge`, `in`, `contains`, `startswith` and `exists` (whose value
        is true). The name is a string, or a list of names that leads into nested objects.
        `{"and": [...]}`, `{"or": [...]}` and `{"not": ...}` combine conditions.

        Args:
            mapping: It may come from an untrusted source.

        Raises:
            InvalidArgumentError: The mapping is not a filter.

        Example:
            >>> F.from_dict({"and": [{"field": "price", "lt": 20}, {"field": "new", "eq": True}]})
            F.parse('price < 20 and new == true')
        """
        return from_dict(mapping)

    def __eq__(self, value: Scalar | date) -> Filter:  # type: ignore[override]
        return FieldComparison(self.path, Operator.EQ, plain(value))

    def __ne__(self, value: Scalar | date) -> Filter:  # type: ignore[override]
        return FieldComparison(self.path, Operator.NE, plain(value))

    def __lt__(self, value: str | float | date) -> Filter:
        return FieldComparison(self.path, Operator.LT, plain(value))

    def __le__(self, value: str | float | date) -> Filter:
        return FieldComparison(self.path, Operator.LE, plain(value))

    def __gt__(self, value: str | float | date) -> Filter:
        return FieldComparison(self.path, Operator.GT, plain(value))

    def __ge__(self, value: str | float | date) -> Filter:
        return FieldComparison(self.path, Operator.GE, plain(value))

    def in_(self, values: Iterable[Scalar | date]) -> Filter:
        """Return the condition that the field equals one of `values`."""
        expected = "a list of values; for a string in a list of strings use contains()"
        single = (str, bytes, bytearray, Mapping)
        return OneOf(self.path, tuple(map(plain, items("values", values, expected, single))))

    def contains(self, value: Scalar | date) -> Filter:
        """Return the condition that the field is a list with `value` in it."""
        return Contains(self.path, plain(value))

    def startswith(self, prefix: str) -> Filter:
        """Return the condition that the field is a string that begins with `prefix`."""
        check_text(prefix, "prefix")
        return StartsWith(self.path, prefix)

    def exists(self) -> Filter:
        """Return the condition that the field is present, and not null."""
        return Exists(self.path)

    def __repr__(self) -> str:
        return f"F({', '.join(map(repr, self.path))})"
