"""Keywords: images ranked by the words of their captions, tags and file names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from onnxsearch._internal.validation import boolean, instance, items
from onnxsearch.catalog.keyword_index import TextFields
from onnxsearch.catalog.words import query_words
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.fusion import DEEPENING, Fusion
from onnxsearch.vectors.base import Match

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.filters import Filter

KEYWORDS = "keywords"
"""Name of the ranking by keywords, among those of the models."""

_LONGEST = 10_000
"""Characters of a query, at most."""
_MOST_WORDS = 256
"""Words of a query, at most: with that many, a search of 100,000 images takes a second."""
_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Keywords:
    """Words to search for, and the texts of an image in which they are looked for.

    Images that hold at least one of the words are ranked by BM25: rare words count more, and
    so do words of an image that has few. Case and accents make no difference. No character is
    an operator; punctuation separates words. `redApple2` is also `red`, `apple` and `2`.

    Example:
        >>> engine.search(keywords=Keywords("red apple", fields=["caption", "tags"]))
    """

    text: str
    """The words, at most 256."""
    fields: Iterable[str] | None = None
    """Metadata fields in which the words are looked for: those that hold a string or a list of
    strings. None for all. An index keeps the words of at most four choices of fields: with a
    further one, the oldest is read again when it is next asked for."""
    file_names: bool = True
    """Whether the words are also looked for in the name of the file, without its ending; for an
    image without a file, in the last part of its id."""

    def __post_init__(self) -> None:
        instance("text of keywords", self.text, str, "words to search for")
        if len(self.text) > _LONGEST:
            raise InvalidArgumentError(
                f"keywords of {len(self.text):,} characters: expected at most {_LONGEST:,}"
            )
        if not 0 < len(self.words) <= _MOST_WORDS:
            raise InvalidArgumentError(
                f"keywords {self.text!r:.80} have {len(self.words)} words: expected at least one, "
                f"which consists of letters or digits, and at most {_MOST_WORDS}"
            )
        boolean("file_names", self.file_names)
        if self.fields is not None:
            self._check_fields(self.fields)

    def _check_fields(self, fields: Iterable[str]) -> None:
        expected = "names of metadata fields, in a list"
        names = items("fields", fields, expected)
        for name in names:
            instance("fields", name, str, expected)
        if len(names) > _MOST_FIELDS or not (names or self.file_names):
            raise InvalidArgumentError(
                f"fields of {len(names)} names: expected at most {_MOST_FIELDS}, and at least one "
                "without file_names"
            )
        object.__setattr__(self, "fields", tuple(sorted(set(names))))

    @property
    def words(self) -> list[str]:
        """The words as they are compared."""
        return query_words(self.text)


def as_keywords(keywords: str | Keywords) -> Keywords:
    """Return keywords that may be given as a text."""
    return keywords if isinstance(keywords, Keywords) else Keywords(keywords)


@dataclass(frozen=True, slots=True)
class KeywordRanker:
    """Ranks the images of a catalog by keywords: a `Ranker` for one query.

    The distance of an image is 1 minus its score by BM25.
    """

    catalog: Catalog
    keywords: Keywords
    filter: Filter | None

    def __call__(self, limit: int) -> list[list[Match]]:
        """Return the images that come first."""
        words, depth = self.keywords.words, limit
        fields = cast("tuple[str, ...] | None", self.keywords.fields)
        texts = TextFields(fields, self.keywords.file_names)
        while True:
            ranked = self.catalog.keywords.rank(words, texts, depth)
            matches = [Match(key, 1.0 - score) for key, score in ranked]
            kept = self._kept(matches)
            if len(kept) >= limit or len(ranked) < depth:
                return [kept[:limit]]
            depth *= DEEPENING

    def _kept(self, matches: Sequence[Match]) -> list[Match]:
        """Return the images whose metadata match the filter."""
        if self.filter is None:
            return list(matches)
        known = self.catalog.records.resolve([match.key for match in matches])
        return [
            match
            for match in matches
            # One without a record is being stored or removed, which the caller finds out.
            if match.key not in known or self.filter.matches(known[match.key].record.metadata)
        ]


class AloneFusion(Fusion):
    """The ranking by keywords as it is, where there is no other one."""

    def merge(self, rankings: Mapping[str, Sequence[Match]]) -> list[Match]:
        """Return the only ranking."""
        (ranking,) = rankings.values()
        return list(ranking)

    def points(self, distances: Sequence[float]) -> Sequence[float]:
        """Return the scores."""
        return [1.0 - distance for distance in distances]
