"""Conditions on metadata with the same meaning in every store.

Write them with `F` and join them with `&`, `|` and `~`:

    >>> wanted = (F("year") >= 2020) & F("tags").contains("cat")
    >>> wanted.matches({"year": 2023, "tags": ["cat", "sofa"]})
    True
    >>> wanted.matches({"tags": ["cat"]})
    False

A condition is false where the field is missing, null or of another type than the
value it is compared with, `!=` included; it never raises. `~` turns true into
false and false into true, so `~(F("year") == 2020)` holds for an image without
a year and `F("year") != 2020` does not. `True` and `False` are not numbers; 1 and
1.0 are the same number. Strings compare by code points and are case-sensitive.

`F.parse` reads a filter from text, and `F.from_dict` from JSON; `str(filter)` and
`filter.to_dict()` write it.

A filter may have any number of conditions, but `&`, `|` and `~` may be nested at
most `MOST_DEPTH` deep. `a & b & c` is one deep, however long.
"""

from __future__ import annotations

from onnxsearch.filters.conditions import (
    MOST_DEPTH,
    And,
    Contains,
    Exists,
    FieldComparison,
    Filter,
    Not,
    OneOf,
    Operator,
    Or,
    StartsWith,
    check_filter,
)
from onnxsearch.filters.field import F
from onnxsearch.filters.values import MOST_NAMES, FilterDict, Scalar

Comparison = FieldComparison
"""The former name of `FieldComparison`; `onnxsearch.Comparison` is another class."""

__all__ = [
    "MOST_DEPTH",
    "MOST_NAMES",
    "And",
    "Comparison",
    "Contains",
    "Exists",
    "F",
    "FieldComparison",
    "Filter",
    "FilterDict",
    "Not",
    "OneOf",
    "Operator",
    "Or",
    "Scalar",
    "StartsWith",
    "check_filter",
]
