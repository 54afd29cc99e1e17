"""Parameters of requests, declared once: for reading them, and for the OpenAPI document."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import F, Filter
from onnxsearch.search.keywords import Keywords
from onnxsearch.search.query_part import read_box
from onnxsearch.serving.answers import bad_request, unusable
from onnxsearch.types import JSONValue

T_co = TypeVar("T_co", covariant=True)

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")

_ID_LENGTH = 4_096
"""Characters of an id, at most: those of the longest path. Several have to fit into a URL."""
_TEXT_LENGTH = 2_000
"""Characters of a text or name, at most; a model reads some hundred of them."""
_FILTER_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """A parameter of a request."""

    name: str
    description: str
    schema: Mapping[str, JSONValue]
    """JSON Schema of one value."""
    parse: Callable[[str], object]
    """Returns what one text stands for, or raises `InvalidArgumentError`."""
    default: T_co
    """The value if the parameter is missing."""
    repeated: bool = False
    """Whether it may come several times; its value is then a tuple."""
    has_syntax: bool = False
    """Whether texts of the schema may have no meaning, as in a language of its own."""


class Arguments:
    """The values of the parameters of one request.

    Args:
        parameters: What the request may have.
        given: Names and values as they came.

    Raises:
        Problem: A name is unknown or comes twice, or a value cannot be read.
    """

    def __init__(
        self, parameters: Collection[Parameter[object]], given: Iterable[tuple[str, str]]
    ) -> None:
        known = {each.name: each for each in parameters}
        texts: dict[str, list[str]] = {}
        for name, text in given:
            if name not in known:
                expected = ", ".join(known) or "none"
                raise bad_request(f"unknown parameter {name!r:.80}: expected one of {expected}")
            texts.setdefault(name, []).append(text)
        self._values = {name: _value(known[name], several) for name, several in texts.items()}

    def __getitem__(self, parameter: Parameter[T_co]) -> T_co:
        return cast("T_co", self._values.get(parameter.name, parameter.default))


def _value(parameter: Parameter[object], texts: Sequence[str]) -> object:
    if len(texts) > 1 and not parameter.repeated:
        raise bad_request(
            f"{parameter.name} is given {len(texts)} times: expected one value", parameter.name
        )
    values = tuple(_parsed(parameter, text) for text in texts)
    return values if parameter.repeated else values[0]


def _parsed(parameter: Parameter[object], text: str) -> object:
    try:
        return parameter.parse(text)
    except InvalidArgumentError as error:
        refuse = unusable if parameter.has_syntax else bad_request
        raise refuse(f"{parameter.name} {text!r:.80}: {error}", parameter.name) from error


def texts(name: str, description: str) -> Parameter[tuple[str, ...]]:
    """Declare a parameter of one or several texts."""
    return _several(name, description, _string(_TEXT_LENGTH), _text)


def ids(name: str, description: str) -> Parameter[tuple[str, ...]]:
    """Declare a parameter of one or several ids, which need not be valid Unicode."""
    return _several(name, description, _string(_ID_LENGTH), _id)


def text(name: str, description: str) -> Parameter[str | None]:
    """Declare an optional text."""
    return Parameter(name, description, _string(_TEXT_LENGTH), _text, None)


def choice(name: str, description: str, options: Sequence[str]) -> Parameter[str | None]:
    """Declare an optional parameter that is one of some words."""

    def parse(value: str) -> str:
        if value not in options:
            raise InvalidArgumentError(f"expected one of {', '.join(options)}")
        return value

    return Parameter(name, description, {"type": "string", "enum": list(options)}, parse, None)


def flag(name: str, description: str) -> Parameter[bool]:
    """Declare a parameter that is true or false; false if it is missing."""

    def parse(value: str) -> bool:
        if value not in ("true", "false"):
            raise InvalidArgumentError("expected true or false")
        return value == "true"

    return Parameter(name, description, {"type": "boolean", "default": False}, parse, False)


def integer(name: str, description: str, *, least: int, most: int, default: int) -> Parameter[int]:
    """Declare an integer; a default above `most` is `most`."""
    default = min(default, most)

    def parse(value: str) -> int:
        if not _INTEGER.fullmatch(value) or not least <= int(value) <= most:
            raise InvalidArgumentError(f"expected an integer from {least:,} to {most:,}")
        return int(value)

    schema: dict[str, JSONValue] = {
        "type": "integer", "minimum": least, "maximum": most, "default": default,
    }  # fmt: skip
    return Parameter(name, description, schema, parse, default)


def number(
    name: str, description: str, *, least: float | None = None, most: float | None = None
) -> Parameter[float | None]:
    """Declare an optional number."""
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    bounds = "" if least is None else f" from {least:g}" + ("" if most is None else f" to {most:g}")

    def parse(value: str) -> float:
        found = float(value) if _NUMBER.fullmatch(value) else math.nan
        if not math.isfinite(found) or not low <= found <= high:
            raise InvalidArgumentError(f"expected a number{bounds}")
        return found

    schema: dict[str, JSONValue] = {"type": "number"}
    schema |= {} if least is None else {"minimum": least}
    schema |= {} if most is None else {"maximum": most}
    return Parameter(name, description, schema, parse, None)


def filter_text(name: str, description: str) -> Parameter[Filter | None]:
    """Declare a filter in the form that `F.parse` reads."""

    def parse(value: str) -> Filter:
        return F.parse(_text(value, _FILTER_LENGTH))

    return Parameter(name, description, _string(_FILTER_LENGTH), parse, None, has_syntax=True)


def box(name: str, description: str) -> Parameter[Sequence[int] | None]:
    """Declare an optional part of an image: its edges in pixels."""
    schema: dict[str, JSONValue] = {"type": "string", "pattern": "^[0-9]{1,9}(,[0-9]{1,9}){3}$"}
    return Parameter(name, description, schema, read_box, None, has_syntax=True)


def keywords(name: str, description: str) -> Parameter[Keywords | None]:
    """Declare optional keywords, a text with at least one word."""

    def parse(value: str) -> Keywords:
        return Keywords(_text(value))

    return Parameter(name, description, _string(_TEXT_LENGTH), parse, None, has_syntax=True)


def _string(most: int) -> dict[str, JSONValue]:
    """Return the schema of a text of so many characters, at most."""
    return {"type": "string", "minLength": 1, "maxLength": most}


def _several(
    name: str, description: str, schema: Mapping[str, JSONValue], parse: Callable[[str], str]
) -> Parameter[tuple[str, ...]]:
    return Parameter(name, description, schema, parse, (), repeated=True)


def _text(value: str, most: int = _TEXT_LENGTH) -> str:
    if not 0 < len(value) <= most:
        raise InvalidArgumentError(f"{len(value):,} characters: expected a text of 1 to {most:,}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidArgumentError("expected a text in UTF-8")
    return value


def _id(value: str) -> str:
    if not 0 < len(value) <= _ID_LENGTH:
        raise InvalidArgumentError(
            f"{len(value):,} characters: expected an id of 1 to {_ID_LENGTH:,}"
        )
    return value
