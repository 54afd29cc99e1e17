"""The kinds of filters, and their combination."""

from __future__ import annotations

import dataclasses
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters.syntax import path_text, value_text
from onnxsearch.filters.values import (
    FilterDict,
    Scalar,
    Typed,
    check_path,
    check_text,
    checked,
    path_value,
    value_at,
    with_type,
)
from onnxsearch.types import Metadata

_depth = operator.attrgetter("depth")

MOST_DEPTH = 24
"""How deep `&`, `|` and `~` may be nested.

A Milvus server reads 48 levels of operators. A condition takes at most 3 of them, and
joining n conditions at most log2(n) more than the depth: this leaves room for a
million conditions at any depth.
"""


class Filter(ABC):
    """A condition on metadata. Filters are values: comparable and immutable.

    `str(filter)` is text that `F.parse` reads back, and `filter.to_dict()` a mapping that
    `F.from_dict` reads back.
    """

    __slots__ = ()

    depth: int = 0
    """How deep `&`, `|` and `~` are nested; 0 for a single condition."""

    @abstractmethod
    def matches(self, metadata: Metadata) -> bool:
        """Return whether `metadata` meets the condition."""

    @abstractmethod
    def to_dict(self) -> FilterDict:
        """Return the filter as a mapping that JSON can hold; see `F.from_dict`."""

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        return f"F.parse({str(self)!r})"

    def __and__(self, other: Filter) -> Filter:
        return joined(And, (self, other))

    def __or__(self, other: Filter) -> Filter:
        return joined(Or, (self, other))

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
            '(F("year") >= 2000), (F("archived") == True) or F("archived").exists(). F.parse() '
            "reads text, and F.from_dict() a mapping"
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


@dataclass(frozen=True, slots=True, repr=False)
class FieldComparison(Filter):
    """The field is of the value's type, and compares to it by the operator."""

    path: tuple[str, ...]
    operator: Operator
    value: Scalar = dataclasses.field(compare=False)
    _typed: Typed = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_path(self.path)
        object.__setattr__(self, "_typed", checked(self.value))
        if isinstance(self.value, bool) and self.operator not in (Operator.EQ, Operator.NE):
            raise InvalidArgumentError(f"{self}: true and false have no order; expected == or !=")

    def matches(self, metadata: Metadata) -> bool:
        found = with_type(value_at(metadata, self.path))
        if found is None or found[0] != self._typed[0]:
            return False
        return self.operator.holds(found[1], self.value)

    def to_dict(self) -> FilterDict:
        return {"field": path_value(self.path), self.operator.name.lower(): self.value}

    def __str__(self) -> str:
        return f"{path_text(self.path)} {self.operator.value} {value_text(self.value)}"


@dataclass(frozen=True, slots=True, repr=False)
class OneOf(Filter):
    """The field equals one of the values; false where there are no values."""

    path: tuple[str, ...]
    values: tuple[Scalar, ...] = dataclasses.field(compare=False)
    _typed: frozenset[Typed] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_path(self.path)
        object.__setattr__(self, "_typed", frozenset(map(checked, self.values)))

    def matches(self, metadata: Metadata) -> bool:
        return with_type(value_at(metadata, self.path)) in self._typed

    def to_dict(self) -> FilterDict:
        return {"field": path_value(self.path), "in": list(self.values)}

    def __str__(self) -> str:
        return f"{path_text(self.path)} in [{', '.join(map(value_text, self.values))}]"


@dataclass(frozen=True, slots=True, repr=False)
class Contains(Filter):
    """The field is a list, and one of its elements equals the value."""

    path: tuple[str, ...]
    value: Scalar = dataclasses.field(compare=False)
    _typed: Typed = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_path(self.path)
        object.__setattr__(self, "_typed", checked(self.value))

    def matches(self, metadata: Metadata) -> bool:
        found = value_at(metadata, self.path)
        return (
            isinstance(found, Sequence)
            and not isinstance(found, str)
            and any(with_type(element) == self._typed for element in found)
        )

    def to_dict(self) -> FilterDict:
        return {"field": path_value(self.path), "contains": self.value}

    def __str__(self) -> str:
        return f"{path_text(self.path)} contains {value_text(self.value)}"


@dataclass(frozen=True, slots=True, repr=False)
class StartsWith(Filter):
    """The field is a string that begins with the prefix."""

    path: tuple[str, ...]
    prefix: str

    def __post_init__(self) -> None:
        check_path(self.path)
        check_text(self.prefix)

    def matches(self, metadata: Metadata) -> bool:
        found = value_at(metadata, self.path)
        return isinstance(found, str) and found.startswith(self.prefix)

    def to_dict(self) -> FilterDict:
        return {"field": path_value(self.path), "startswith": self.prefix}

    def __str__(self) -> str:
        return f"{path_text(self.path)} startswith {value_text(self.prefix)}"


@dataclass(frozen=True, slots=True, repr=False)
class Exists(Filter):
    """The field is present, and not null."""

    path: tuple[str, ...]

    def __post_init__(self) -> None:
        check_path(self.path)

    def matches(self, metadata: Metadata) -> bool:
        return value_at(metadata, self.path) is not None

    def to_dict(self) -> FilterDict:
        return {"field": path_value(self.path), "exists": True}

    def __str__(self) -> str:
        return f"{path_text(self.path)} exists"


@dataclass(frozen=True, slots=True, repr=False)
class And(Filter):
    """Every part is true."""

    parts: tuple[Filter, ...]
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_around(self.parts))

    def matches(self, metadata: Metadata) -> bool:
        return all(part.matches(metadata) for part in self.parts)

    def to_dict(self) -> FilterDict:
        return {"and": [part.to_dict() for part in self.parts]}

    def __str__(self) -> str:
        return " and ".join(map(_operand, self.parts)) or "true"


@dataclass(frozen=True, slots=True, repr=False)
class Or(Filter):
    """At least one part is true."""

    parts: tuple[Filter, ...]
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_around(self.parts))

    def matches(self, metadata: Metadata) -> bool:
        return any(part.matches(metadata) for part in self.parts)

    def to_dict(self) -> FilterDict:
        return {"or": [part.to_dict() for part in self.parts]}

    def __str__(self) -> str:
        return " or ".join(map(_operand, self.parts)) or "false"


@dataclass(frozen=True, slots=True, repr=False)
class Not(Filter):
    """The part is false."""

    part: Filter
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_filter(self.part)
        object.__setattr__(self, "depth", _depth_around((self.part,)))

    def matches(self, metadata: Metadata) -> bool:
        return not self.part.matches(metadata)

    def to_dict(self) -> FilterDict:
        return {"not": self.part.to_dict()}

    def __str__(self) -> str:
        return f"not {_operand(self.part)}"

    def __invert__(self) -> Filter:
        return self.part


def joined(kind: type[And] | type[Or], filters: Iterable[Filter]) -> Filter:
    """Join filters; parts of the same kind are not nested, but joined with the others.

    Raises:
        InvalidArgumentError: One is not a filter, or the join is nested too deeply.
    """
    return kind(tuple(part for filter in filters for part in _parts(filter, kind)))


def _operand(filter: Filter) -> str:
    """Return a filter as text, in parentheses if its own parts are joined."""
    return f"({filter})" if isinstance(filter, And | Or) and filter.parts else str(filter)


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
