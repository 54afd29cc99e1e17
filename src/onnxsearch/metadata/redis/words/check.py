"""Whether an index of words agrees with the values that it is of."""

from __future__ import annotations

from collections.abc import Iterable, Set

import numpy as np

from onnxsearch.metadata.redis.words.postings import (
    IndexedValue,
    Totals,
    decoded_document,
    decoded_postings,
    decoded_totals,
)


def stale_keys(fields: Iterable[tuple[bytes, bytes]], keys: Set[str]) -> set[str]:
    """Return the keys of values that have no words, and of words that have no value.

    All keys, if the index contradicts itself.

    Args:
        fields: All fields of the index, with their values.
        keys: The keys of all values.
    """
    try:
        return _Contents(fields).stale_keys(keys)
    except ValueError:
        return set(keys)


class _Contents:
    """What an index holds.

    Raises:
        ValueError: A field is not as an index has it.
    """

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._documents: dict[str, IndexedValue] = {}
        self._keys: dict[int, str] = {}
        self._postings: list[bytes] = []
        totals: dict[str, bytes] = {}
        for field, value in fields:
            kind, _, rest = field.decode().partition(" ")
            if kind == "key":
                self._documents[rest] = decoded_document(value)
            elif kind == "name":
                self._keys[int(rest)] = value.decode("ascii")
            elif kind == "word":
                self._postings.append(value)
            else:
                totals[kind] = value
        self._totals = decoded_totals(map(totals.get, Totals.FIELDS))

    def stale_keys(self, keys: Set[str]) -> set[str]:
        documents = self._documents
        length = sum(document.length for document in documents.values())
        if (self._totals.documents, self._totals.length) != (len(documents), length):
            raise ValueError("the totals are not those of the documents")
        postings = decoded_postings(b"".join(self._postings))
        numbers = np.array([document.number for document in documents.values()], np.intp)
        if not np.isin(postings["document"], numbers).all():
            raise ValueError("there are postings of no document")
        held = np.bincount(postings["document"], minlength=self._totals.next)
        times = np.bincount(postings["document"], postings["times"], self._totals.next)
        return set(keys ^ documents.keys()) | {
            key
            for key, document in documents.items()
            if self._keys.get(document.number) != key
            or held[document.number] != len(document.words)
            or times[document.number] != document.length
        }
