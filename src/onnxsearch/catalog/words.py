"""The words of a text, as keyword searches compare them.

Words are runs of letters, digits and their marks. What people write differently is made equal:
upper and lower case, full-width and other compatible forms (NFKC), and Latin and Greek letters
with and without accents. A word in which the case or the kind changes is also taken apart:
`redApple2` is `redapple2`, `red`, `apple` and `2`. Scripts that put no spaces between words are
read as pairs of characters, which is what search engines do without a dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

LONGEST = 64
"""Characters of a word that are compared, at most."""
MOST_CHARACTERS = 100_000
"""Characters of a text that are read, at most: a caption has some hundred."""

_ACCENTS = re.compile("([\0-\u024f\u0370-\u03ff])[\u0300-\u036f]+")
"""Combining marks after a Latin or Greek letter. In other scripts they make another letter."""
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SINGLE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_ASCII = re.compile(r"[A-Za-z0-9]+")
_UNSPACED = re.compile(
    # Thai, Lao, Myanmar, Khmer; kana; Han, and its extensions
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
"""Characters of scripts without spaces between words."""


_REMEMBERED = 0x10000
"""Characters below this one are looked up once: a few MB, whatever texts hold."""


class _Separators(dict[int, int]):
    """Maps the characters that belong to no word to a blank, for `str.translate`."""

    def __missing__(self, code: int) -> int:
        found = code if unicodedata.category(chr(code))[0] in "LNM" else ord(" ")
        if code < _REMEMBERED:
            self[code] = found
        return found


_SEPARATORS = _Separators()


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a text that is searched, each as often as it occurs."""
    for word in _runs(text[:MOST_CHARACTERS]):
        yield from _with_parts(word)
        if not word.isascii():
            for run in _UNSPACED.findall(word):
                yield from run
                yield from map("".join, pairwise(run))


def query_words(text: str) -> list[str]:
    """Return the words to search for, each once; of pairs of characters only the pairs."""
    words: list[str] = []
    for word in _runs(text):
        words += _with_parts(word)
        for run in _UNSPACED.findall(word):
            words += map("".join, pairwise(run)) if len(run) > 1 else run
    return list(dict.fromkeys(words))


def _runs(text: str) -> list[str]:
    """Return the runs of letters, digits and marks in the normal form of a text."""
    if text.isascii():
        return _ASCII.findall(text)
    text = _ACCENTS.sub(r"\1", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", text).translate(_SEPARATORS).split()


def _with_parts(word: str) -> Iterator[str]:
    """Yield a word, and the parts of which it consists if there are several."""
    if word.isascii():
        yield word.lower()[:LONGEST]
        if not _SINGLE.fullmatch(word):
            yield from (part.lower()[:LONGEST] for part in _PARTS.findall(word))
    else:
        yield from (part.casefold()[:LONGEST] for part in _UNSPACED.sub(" ", word).split())
