"""The words, quotes and numbers of filters as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import NamedTuple

from onnxsearch._internal.iso_time import iso_text
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters.values import Scalar, check_text

WORDS = frozenset(["and", "or", "not", "in", "contains", "startswith", "exists", "true", "false"])
"""Words with a meaning of their own, in upper or lower case; a field of such a name is quoted."""

# Possessive quantifiers keep the time linear, whatever the text.
_TOKEN = re.compile(
    r"""
    (?P<time> [0-9]{4}-[0-9]{2}-[0-9]{2}
              (?: T[0-9]{2}:[0-9]{2} (?: :[0-9]{2} (?: \.[0-9]{1,6} )? )?
                  (?: Z | [+-][0-9]{2}:[0-9]{2} )? )?+ (?![\w.:+-]) )
  | (?P<number> [+-]?+ (?: [0-9]++ (?: \. [0-9]*+ )?+ | \. [0-9]++ ) (?: [eE] [+-]? [0-9]++ )?+
                (?![\w.]) )
  | (?P<word> [^\W\d]\w*+ )
  | (?P<text> ' [^'\\]*+ (?: \\. [^'\\]*+ )*+ ' | " [^"\\]*+ (?: \\. [^"\\]*+ )*+ " )
  | (?P<name> ` [^`\\]*+ (?: \\. [^`\\]*+ )*+ ` )
  | (?P<sign> == | != | <= | >= | [<>()\[\],.] )
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*+")
_BARE_NAME = re.compile(r"[^\W\d]\w*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"} | {c: c for c in "\\/'\"`"}

_SHOWN = 30
"""Characters of a filter that an error shows before and after the place."""


class Token(NamedTuple):
    """A part of a filter's text."""

    kind: str
    """A group of the pattern, or "end"."""
    text: str
    start: int
    value: Scalar = ""
    """What a literal or a quoted name stands for."""

    def is_word(self, *words: str) -> bool:
        """Return whether the token is one of the words, which are in lower case."""
        return self.kind == "word" and self.text.lower() in words

    def is_sign(self, *signs: str) -> bool:
        """Return whether the token is one of the signs."""
        return self.kind == "sign" and self.text in signs


def tokens(text: str) -> Iterator[Token]:
    """Yield the parts of a filter's text, and at last one of the kind "end".

    Raises:
        InvalidArgumentError: There is something else.
    """
    place = _end_of_space(text, 0)
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise syntax_error(text, place, _hint(text, place))
        yield _token(text, found)
        place = _end_of_space(text, found.end())
    yield Token("end", "", len(text))


def _end_of_space(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return found.end() if found else start


def _token(text: str, found: re.Match[str]) -> Token:
    kind, written, start = str(found.lastgroup), found.group(), found.start()
    try:
        return Token(kind, written, start, _value(kind, written))
    except (ValueError, OverflowError) as error:
        raise syntax_error(text, start, f"{written!r:.60} cannot be read: {error}") from error
    except InvalidArgumentError as error:
        raise syntax_error(text, start, str(error)) from error


def _value(kind: str, written: str) -> Scalar:
    match kind:
        case "number":
            return float(written) if set(written) & set(".eE") else int(written)
        case "time" if "T" in written:
            return iso_text(datetime.fromisoformat(written))
        case "time":
            return iso_text(date.fromisoformat(written))
        case "text" | "name":
            return _unquoted(written[1:-1])
        case _:
            return ""


def _unquoted(written: str) -> str:
    if "\\" not in written:
        return written
    text = _ESCAPE.sub(_escaped, written)
    # JSON writes a character beyond 16 bits as two surrogates.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    check_text(text)
    return text


def _escaped(found: re.Match[str]) -> str:
    code, character = found.groups()
    if code is not None:
        return chr(int(code, 16))
    if character not in _ESCAPED:
        raise InvalidArgumentError(
            f"unknown escape {found.group()!r}: expected \\n, \\r, \\t, \\u and four hex digits, "
            "or \\ before a quotation mark or another \\"
        )
    return _ESCAPED[character]


def _hint(text: str, place: int) -> str:
    match text[place]:
        case "'" | '"' | "`":
            return f"the quotation mark {text[place]} is not closed"
        case "=":
            return "expected ==, which compares"
        case "&" | "|" | "~" | "!":
            return "expected `and`, `or` or `not`, in letters"
        case digit if digit.isdigit() or digit in "+-":
            return "expected a number such as 20 or 1.5, or a date such as 2026-01-31"
        case other:
            return f"{other!r} has no meaning here: text is put in quotation marks"


def syntax_error(text: str, place: int, problem: str) -> InvalidArgumentError:
    """Return an error that shows a place in a filter's text with a caret below it."""
    start = max(0, place - _SHOWN)
    shown = "".join(c if c.isprintable() else "·" for c in text[start : place + _SHOWN])
    before, after = "…" if start else "", "…" if place + _SHOWN < len(text) else ""
    caret = " " * (len(before) + place - start) + "^"
    return InvalidArgumentError(
        f"filter, character {place + 1}: {problem}\n    {before}{shown}{after}\n    {caret}"
    )


def path_text(path: Iterable[str]) -> str:
    """Return how a filter names a field."""
    return ".".join(map(_name_text, path))


def _name_text(name: str) -> str:
    if _BARE_NAME.fullmatch(name) and name.lower() not in WORDS:
        return name
    escaped = json.dumps(name, ensure_ascii=False)[1:-1].replace("`", "\\`")
    return f"`{escaped}`"


def value_text(value: Scalar) -> str:
    """Return how a filter writes a value."""
    return json.dumps(value, ensure_ascii=False)
