"""How every store behaves that ranks values by their words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import pytest

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.metadata.capabilities import KeywordSearch, RankedKey, WordReader

TABLE = 'it\'s; {odd}: --"records" %s'
READER = WordReader("blanks", lambda value: value.decode().split())
CORPUS = {
    "a": "red apple",
    "b": "red red apple pie",
    "c": "green pear",
    "d": "old car",
    "e": "tree",
}
SCORES = {
    "red": {"b": 0.376103, "a": 0.349469},
    "pear": {"c": 1.141048},
    "red tree": {"e": 1.414171, "b": 0.376103, "a": 0.349469},
}
"""BM25 of these texts for some queries, by the package rank-bm25 with k1 = 1.2 and b = 0.75."""


class KeywordSearchContract(ABC):
    """Inherit from this class beside `MetadataStoreContract`, and define how to make a store.

    The docstring of each test explains its failure.
    """

    @abstractmethod
    def make_store(self, place: str = "one") -> MetadataStore:
        """Open the store at `place`, empty when a test opens it first."""

    @pytest.fixture
    def searched(self) -> Iterator[MetadataStore]:
        """Give an empty store, closed after the test."""
        with self.make_store("words") as store:
            yield store

    def test_ranks_by_bm25(self, searched: MetadataStore) -> None:
        """The scores are not those of BM25 with these parameters, or in another order."""
        _put(searched, **CORPUS)
        for query, expected in SCORES.items():
            ranked = _ranked(searched, *query.split())
            assert [key for key, _ in ranked] == list(expected)
            assert dict(ranked) == pytest.approx(expected, abs=1e-5)

    def test_returns_as_many_as_are_asked_for(self, searched: MetadataStore) -> None:
        """The limit is ignored, or equal scores are not in the order of their keys."""
        _put(searched, d="red", b="red", c="red", a="blue", e="blue")
        assert _keys(searched, "red") == ["b", "c", "d"]
        assert _keys(searched, "red", limit=2) == ["b", "c"]
        assert _keys(searched, "purple") == []

    def test_counts_a_word_once(self, searched: MetadataStore) -> None:
        """A word that is given twice counts twice."""
        _put(searched, **CORPUS)
        assert _ranked(searched, "red", "red") == _ranked(searched, "red")

    def test_knows_the_last_commit(self, searched: MetadataStore) -> None:
        """Words of a value are found that was replaced or deleted, or new ones are not."""
        assert _keys(searched, "red") == []
        _put(searched, a="red", b="green")
        assert _keys(searched, "red") == ["a"]
        _put(searched, a="green", b="red", c="red")
        assert _keys(searched, "red") == ["b", "c"]
        _put(searched, b=None)
        assert _keys(searched, "red") == ["c"]
        assert _search(searched).stale_words(TABLE, repair=False) == []

    def test_tables_have_words_of_their_own(self, searched: MetadataStore) -> None:
        """The values of another table are found, or count for the weight of a word."""
        _put(searched, **CORPUS)
        before = _ranked(searched, "red")
        searched.commit({Cell("other", str(number)): b"red" for number in range(9)})
        assert _ranked(searched, "red") == before

    def test_readers_have_words_of_their_own(self, searched: MetadataStore) -> None:
        """What one reader reads is found by another one, or forgotten when many are in use."""
        _put(searched, a="red green", b="green red")
        readers = [WordReader(f"word {place}", _word_at(place % 2)) for place in range(6)]
        for _ in range(2):
            for place, reader in enumerate(readers):
                ranked = _search(searched).rank_by_words(TABLE, reader, ["red"], 10)
                assert [key for key, _ in ranked] == ["ab"[place % 2]]

    @pytest.mark.parametrize("word", ["and", "or", "not", "near", "rank", "words", "\u82f9\u679c"])
    def test_no_word_has_a_meaning(self, searched: MetadataStore, word: str) -> None:
        """A word is taken for an operator of the store's language."""
        _put(searched, a=f"{word} red", b="red blue", c="blue", d="x", e="y")
        assert _keys(searched, word) == ["a"]
        assert _keys(searched, word, "blue") == ["a", "c", "b"]

    def test_refuses_what_is_no_word(self, searched: MetadataStore) -> None:
        """A text that is no word reaches the store's language."""
        _put(searched, a="red")
        for text in ("", "Red", "red blue", 'red"', "red*", "a\0b"):
            with pytest.raises(InvalidArgumentError, match="words"):
                _keys(searched, text)
        with pytest.raises(InvalidArgumentError, match="words"):
            _keys(searched)
        with pytest.raises(InvalidArgumentError, match="limit"):
            _keys(searched, "red", limit=0)


def _put(store: MetadataStore, **texts: str | None) -> None:
    """Commit a text under each key; None deletes the key."""
    store.commit(
        {Cell(TABLE, key): text if text is None else text.encode() for key, text in texts.items()}
    )


def _search(store: MetadataStore) -> KeywordSearch:
    assert isinstance(store, KeywordSearch), "the store lacks a method of KeywordSearch"
    return store


def _ranked(store: MetadataStore, *words: str, limit: int = 100) -> list[RankedKey]:
    """Return the keys of texts with one of the words, and their scores."""
    return _search(store).rank_by_words(TABLE, READER, words, limit)


def _keys(store: MetadataStore, *words: str, limit: int = 100) -> list[str]:
    """Return the keys of texts with one of the words."""
    return [key for key, _ in _ranked(store, *words, limit=limit)]


def _word_at(place: int) -> Callable[[bytes], list[str]]:
    return lambda value: value.decode().split()[place : place + 1]
