"""Filters from mappings, such as JSON holds."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import cast

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters.conditions import (
    MOST_DEPTH,
    And,
    Contains,
    Exists,
    FieldComparison,
    Filter,
    OneOf,
    Operator,
    Or,
    StartsWith,
    joined,
)
from onnxsearch.filters.values import FilterDict, Scalar, plain

_COMPARISONS = {operator.name.lower(): operator for operator in Operator}
_OPERATORS = (*_COMPARISONS, "in", "contains", "startswith", "exists")


def from_dict(mapping: FilterDict) -> Filter:
    """Return the filter that a mapping describes; see `F.from_dict`."""
    return _filter(mapping, 0)


def _filter(mapping: object, level: int) -> Filter:
    if not isinstance(mapping, Mapping):
        raise _refused(mapping)
    # Deeper ones are refused where they are made; this comes first, and ends circles.
    if level > MOST_DEPTH:
        raise InvalidArgumentError(
            f"a filter that is nested more than {MOST_DEPTH} levels deep: expected fewer"
        )
    match list(mapping.items()):
        case [("and", parts)]:
            return joined(And, [_filter(part, level + 1) for part in _list(parts, mapping)])
        case [("or", parts)]:
            return joined(Or, [_filter(part, level + 1) for part in _list(parts, mapping)])
        case [("not", part)]:
            return ~_filter(part, level + 1)
        case [("field", field), (str() as name, value)] | [
            (str() as name, value),
            ("field", field),
        ]:
            return _condition(_path(field), name, value, mapping)
        case _:
            raise _refused(mapping)


def _condition(
    path: tuple[str, ...], name: object, value: object, mapping: Mapping[object, object]
) -> Filter:
    match name:
        case str() if name in _COMPARISONS:
            return FieldComparison(path, _COMPARISONS[name], plain(cast("Scalar", value)))
        case "in":
            values = cast("Sequence[Scalar]", _list(value, mapping))
            return OneOf(path, tuple(map(plain, values)))
        case "contains":
            return Contains(path, plain(cast("Scalar", value)))
        case "startswith":
            return StartsWith(path, cast("str", value))
        case "exists" if value is True:
            return Exists(path)
        case _:
            raise _refused(mapping)


def _path(field: object) -> tuple[str, ...]:
    names = (field,) if isinstance(field, str) else tuple(_list(field, {"field": field}))
    return cast("tuple[str, ...]", names)


def _list(value: object, mapping: Mapping[object, object]) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise _refused(mapping)
    return value


def _refused(given: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"filter mapping {reprlib.repr(given)}: expected {{'field': name, operator: value}}, with "
        f"one of the operators {', '.join(_OPERATORS)} (of which `in` takes a list, and `exists` "
        "true), or {'and': [...]}, {'or': [...]} or {'not': ...}"
    )
