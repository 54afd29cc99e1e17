"""Optional capability of metadata stores: values ranked by the words in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from onnxsearch._internal.validation import boolean, instance, integer, items, text
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.metadata.base import check_table

MOST_INDEXES = 4
"""Readers whose words of one table a durable store keeps: a further one takes the place of the
oldest."""

_WORD = re.compile("[a-z0-9\x80-\U0010ffff]+")


@dataclass(frozen=True, slots=True)
class WordReader:
    """A function that reads the words in a value, and its name."""

    name: str
    """Readers of one name return the same words for the same value, in every release."""
    read: Callable[[bytes], Sequence[str]]
    """Returns the words of a value, each as often as it occurs. A word consists of the ASCII
    characters a to z and 0 to 9, and of characters that are not ASCII."""

    def __post_init__(self) -> None:
        text("name", self.name, "a name")
        if not callable(self.read):
            raise InvalidArgumentError(
                f"read {self.read!r:.80}: expected a function from bytes to words"
            )


class RankedKey(NamedTuple):
    """A value that holds words that were searched for."""

    key: str
    score: float
    """BM25, above 0; higher is better."""


@runtime_checkable
class KeywordSearch(Protocol):
    """Protocol of metadata stores that rank the values of a table by the words in them.

    A `MetadataStore` offers it by having these methods; it need not inherit from this class.
    """

    def rank_by_words(
        self, table: str, reader: WordReader, words: Sequence[str], limit: int
    ) -> list[RankedKey]:
        """Return the keys of the values that hold at least one of the words, best first.

        Every commit that was acknowledged before the call is taken into account. The score is
        BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) with
        k1 = 1.2 and b = 0.75, as the function `bm25` of SQLite's FTS5 computes it: the weight
        of a word is log((N - n + 0.5) / (n + 0.5)), where n of N values hold it, and 1e-6 if
        that is not above 0. Equal scores come in the order of their keys.

        Args:
            table: Name of a table.
            reader: Reads the words of a value. The store may keep what it returns.
            words: At least one word; one that is given twice counts once.
            limit: Greatest number of keys.

        Raises:
            InvalidArgumentError: An argument is not as described.
            StoreError: The store failed.
        """
        ...

    def stale_words(self, table: str, *, repair: bool) -> list[str]:
        """Return the keys of values whose words `rank_by_words` would not find as they are.

        Args:
            table: Name of a table.
            repair: Also have the words read again by the next search.

        Raises:
            StoreError: The store failed.
        """
        ...


def check_ranking(table: str, reader: WordReader, words: Sequence[str], limit: int) -> None:
    """Check the arguments of `KeywordSearch.rank_by_words`.

    Raises:
        InvalidArgumentError: One is not as described.
    """
    check_table(table)
    instance("reader", reader, WordReader, "a WordReader")
    expected = "words of the characters a to z, 0 to 9 and those that are not ASCII, at least one"
    given = items("words", words, expected)
    if not given or not all(map(_is_word, given)):
        raise InvalidArgumentError(f"words {words!r:.200}: expected {expected}")
    integer("limit", limit, least=1)


def _is_word(word: object) -> bool:
    return isinstance(word, str) and _WORD.fullmatch(word) is not None


def check_stale(table: str, repair: bool) -> None:
    """Check the arguments of `KeywordSearch.stale_words`.

    Raises:
        InvalidArgumentError: One is not as described.
    """
    check_table(table)
    boolean("repair", repair)
