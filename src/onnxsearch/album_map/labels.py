"""Names of clusters, from the folders and metadata of their images."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxsearch.album_map.clusters import Numbers
    from onnxsearch.types import JSONValue, Record

_FOLDERS = 3
"""Folders above a file that may say what it shows."""
_LONGEST = 40
"""Characters of a value that is a term as a whole; a longer one is a text, whose words are."""
_TERMS = 50
"""Terms of an image, at most."""
_LEAST_SHARE = 0.2
"""Share of a cluster's images that have its name."""
_SECOND = 0.5
"""How much of the score of the first term a second one has at least."""


def cluster_labels(records: Sequence[Record], numbers: Numbers) -> tuple[str, ...]:
    """Return a name for each cluster: one or two terms, or "cluster 3" if none is telling.

    Terms are the folders of images, their text metadata, and the words of longer texts such as
    captions. They are weighted by TF-IDF (Spärck Jones, Journal of Documentation 28(1), 1972): the
    share of the cluster's images that have a term, times the logarithm of how rare it is.
    """
    total: Counter[str] = Counter()
    own: list[Counter[str]] = [Counter() for _ in range(int(numbers.max(initial=-1)) + 1)]
    for record, number in zip(records, numbers.tolist(), strict=True):
        terms = {*islice(_terms(record), _TERMS)}
        total.update(terms)
        if number >= 0:
            own[number].update(terms)
    sizes = Counter(numbers.tolist())
    return tuple(
        _label(f"cluster {number}", counts, sizes[number], total, len(records))
        for number, counts in enumerate(own)
    )


def _label(
    otherwise: str, counts: Counter[str], size: int, total: Counter[str], images: int
) -> str:
    scores = {
        term: count / size * math.log(images / total[term])
        for term, count in counts.items()
        if count >= max(2, _LEAST_SHARE * size) and total[term] < images
    }
    if not scores:
        return otherwise
    best, *rest = sorted(scores, key=lambda term: (-scores[term], term))
    second = [term for term in rest[:1] if scores[term] >= _SECOND * scores[best]]
    return ", ".join([best, *second])


def _terms(record: Record) -> Iterator[str]:
    for part in re.split(r"[/\\]", record.id if record.uri is None else record.uri)[:-1][
        -_FOLDERS:
    ]:
        # Numbers before a folder's name, as in "03_Berlin", sort it.
        yield from _term(re.sub(r"^\d+[\s_.-]+(?=\D)", "", part))
    for value in record.metadata.values():
        for text in _texts(value):
            if len(text) <= _LONGEST:
                yield from _term(text)
            else:
                yield from re.findall(r"\w{4,}", text.lower()[:1000])


def _texts(value: JSONValue) -> Iterable[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return (each for each in value if isinstance(each, str))
    return ()


def _term(text: str) -> Iterator[str]:
    term = re.sub(r"[\s_-]+", " ", text).strip()[:_LONGEST]
    if term and ":" not in term:
        yield term
