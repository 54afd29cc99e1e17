"""Filters as Milvus expressions, with the meaning that `onnxsearch.filters` gives them.

See `onnxsearch.vectors.milvus.documents` for the form of the metadata. An expression asks
the list of names first, which every row has, so that every part of it is true or
false. It compares strings of a closed alphabet: no text of a user can become syntax.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import (
    And,
    Contains,
    Exists,
    FieldComparison,
    Filter,
    Not,
    OneOf,
    Operator,
    Or,
    Scalar,
    StartsWith,
)
from onnxsearch.filters.syntax import path_text
from onnxsearch.vectors.milvus.documents import (
    FIELDS,
    KINDS,
    LONG_TEXT,
    MORE,
    digits_of,
    document as document,
    kind_of,
    stored_name,
    token_of,
)

_FEW = 8
"""Values that Lite compares one by one, where halving would only lengthen the expression."""


def undecided(filter: Filter) -> str:
    """Return the expression of rows that lack a field on which `filter` depends."""
    lacking = [
        _joined("and", [_Condition(1, f"not {_there(column)}") for column in columns], _ALWAYS)
        for columns in ([kind + stored_name(path) for kind in KINDS] for path in _paths(filter))
    ]
    return f"({_there(MORE)} and {_any(lacking).text})"


def _paths(filter: Filter) -> set[tuple[str, ...]]:
    match filter:
        case And(parts) | Or(parts):
            return {path for part in parts for path in _paths(part)}
        case Not(part):
            return _paths(part)
        case Exists(path) | FieldComparison(path) | OneOf(path):
            return {path}
        case StartsWith(path) | Contains(path):
            return {path}
        case _:
            return set()


def expression(filter: Filter, *, lite: bool = False) -> str:
    """Return the Milvus expression that finds what `filter` matches.

    Args:
        filter: What to look for.
        lite: Whether the expression is for Milvus Lite, which has no `in` for JSON.

    Raises:
        InvalidArgumentError: The filter is of an unknown kind, or sorts by text that is
            longer than the part of it that Milvus stores.
    """
    return _condition(filter, lite=lite).text


class _Condition(NamedTuple):
    levels: int
    """Operators above the deepest operand. A server accepts 48 levels."""
    text: str


_NEVER = _Condition(1, 'id == ""')
_ALWAYS = _Condition(1, 'id != ""')


def _condition(filter: Filter, *, lite: bool) -> _Condition:
    match filter:
        case And(parts):
            return _joined("and", [_condition(part, lite=lite) for part in parts], _ALWAYS)
        case Or(parts):
            return _any([_condition(part, lite=lite) for part in _merged(parts)])
        case Not(part):
            levels, text = _condition(part, lite=lite)
            return _Condition(levels + 1, f"not ({text})")
        case Exists(path):
            return _any([_Condition(0, _there(kind + stored_name(path))) for kind in KINDS])
        case FieldComparison(path, operator, value):
            if operator not in (Operator.EQ, Operator.NE):
                _check_length(path, value)
            return _guarded(
                kind_of(value) + stored_name(path), f'{operator.value} "{digits_of(value)}"'
            )
        case OneOf(path, values):
            return _one_of(path, values, lite=lite)
        case StartsWith(path, prefix):
            _check_length(path, prefix)
            return _guarded("s" + stored_name(path), f'like "{digits_of(prefix)}%"')
        case Contains(path, value):
            column = "l" + stored_name(path)
            return _Condition(1, f"({_there(column)} and {_holds(column, token_of(value))})")
        case _:
            raise InvalidArgumentError(
                f"{filter!r} has no Milvus expression: expected a filter made with F, &, | and ~"
            )


def _check_length(path: tuple[str, ...], value: Scalar) -> None:
    if isinstance(value, str) and len(value.encode()) > LONG_TEXT:
        raise InvalidArgumentError(
            f"a filter sorts {path_text(path):.80} by text of {len(value.encode())} bytes, and "
            f"Milvus has only the first {LONG_TEXT} bytes of longer text: expected shorter text, "
            "or == and in_, which take any"
        )


def _merged(parts: Iterable[Filter]) -> list[Filter]:
    """Merge the values that one field may equal into one list."""
    values: dict[tuple[str, ...], list[Scalar]] = {}
    others: list[Filter] = []
    for part in parts:
        match part:
            case FieldComparison(path, Operator.EQ, value):
                values.setdefault(path, []).append(value)
            case OneOf(path, several):
                values.setdefault(path, []).extend(several)
            case _:
                others.append(part)
    return [*(OneOf(path, tuple(several)) for path, several in values.items()), *others]


def _one_of(path: tuple[str, ...], values: Iterable[Scalar], *, lite: bool) -> _Condition:
    columns: dict[str, set[str]] = {}
    for value in values:
        columns.setdefault(kind_of(value) + stored_name(path), set()).add(digits_of(value))
    ways: list[_Condition] = []
    for column, several in columns.items():
        digits = sorted(several)
        if lite:
            ways.append(_Condition(1, f"({_there(column)} and {_among(column, digits)})"))
        else:
            ways.append(_guarded(column, 'in ["' + '", "'.join(digits) + '"]'))
    return _any(ways)


def _among(column: str, digits: Sequence[str]) -> str:
    """Return the condition that a value is one of sorted digits, by halving them.

    Milvus Lite evaluates the condition for each row.
    """
    found = f'metadata["{column}"]'
    if len(digits) <= _FEW:
        return "(" + " or ".join(f'{found} == "{each}"' for each in digits) + ")"
    half = len(digits) // 2
    low, high = _among(column, digits[:half]), _among(column, digits[half:])
    pivot = digits[half]
    return f'({found} < "{pivot}" and {low} or {found} >= "{pivot}" and {high})'


def _guarded(column: str, condition: str) -> _Condition:
    return _Condition(1, f'({_there(column)} and metadata["{column}"] {condition})')


def _there(column: str) -> str:
    return _holds(FIELDS, column)


def _holds(column: str, text: str) -> str:
    return f'json_contains(metadata["{column}"], "{text}")'


def _any(parts: Iterable[_Condition]) -> _Condition:
    return _joined("or", parts, _NEVER)


def _joined(word: str, parts: Iterable[_Condition], empty: _Condition) -> _Condition:
    """Join the two shallowest parts repeatedly, which gives the tree of least depth.

    The source is M. C. Golumbic, Combinatorial merging, IEEE Transactions on Computers
    25 (1976). Without parentheses, a server puts each part a level below the one before.
    """
    waiting = list(parts) or [empty]
    heapify(waiting)
    while len(waiting) > 1:
        one, other = heappop(waiting), heappop(waiting)
        text = f"({one.text} {word} {other.text})"
        heappush(waiting, _Condition(other.levels + 1, text))
    return waiting[0]
