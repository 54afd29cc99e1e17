"""Conditions on metadata that mean the same in every store.

Write them with `F` and join them with `&`, `|` and `~`:

    >>> wanted = (F("year") >= 2020) & F("tags").contains("cat")
    >>> wanted.matches({"year": 2023, "tags": ["cat", "sofa"]})
    True
    >>> wanted.matches({"tags": ["cat"]})
    False

A condition is false where the field is missing, null or of another type than the
value it is compared with, `!=` included; it never raises. `~` turns true into
false and false into true, so `~(F("year") == 2020)` holds for a picture without
a year and `F("year") != 2020` does not. `True` and `False` are no numbers; 1 and
1.0 are the same number. Strings compare by code points, case counts.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue, Metadata

Scalar: TypeAlias = str | int | float | bool
"""What a field can be compared with."""


class Filter(ABC):
    """A condition on metadata. Filters are values: comparable and immutable."""

    __slots__ = ()

    @abstractmethod
    def matches(self, metadata: Metadata) -> bool:
        """Tell whether `metadata` meets the condition."""

    def __and__(self, other: Filter) -> Filter:
        return And((*_parts(self, And), *_parts(other, And)))

    def __or__(self, other: Filter) -> Filter:
        return Or((*_parts(self, Or), *_parts(other, Or)))

    def __invert__(self) -> Filter:
        return Not(self)

    def __bool__(self) -> bool:
        raise InvalidArgumentError(
            "a filter is neither true nor false. Join filters with &, | and ~ instead of "
            "'and', 'or' and 'not', each comparison in parentheses: "
            '(F("year") >= 2000) & (F("year") < 2020)'
        )


class Operator(StrEnum):
    """How a field is compared with a value."""

    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="

    def holds(self, found: object, value: Scalar) -> bool:
        """Compare two values of one type."""
        return bool(getattr(operator, self.name.lower())(found, value))


@dataclass(frozen=True, slots=True)
class Comparison(Filter):
    """The field is of the value's type, and compares as told."""

    field: str
    operator: Operator
    value: Scalar

    def __post_init__(self) -> None:
        _check_text(self.field)
        _check_values(self.value)
        if isinstance(self.value, bool) and self.operator not in (Operator.EQ, Operator.NE):
            raise InvalidArgumentError(
                f"{self.field!r} {self.operator.value} {self.value}: true and false have no "
                "order; expected == or !="
            )

    def matches(self, metadata: Metadata) -> bool:
        found = metadata.get(self.field)
        return _same_type(found, self.value) and self.operator.holds(found, self.value)


@dataclass(frozen=True, slots=True)
class OneOf(Filter):
    """The field equals one of the values; with no value, never."""

    field: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        _check_text(self.field)
        _check_values(*self.values)

    def matches(self, metadata: Metadata) -> bool:
        found = metadata.get(self.field)
        return any(_equal(found, value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """The field is a list, and one of its elements equals the value."""

    field: str
    value: Scalar

    def __post_init__(self) -> None:
        _check_text(self.field)
        _check_values(self.value)

    def matches(self, metadata: Metadata) -> bool:
        found = metadata.get(self.field)
        return (
            isinstance(found, Sequence)
            and not isinstance(found, str)
            and any(_equal(element, self.value) for element in found)
        )


@dataclass(frozen=True, slots=True)
class StartsWith(Filter):
    """The field is a string that begins with the prefix."""

    field: str
    prefix: str

    def __post_init__(self) -> None:
        _check_text(self.field)
        _check_text(self.prefix)

    def matches(self, metadata: Metadata) -> bool:
        found = metadata.get(self.field)
        return isinstance(found, str) and found.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """The field is there, and not null."""

    field: str

    def __post_init__(self) -> None:
        _check_text(self.field)

    def matches(self, metadata: Metadata) -> bool:
        return metadata.get(self.field) is not None


@dataclass(frozen=True, slots=True)
class And(Filter):
    """Every part holds."""

    parts: tuple[Filter, ...]

    def matches(self, metadata: Metadata) -> bool:
        return all(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """At least one part holds."""

    parts: tuple[Filter, ...]

    def matches(self, metadata: Metadata) -> bool:
        return any(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The part does not hold."""

    part: Filter

    def matches(self, metadata: Metadata) -> bool:
        return not self.part.matches(metadata)


class F:
    """A field of the metadata, by its name at the top level; begins every filter.

    Values are strings, finite numbers (integers of at most 64 bits) and booleans.

    Example:
        >>> F("rating") > 3
        Comparison(field='rating', operator=<Operator.GT: '>'>, value=3)

    Raises:
        InvalidArgumentError: The name, or a value that the field is compared
            with, is none that metadata can hold.
    """

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so no set can hold it

    def __init__(self, name: str) -> None:
        _check_text(name)
        self.name = name

    def __eq__(self, value: Scalar) -> Filter:  # type: ignore[override]
        return Comparison(self.name, Operator.EQ, value)

    def __ne__(self, value: Scalar) -> Filter:  # type: ignore[override]
        return Comparison(self.name, Operator.NE, value)

    def __lt__(self, value: str | float) -> Filter:
        return Comparison(self.name, Operator.LT, value)

    def __le__(self, value: str | float) -> Filter:
        return Comparison(self.name, Operator.LE, value)

    def __gt__(self, value: str | float) -> Filter:
        return Comparison(self.name, Operator.GT, value)

    def __ge__(self, value: str | float) -> Filter:
        return Comparison(self.name, Operator.GE, value)

    def in_(self, values: Iterable[Scalar]) -> Filter:
        """The field equals one of `values`."""
        if isinstance(values, str):
            raise InvalidArgumentError(
                f"in_({values!r}): expected a list of values; for a string in a list of "
                "strings use contains()"
            )
        return OneOf(self.name, tuple(values))

    def contains(self, value: Scalar) -> Filter:
        """The field is a list with `value` in it."""
        return Contains(self.name, value)

    def startswith(self, prefix: str) -> Filter:
        """The field is a string that begins with `prefix`."""
        return StartsWith(self.name, prefix)

    def exists(self) -> Filter:
        """The field is there, and not null."""
        return Exists(self.name)

    def __repr__(self) -> str:
        return f"F({self.name!r})"


def _parts(filter: object, kind: type[And] | type[Or]) -> tuple[Filter, ...]:
    if not isinstance(filter, Filter):
        raise InvalidArgumentError(
            f"{filter!r} is no filter: expected a comparison in parentheses, such as "
            '(F("year") >= 2000)'
        )
    return filter.parts if isinstance(filter, kind) else (filter,)


def _same_type(found: JSONValue, value: Scalar) -> bool:
    if isinstance(found, bool) or isinstance(value, bool):
        return isinstance(found, bool) and isinstance(value, bool)
    if isinstance(value, str):
        return isinstance(found, str)
    return isinstance(found, (int, float))


def _equal(found: JSONValue, value: Scalar) -> bool:
    return _same_type(found, value) and found == value


def _check_values(*values: object) -> None:
    for value in values:
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise InvalidArgumentError(f"value {value}: expected an integer of 64 bits")
        elif not isinstance(value, float) or not math.isfinite(value):
            raise InvalidArgumentError(
                f"value {value!r}: expected a string, a finite number, True or False"
            )


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{text!r}: expected a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{text[:80]!r} holds half a surrogate pair, which is no character: expected text "
            "that UTF-8 can write"
        ) from error
