"""The kinds of filters, and their combination."""

from __future__ import annotations

import dataclasses
import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters.values import Scalar, Typed, check_text, checked, with_type
from onnxsearch.types import Metadata

_depth = operator.attrgetter("depth")

MOST_DEPTH = 24
"""How deep `&`, `|` and `~` may be nested.

A Milvus server reads 48 levels of operators. A condition takes at most 3 of them, and
joining n conditions at most log2(n) more than the depth: this leaves room for a
million conditions at any depth.
"""


class Filter(ABC):
    """A condition on metadata. Filters are values: comparable and immutable."""

    __slots__ = ()

    depth: int = 0
    """How deep `&`, `|` and `~` are nested; 0 for a single condition."""

    @abstractmethod
    def matches(self, metadata: Metadata) -> bool:
        """Return whether `metadata` meets the condition."""

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


def check_filter(filter: object) -> None:
    """Raise an error unless `filter` is a filter.

    Raises:
        InvalidArgumentError: `filter` was not made with `F`, or is a field alone.
    """
    if not isinstance(filter, Filter):
        raise InvalidArgumentError(
            f"{filter!r:.80} is not a filter: expected a condition on a field, such as "
            '(F("year") >= 2000), (F("archived") == True) or F("archived").exists()'
        )


class Operator(StrEnum):
    """Operators that compare a field with a value."""

    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="

    def holds(self, found: object, value: Scalar) -> bool:
        """Return whether two values of one type compare so."""
        return bool(getattr(operator, self.name.lower())(found, value))


@dataclass(frozen=True, slots=True)
class FieldComparison(Filter):
    """The field is of the value's type, and compares to it by the operator."""

    field: str
    operator: Operator
    value: Scalar = dataclasses.field(compare=False)
    _typed: Typed = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_text(self.field)
        object.__setattr__(self, "_typed", checked(self.value))
        if isinstance(self.value, bool) and self.operator not in (Operator.EQ, Operator.NE):
            raise InvalidArgumentError(
                f"{self.field!r} {self.operator.value} {self.value}: true and false have no "
                "order; expected == or !="
            )

    def matches(self, metadata: Metadata) -> bool:
        found = with_type(metadata.get(self.field))
        if found is None or found[0] != self._typed[0]:
            return False
        return self.operator.holds(found[1], self.value)


@dataclass(frozen=True, slots=True)
class OneOf(Filter):
    """The field equals one of the values; false where there are no values."""

    field: str
    values: tuple[Scalar, ...] = dataclasses.field(compare=False)
    _typed: frozenset[Typed] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_text(self.field)
        object.__setattr__(self, "_typed", frozenset(map(checked, self.values)))

    def matches(self, metadata: Metadata) -> bool:
        return with_type(metadata.get(self.field)) in self._typed


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """The field is a list, and one of its elements equals the value."""

    field: str
    value: Scalar = dataclasses.field(compare=False)
    _typed: Typed = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_text(self.field)
        object.__setattr__(self, "_typed", checked(self.value))

    def matches(self, metadata: Metadata) -> bool:
        found = metadata.get(self.field)
        return (
            isinstance(found, Sequence)
            and not isinstance(found, str)
            and any(with_type(element) == self._typed for element in found)
        )


@dataclass(frozen=True, slots=True)
class StartsWith(Filter):
    """The field is a string that begins with the prefix."""

    field: str
    prefix: str

    def __post_init__(self) -> None:
        check_text(self.field)
        check_text(self.prefix)

    def matches(self, metadata: Metadata) -> bool:
        found = metadata.get(self.field)
        return isinstance(found, str) and found.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """The field is present, and not null."""

    field: str

    def __post_init__(self) -> None:
        check_text(self.field)

    def matches(self, metadata: Metadata) -> bool:
        return metadata.get(self.field) is not None


@dataclass(frozen=True, slots=True)
class And(Filter):
    """Every part is true."""

    parts: tuple[Filter, ...]
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_around(self.parts))

    def matches(self, metadata: Metadata) -> bool:
        return all(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """At least one part is true."""

    parts: tuple[Filter, ...]
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_around(self.parts))

    def matches(self, metadata: Metadata) -> bool:
        return any(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The part is false."""

    part: Filter
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_filter(self.part)
        object.__setattr__(self, "depth", _depth_around((self.part,)))

    def matches(self, metadata: Metadata) -> bool:
        return not self.part.matches(metadata)

    def __invert__(self) -> Filter:
        return self.part


def _parts(filter: Filter, kind: type[And] | type[Or]) -> tuple[Filter, ...]:
    check_filter(filter)
    return filter.parts if isinstance(filter, kind) else (filter,)


def _depth_around(parts: Sequence[Filter]) -> int:
    depth = 1 + max(map(_depth, parts), default=0)
    if depth > MOST_DEPTH:
        raise InvalidArgumentError(
            f"a filter in which &, | and ~ are nested {depth} deep: expected at most "
            f"{MOST_DEPTH}, which every store can take. Chains such as a & b & c are one deep"
        )
    return depth
