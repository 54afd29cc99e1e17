"""Haystack's filters as ours."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import TypeAlias, cast

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import F, Filter, Scalar
from onnxsearch.filters.conditions import MOST_DEPTH

HaystackFilters: TypeAlias = "Mapping[str, object]"
"""A comparison, {"field": ..., "operator": ..., "value": ...}, or a combination, {"operator":
..., "conditions": [...]}."""

_DOCUMENT_FIELDS = ("id", "content", "blob", "score", "embedding", "sparse_embedding")
"""What a document has besides metadata; an image has none of it to filter by."""

_ORDERS = {">": F.__gt__, ">=": F.__ge__, "<": F.__lt__, "<=": F.__le__}


def as_filter(filters: HaystackFilters | None) -> Filter | None:
    """Return the filter that a mapping of Haystack describes; None for an empty one.

    It matches what Haystack's own document stores match: `!=` and `not in` match images without
    the field, `== None` matches only these, and text has an order only if it is a date.

    Args:
        filters: The mapping. It may come from an untrusted source.

    Raises:
        InvalidArgumentError: It is no filter, or compares something else than metadata.
    """
    return _filter(filters, 0) if filters else None


def _filter(filters: object, level: int) -> Filter:
    # Deeper ones are refused where they are made; this comes first, and ends circles.
    if level > MOST_DEPTH:
        raise InvalidArgumentError(
            f"filters that are nested more than {MOST_DEPTH} levels deep: expected fewer"
        )
    match filters:
        case {"field": str() as field, "operator": str() as operator, "value": value}:
            return _comparison(_field(field, filters), operator, value, filters)
        case {"operator": str() as operator, "conditions": list() as conditions} if conditions:
            return _combination(operator, [_filter(each, level + 1) for each in conditions])
    raise _refused(filters)


def _combination(operator: str, parts: Sequence[Filter]) -> Filter:
    match operator:
        case "AND":
            return reduce(and_, parts)
        case "OR":
            return reduce(or_, parts)
        case "NOT":
            return ~reduce(and_, parts)
    raise InvalidArgumentError(f"operator {operator!r:.80}: expected AND, OR or NOT")


def _comparison(field: F, operator: str, value: object, filters: object) -> Filter:
    match operator, value:
        case "==", None:
            return ~field.exists()
        case "!=", None:
            return field.exists()
        case "==", str() | int() | float():
            return field == value
        case "!=", str() | int() | float():
            return ~(field == value)
        case "in", list():
            return field.in_(cast("list[Scalar]", value))
        case "not in", list():
            return ~field.in_(cast("list[Scalar]", value))
        case ((">" | ">=" | "<" | "<="), None):
            return field.in_([])
        case ((">" | ">=" | "<" | "<="), str() | int() | float()):
            if isinstance(value, str) and not _is_date(value):
                raise _refused(filters)
            return _ORDERS[operator](field, value)
    raise _refused(filters)


def _field(name: str, filters: object) -> F:
    """Return the metadata field of a name such as `meta.camera.make`."""
    if name in _DOCUMENT_FIELDS:
        raise _refused(filters)
    return F(*name.removeprefix("meta.").split("."))


def _is_date(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _refused(filters: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"filters {reprlib.repr(filters)}: expected {{'field': 'meta.name', 'operator': ..., "
        "'value': ...}, with one of the operators == and != (with a string, number, boolean or "
        "None), >, >=, < and <= (with a number or a date as text), in and not in (with a list); "
        "or {'operator': 'AND', 'OR' or 'NOT', 'conditions': [...]}"
    )
