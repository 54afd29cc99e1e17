"""Near-duplicates: groups of images that are at most so far from each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import number
from onnxsearch.search.duplicate_groups import DuplicateGroups
from onnxsearch.search.duplicate_images import DuplicateReader
from onnxsearch.search.duplicate_threshold import distance_between
from onnxsearch.search.retriever import Retriever
from onnxsearch.search.selection import Selection
from onnxsearch.types import Progress
from onnxsearch.vectors.capabilities import RangeJoin

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.results import SearchResults
    from onnxsearch.types import Hit
    from onnxsearch.vectors.base import Vectors

_Compared: TypeAlias = "Callable[[int, int], None]"
"""A function that is called with the images compared so far, and the number of images."""

_BATCH = 64
"""Images searched for at once."""
_PAIRS = 1000
"""Pairs whose records are read at once."""
_FEW = 16
"""Neighbours asked for at first: nearly every image has fewer duplicates."""
_ROUNDING = 1e-3
"""By how much a store may round a distance between unit vectors: the square root of what
float32 loses in their product. Distances this near the border are measured again."""


def clusters(
    retriever: Retriever, embedder: Embedder, max_distance: float, progress: ProgressSink = False
) -> DuplicateGroups:
    """Join all images that are at most `max_distance` from each other, or from a third one.

    A store that can is asked for all pairs (`RangeJoin`). Otherwise each image is searched
    for, many at a time; a matrix of all pairs is never made. Exact copies that are not stored
    belong to their image.

    Raises:
        InvalidArgumentError: `max_distance` is not a number, or NaN.
    """
    max_distance, report = number("max_distance", max_distance), reporter(progress)
    groups = _Groups()

    def compared(done: int, total: int) -> None:
        report(Progress(done, total))

    near = _joined(retriever, embedder, max_distance, compared)
    if near is None:
        near = _searched(retriever, embedder, max_distance, compared)
    copies = _copies(retriever.catalog.records) if max_distance >= 0 else ()
    for one, other in chain(near, copies):
        groups.join(one, other)
    reader = DuplicateReader(retriever.catalog.records, retriever.reading)
    return DuplicateGroups(groups.of_two_or_more(), reader)


def exact_copies(index: RecordIndex) -> list[tuple[str, ...]]:
    """Return the paths of files of the same bytes by group, the largest group first."""
    # A store may yield a group twice.
    return sorted(set(index.shared_files()), key=lambda paths: (-len(paths), paths))


def _joined(
    retriever: Retriever, embedder: Embedder, max_distance: float, compared: _Compared
) -> Iterator[tuple[str, str]] | None:
    """Return the ids of all pairs that the store finds; None if it has to search for each row."""
    if not isinstance(retriever.vectors, RangeJoin):
        return None
    retriever.catalog.identity.confirm()
    collection = retriever.catalog.collection(embedder.name)
    keys = retriever.vectors.pairs_within(collection, max_distance, compared=compared)
    return None if keys is None else _with_records(retriever, keys)


def _with_records(
    retriever: Retriever, pairs: Iterator[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Yield the ids of pairs of keys.

    Rows without a record belong to no image, or not yet; others belong to an expired one.
    """
    records = retriever.catalog.records
    for batch in batched(pairs, _PAIRS):
        stored = records.resolve([key for pair in batch for key in pair])
        live = {key: each.record.id for key, each in stored.items() if records.is_live(each.record)}
        for one, other in batch:
            if one in live and other in live:
                yield live[one], live[other]


def _searched(
    retriever: Retriever, embedder: Embedder, max_distance: float, compared: _Compared
) -> Iterator[tuple[str, str]]:
    """Yield the ids of all pairs, by a search for each image."""
    done, total = 0, retriever.catalog.records.count()
    for batch in batched(retriever.catalog.records.values(), _BATCH):
        rows = retriever.rows(embedder, [record.id for record in batch])
        for id, neighbours in _neighbours(retriever, embedder, rows, max_distance):
            for other in neighbours:
                yield id, other
        done += len(batch)
        compared(done, max(done, total))


def _copies(records: RecordIndex) -> Iterator[tuple[str, str]]:
    """Yield the id of each image with the path of each exact copy of its file."""
    for batch in batched(records.values(), _PAIRS):
        for record in records.with_paths(batch):
            for path in record.paths:
                yield record.id, record.id if path == record.uri else path


def _neighbours(
    retriever: Retriever, embedder: Embedder, rows: Mapping[str, Vectors], max_distance: float
) -> Iterator[tuple[str, list[str]]]:
    """Yield each row's id with the ids of all images that are at most `max_distance` from it."""
    pending, width = list(rows), _FEW
    while pending:
        matrix = np.stack([rows[id] for id in pending])
        selection = Selection(width, max_distance=max_distance + _ROUNDING)
        found = retriever.search(embedder, matrix, selection)
        whole = {
            id: results for id, results in zip(pending, found, strict=True) if len(results) < width
        }
        yield from _within(retriever, embedder, rows, whole, max_distance)
        pending, width = [id for id in pending if id not in whole], 4 * width


def _within(
    retriever: Retriever,
    embedder: Embedder,
    rows: Mapping[str, Vectors],
    found: Mapping[str, SearchResults],
    max_distance: float,
) -> Iterator[tuple[str, list[str]]]:
    """Yield each row's id with the ids of its hits that are at most `max_distance` away.

    Stores round distances, each in its own way. Those in doubt are measured here, as
    `calibrate` measures them, so that both agree in every store.
    """
    border = max_distance - _ROUNDING
    doubtful = {hit.id for results in found.values() for hit in results if hit.distance > border}
    others = retriever.rows(embedder, sorted(doubtful)) if doubtful else {}

    def is_within(row: Vectors, hit: Hit) -> bool:
        if hit.distance <= border:
            return True
        return hit.id in others and distance_between(embedder, row, others[hit.id]) <= max_distance

    for id, results in found.items():
        yield id, [hit.id for hit in results if is_within(rows[id], hit)]


class _Groups:
    """Union-find with path halving (Tarjan and van Leeuwen, J. ACM 31(2), 1984)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def join(self, one: str, other: str) -> None:
        self._parents[self._root(one)] = self._root(other)

    def of_two_or_more(self) -> list[tuple[str, ...]]:
        """Return the groups of at least two: the largest first, ids in order."""
        members: dict[str, list[str]] = defaultdict(list)
        for id in self._parents:
            members[self._root(id)].append(id)
        groups = [tuple(sorted(ids)) for ids in members.values() if len(ids) > 1]
        return sorted(groups, key=lambda ids: (-len(ids), ids))

    def _root(self, id: str) -> str:
        parents = self._parents
        parents.setdefault(id, id)
        while parents[id] != id:
            parents[id] = id = parents[parents[id]]
        return id
