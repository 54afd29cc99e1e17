"""Postings: which documents hold a word, as bytes; and documents ranked by them.

A document is a value with words. The postings of a word are cut at every 1,024th number of a
document, so that a change rewrites some kilobytes however many documents there are.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch.metadata.bm25 import K1, B, weight_of

CHUNK = 1024
"""Numbers of documents whose postings of a word are one string of bytes: 12 KiB at most."""

_SPARE = 10_000
"""Numbers of documents that may be out of use, beside as many as there are documents."""
_MOST = 2**32
"""Numbers of documents: an entry has four bytes for one."""

Postings: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.void]]"
"""One entry for each document that holds a word."""

_ENTRY = np.dtype([("document", "<u4"), ("times", "<u4"), ("length", "<u4")])
_pack = struct.Struct("<III").pack


@dataclass(frozen=True, slots=True)
class IndexedValue:
    """A value with words."""

    number: int
    length: int
    """How many words it has."""
    words: frozenset[str]
    """These words, each once."""

    @property
    def chunk(self) -> int:
        """The chunk that has its postings."""
        return self.number // CHUNK

    def encoded(self) -> bytes:
        """Return the document as bytes."""
        return " ".join([str(self.number), str(self.length), *sorted(self.words)]).encode()


def decoded_document(data: bytes) -> IndexedValue:
    """Return the document of some bytes.

    Raises:
        ValueError: These are not the bytes of a document.
    """
    number, length, *words = data.decode().split(" ")
    return IndexedValue(int(number), int(length), frozenset(words))


def decoded_postings(data: bytes | None) -> Postings:
    """Return the postings of some bytes, or none.

    Raises:
        ValueError: These are not the bytes of postings.
    """
    return np.frombuffer(data or b"", _ENTRY)


def changed_postings(
    data: bytes | None, removed: Collection[int], added: Iterable[tuple[IndexedValue, int]]
) -> bytes:
    """Return postings without some documents and with others.

    Args:
        data: The postings before.
        removed: Numbers of documents to take out.
        added: Documents, and how often each holds the word.

    Raises:
        ValueError: The bytes are not those of postings.
    """
    kept = data or b""
    if removed:
        before = decoded_postings(data)
        kept = before[~np.isin(before["document"], list(removed))].tobytes()
    # For some entries, this is faster than an array.
    return kept + b"".join(_pack(each.number, times, each.length) for each, times in added)


@dataclass(frozen=True, slots=True)
class Totals:
    """What an index of words knows of all its documents."""

    documents: int
    length: int
    """Words of all documents."""
    next: int
    """Number of the next document. None is given twice."""

    FIELDS: ClassVar = ("documents", "length", "next")
    """The fields of an index that hold it."""

    @property
    def chunks(self) -> int:
        """Number of chunks that may have postings."""
        return -(-self.next // CHUNK)

    @property
    def is_sparse(self) -> bool:
        """Whether so many numbers are out of use that it pays to read all words anew."""
        return self.next > 2 * self.documents + _SPARE

    def encoded(self) -> dict[str, bytes]:
        """Return the fields."""
        return {name: b"%d" % getattr(self, name) for name in self.FIELDS}


def decoded_totals(fields: Iterable[bytes | None]) -> Totals:
    """Return the totals of some fields.

    Raises:
        ValueError: A field is missing, or not a number.
    """
    totals = Totals(*(int(data or b"none") for data in fields))
    if not 0 <= totals.documents <= totals.next < _MOST:
        raise ValueError(f"{totals.documents} documents, of which the next is {totals.next}")
    return totals


def best_documents(
    totals: Totals, postings: Sequence[Postings], limit: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the documents that hold one of several words with their scores, in any order.

    The scores are those of `KeywordSearch.rank_by_words`. If there are more than `limit`, only
    the best come, and all that are as good as the last one of these.

    Args:
        totals: Of all documents.
        postings: The postings of each word.
        limit: Documents, at least.

    Raises:
        ValueError: The postings name a document that there is not.
    """
    scores = np.zeros(totals.next)
    mean = totals.length / totals.documents if totals.documents else 1.0
    for word in postings:
        documents, times = word["document"], word["times"].astype(np.float64)
        if len(word) and documents.max() >= totals.next:
            raise ValueError(f"document {documents.max()} of {totals.next}")
        norm = 1 - B + B * word["length"] / mean
        weight = weight_of(totals.documents, len(word))
        scores[documents] += weight * times * (K1 + 1) / (times + K1 * norm)
    found = np.flatnonzero(scores)
    if len(found) > limit:
        found = found[scores[found] >= np.partition(scores[found], -limit)[-limit]]
    return found, scores[found]
