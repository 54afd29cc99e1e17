"""A change of an index of words: some values get other words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

from onnxsearch.metadata.redis.words.postings import IndexedValue, Totals, changed_postings


def document_field(key: str) -> str:
    """Return the field of the document of a value."""
    return f"key {key}"


def key_field(number: int) -> str:
    """Return the field of the key of a document."""
    return f"name {number}"


def postings_field(word: str, chunk: int) -> str:
    """Return the field of the postings of a word, of the documents in one chunk."""
    return f"word {word} {chunk}"


class WordEdit:
    """New fields of an index, computed from what was read of it.

    Args:
        version: Of the index when it was read. The edit is for this one only.
        totals: Of the index when it was read.
        documents: What the index has of the values that may change.
    """

    def __init__(
        self, version: bytes, totals: Totals, documents: Mapping[str, IndexedValue]
    ) -> None:
        self.version = version
        self.totals = totals
        self.fields: dict[str, bytes] = {}
        """The new fields; an empty value deletes its field."""
        self._documents = documents
        self._removed: defaultdict[str, set[int]] = defaultdict(set)
        """Numbers of documents to take out, by field of postings."""
        self._added: defaultdict[str, list[tuple[IndexedValue, int]]] = defaultdict(list)
        """Documents to add, and how often each holds the word, by field of postings."""

    def set(self, key: str, words: Counter[str] | None) -> int:
        """Give a value other words, or none if it is gone; return how many postings change."""
        changed = 0
        before = self._documents.get(key)
        if before is not None:
            changed += self._remove(key, before)
        if words is not None:
            changed += self._add(key, words)
        return changed

    def _remove(self, key: str, document: IndexedValue) -> int:
        for word in document.words:
            self._removed[postings_field(word, document.chunk)].add(document.number)
        self.fields |= {document_field(key): b"", key_field(document.number): b""}
        self.totals = replace(
            self.totals,
            documents=self.totals.documents - 1,
            length=self.totals.length - document.length,
        )
        return len(document.words)

    def _add(self, key: str, words: Counter[str]) -> int:
        document = IndexedValue(self.totals.next, words.total(), frozenset(words))
        for word, times in words.items():
            self._added[postings_field(word, document.chunk)].append((document, times))
        self.fields[document_field(key)] = document.encoded()
        self.fields[key_field(document.number)] = key.encode("ascii")
        self.totals = Totals(
            documents=self.totals.documents + 1,
            length=self.totals.length + document.length,
            next=self.totals.next + 1,
        )
        return len(words)

    def postings(self) -> list[str]:
        """Return the fields of the postings that change."""
        return list(dict.fromkeys([*self._removed, *self._added]))

    def finish(self, before: Mapping[str, bytes | None]) -> None:
        """Compute the new postings.

        Args:
            before: The fields of `postings()`, as they are.

        Raises:
            ValueError: One is not as an index has it.
        """
        for name, data in before.items():
            removed, added = self._removed.get(name, ()), self._added.get(name, ())
            self.fields[name] = changed_postings(data, removed, added)
        self.fields |= self.totals.encoded()
