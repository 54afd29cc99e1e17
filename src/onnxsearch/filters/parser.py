"""Filters from text, such as `price < 20 and tags contains 'cup'`.

filter    = conjunction, { "or", conjunction }
conjunction = negation, { "and", negation }
negation  = "not", negation | "(", filter, ")" | condition | "true" | "false"
condition = field, ( "==" | "!=" | "<" | "<=" | ">" | ">=" ), value
| field, [ "not" ], ( "in", "[", [ value, { ",", value } ], "]"
| "contains", value | "startswith", value | "exists" )
field     = name, { ".", name }
value     = text in quotation marks | number | date | "true" | "false"
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from onnxsearch._internal.validation import instance
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters.conditions import (
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
    joined,
)
from onnxsearch.filters.syntax import WORDS, Token, syntax_error, tokens
from onnxsearch.filters.values import Scalar, check_text

MOST_CHARACTERS = 2**19
"""Characters of a filter as text: enough for 10,000 values, and read in about a second."""

_MOST_NESTED = 48
"""Depth of parentheses, of which some may be superfluous."""

_OPERATORS = tuple(operator.value for operator in Operator)
_COMPARISON = f"one of {', '.join(_OPERATORS)}, or in, contains, startswith, exists"
_VALUE = "text in quotation marks, a number, a date, true or false"


def parse(text: str) -> Filter:
    """Return the filter that a text describes.

    Raises:
        InvalidArgumentError: It is not a filter, too long, or nested too deeply.
    """
    check_text(instance("text", text, str, "a filter such as 'price < 20'"), "text")
    if len(text) > MOST_CHARACTERS:
        raise InvalidArgumentError(
            f"a filter of {len(text):,} characters: expected at most {MOST_CHARACTERS:,}"
        )
    return _Parser(text).whole()


class _Parser:
    """Reads one text by recursive descent, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = next(self._tokens)
        self._depth = 0

    def whole(self) -> Filter:
        """Return the filter, which takes all of the text."""
        filter = self._disjunction()
        if self._next.kind != "end":
            raise self._unexpected("`and`, `or`, or the end")
        return filter

    def _disjunction(self) -> Filter:
        return self._joined(Or, "or", self._conjunction)

    def _conjunction(self) -> Filter:
        return self._joined(And, "and", self._negation)

    def _joined(self, kind: type[And] | type[Or], word: str, part: Callable[[], Filter]) -> Filter:
        place = self._next
        parts = [part()]
        while self._next.is_word(word):
            self._advance()
            parts.append(part())
        return parts[0] if len(parts) == 1 else self._checked(place, partial(joined, kind, parts))

    def _negation(self) -> Filter:
        place = self._next
        if place.is_word("not"):
            part = self._nested(self._negation)
            return self._checked(place, lambda: ~part)
        if place.is_sign("("):
            filter = self._nested(self._disjunction)
            self._take(")")
            return filter
        if place.is_word("true", "false"):
            self._advance()
            return And(()) if place.is_word("true") else Or(())
        return self._condition()

    def _nested(self, rule: Callable[[], Filter]) -> Filter:
        if self._depth == _MOST_NESTED:
            raise syntax_error(
                self._text, self._next.start, f"nested more than {_MOST_NESTED} levels deep"
            )
        self._depth += 1
        self._advance()
        filter = rule()
        self._depth -= 1
        return filter

    def _condition(self) -> Filter:
        place = self._next
        path = self._path()
        if self._next.is_sign(*_OPERATORS):
            operator = Operator(self._advance().text)
            value = self._value()
            return self._checked(place, lambda: FieldComparison(path, operator, value))
        negated = self._next.is_word("not")
        if negated:
            self._advance()
        condition = self._checked(place, self._by_word(path))
        return self._checked(place, lambda: Not(condition)) if negated else condition

    def _by_word(self, path: tuple[str, ...]) -> Callable[[], Filter]:
        word = self._next
        if not word.is_word("in", "contains", "startswith", "exists"):
            raise self._unexpected(_COMPARISON)
        self._advance()
        match word.text.lower():
            case "in":
                return partial(OneOf, path, self._values())
            case "contains":
                return partial(Contains, path, self._value())
            case "startswith":
                return partial(StartsWith, path, self._prefix())
            case _:
                return partial(Exists, path)

    def _path(self) -> tuple[str, ...]:
        names = [self._name()]
        while self._next.is_sign("."):
            self._advance()
            names.append(self._name())
        return tuple(names)

    def _name(self) -> str:
        token = self._next
        if token.kind == "name":
            return str(self._advance().value)
        if token.is_word(*WORDS):
            raise self._unexpected(f"the name of a field; a field of this name is `{token.text}`")
        if token.kind != "word":
            raise self._unexpected("the name of a field")
        return self._advance().text

    def _values(self) -> tuple[Scalar, ...]:
        self._take("[")
        values: list[Scalar] = []
        while not self._next.is_sign("]"):
            values.append(self._value())
            if not self._next.is_sign(",", "]"):
                raise self._unexpected("`,` or `]`")
            if self._next.is_sign(","):
                self._advance()
        self._advance()
        return tuple(values)

    def _value(self) -> Scalar:
        token = self._next
        if token.is_word("true", "false"):
            return self._advance().text.lower() == "true"
        if token.kind not in ("text", "number", "time"):
            raise self._unexpected(_VALUE)
        return self._advance().value

    def _prefix(self) -> str:
        if self._next.kind not in ("text", "time"):
            raise self._unexpected("text in quotation marks")
        return str(self._advance().value)

    def _take(self, sign: str) -> None:
        if not self._next.is_sign(sign):
            raise self._unexpected(f"`{sign}`")
        self._advance()

    def _advance(self) -> Token:
        token = self._next
        self._next = next(self._tokens, token)
        return token

    def _checked(self, place: Token, make: Callable[[], Filter]) -> Filter:
        try:
            return make()
        except InvalidArgumentError as error:
            raise syntax_error(self._text, place.start, str(error)) from error

    def _unexpected(self, expected: str) -> InvalidArgumentError:
        found = self._next
        shown = "the end" if found.kind == "end" else repr(found.text[:60])
        return syntax_error(self._text, found.start, f"expected {expected}, found {shown}")
