"""The words of records, and the store that ranks records by them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from onnxsearch.catalog.serialization import decode_record
from onnxsearch.catalog.words import words_of
from onnxsearch.errors import StoreCorruptError, StoreError
from onnxsearch.metadata.base import MetadataStore
from onnxsearch.metadata.capabilities import KeywordSearch, WordReader
from onnxsearch.types import JSONValue, Record

MOST_WORDS = 10_000
"""Words of one image that are read, at most: some twenty describe an image."""

_VERSION = 1
"""Version of how words are read. Another one has every store read the words again."""
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class TextFields:
    """Which texts of an image are searched for keywords."""

    metadata: tuple[str, ...] | None = None
    """Metadata fields; None for all."""
    names: bool = True
    """Whether the name of the file is one of the texts."""

    def texts(self, record: Record) -> Iterator[str]:
        """Yield the texts of a record."""
        if self.names:
            yield file_name(record)
        if self.metadata is None:
            values = iter(record.metadata.values())
        else:
            values = (record.metadata.get(field) for field in self.metadata)
        for value in values:
            yield from _texts(value)

    def reader(self) -> WordReader:
        """Return the function that reads the words of a stored record."""
        name = json.dumps([_VERSION, self.metadata, self.names])
        return WordReader(name, partial(_record_words, self))


def file_name(record: Record) -> str:
    """Return the name of an image's file without its ending, or the last part of its id."""
    place = record.id if record.uri is None else record.uri
    if "://" in place:
        place = re.split("[?#]", place, maxsplit=1)[0]
    name = re.split(r"[/\\]", place.rstrip("/\\"))[-1]
    stem, dot, suffix = name.rpartition(".")
    is_named = record.uri is not None and stem and _SUFFIX.fullmatch(dot + suffix)
    return stem if is_named else name


@dataclass(frozen=True, slots=True)
class KeywordIndex:
    """Ranks the records of one namespace by the words in them.

    Args:
        metadata: Holds the records.
        table: The table of the records.
    """

    metadata: MetadataStore
    table: str

    def rank(self, words: Sequence[str], fields: TextFields, limit: int) -> list[tuple[str, float]]:
        """Return the keys of the records that hold one of the words with scores, best first.

        Raises:
            StoreError: The store cannot search for keywords, or failed.
        """
        if not isinstance(self.metadata, KeywordSearch):
            raise StoreError(
                f"{self.metadata!r} cannot search for keywords: keep the records in SQLite, which "
                "is the default (leave records=... out, or give it the path of a file), or in "
                "Redis (records='redis://...')"
            )
        return list(self.metadata.rank_by_words(self.table, fields.reader(), words, limit))

    def stale(self, *, repair: bool) -> list[str]:
        """Return the keys of records whose words are not found as they are.

        Args:
            repair: Also have these words read again.
        """
        if not isinstance(self.metadata, KeywordSearch):
            return []
        return self.metadata.stale_words(self.table, repair=repair)


def _record_words(fields: TextFields, data: bytes) -> list[str]:
    """Return the words of a stored record; none of one that cannot be read."""
    try:
        # A path below the root is read as it is stored: the album may move.
        record = decode_record(data, str)
    except StoreCorruptError:
        return []
    words = chain.from_iterable(map(words_of, fields.texts(record)))
    return list(islice(words, MOST_WORDS))


def _texts(value: JSONValue) -> Iterator[str]:
    """Yield a string, or the strings in a list."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            yield each
