"""Values in memory, ranked by the words in them."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from onnxsearch.metadata.capabilities import RankedKey, WordReader

K1, B = 1.2, 0.75
"""The parameters of BM25, with the values that SQLite's FTS5 has."""
LEAST_WEIGHT = 1e-6
"""Weight of a word in more than half of the values, as in FTS5: BM25's would be negative."""


class WordIndex:
    """An inverted index in memory: which values hold a word, and how often.

    Scores are those of `KeywordSearch.rank_by_words`.

    Args:
        reader: Reads the words of a value.
    """

    def __init__(self, reader: WordReader) -> None:
        self._reader = reader
        self._words: dict[str, Counter[str]] = {}
        """The words of each value, by key."""
        self._lengths: dict[str, int] = {}
        """How many words each value has."""
        self._keys: defaultdict[str, set[str]] = defaultdict(set)
        """The keys of the values that hold a word."""
        self._length = 0
        """Words of all values."""

    def set(self, key: str, value: bytes | None) -> None:
        """Replace the words of a key by those of another value; None removes them."""
        for word in self._words.pop(key, ()):
            self._keys[word].discard(key)
            if not self._keys[word]:
                del self._keys[word]
        self._length -= self._lengths.pop(key, 0)
        if value is not None:
            words = self._words[key] = Counter(self._reader.read(value))
            for word in words:
                self._keys[word].add(key)
            self._lengths[key] = words.total()
            self._length += self._lengths[key]

    def update(self, values: Iterable[tuple[str, bytes]]) -> None:
        """Set the words of several keys."""
        for key, value in values:
            self.set(key, value)

    def rank(self, words: Sequence[str], limit: int) -> list[RankedKey]:
        """Return the keys of the values that hold one of the words, best first."""
        scores: defaultdict[str, float] = defaultdict(float)
        mean = self._length / len(self._words) if self._words else 0.0
        for word in sorted(set(words)):
            keys = self._keys.get(word, frozenset[str]())
            weight = weight_of(len(self._words), len(keys))
            for key in keys:
                times, norm = self._words[key][word], 1 - B + B * self._lengths[key] / mean
                scores[key] += weight * times * (K1 + 1) / (times + K1 * norm)
        best = heapq.nsmallest(limit, scores.items(), key=lambda item: (-item[1], item[0]))
        return [RankedKey(key, score) for key, score in best]


def weight_of(values: int, holding: int) -> float:
    """Return the weight of a word that `holding` of all values hold."""
    weight = math.log((values - holding + 0.5) / (holding + 0.5))
    return weight if weight > 0 else LEAST_WEIGHT
