"""Pictures that are nearly the same, and how near that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.retriever import Retriever, Selection
from onnxsearch.vectors.exact_search import Floats, distances

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.vectors.base import Vectors

_BATCH = 64
"""Pictures searched for at once."""
_FEW = 16
"""Neighbours asked for at first: nearly every picture has fewer twins."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A distance that parts pictures that belong together from others."""

    max_distance: float
    """What to pass to `SearchEngine.duplicates`."""
    precision: float
    """Share of true pairs among the known pairs and rivals that are no further apart."""
    recall: float
    """Share of the known pairs that are no further apart."""


def clusters(
    retrieval: Retriever, embedder: Embedder, max_distance: float
) -> list[tuple[str, ...]]:
    """Join all pictures that are at most `max_distance` apart, also by way of others.

    Each picture is searched for, many at a time; no matrix of all pairs is ever made.
    """
    groups = _Groups()
    for batch in batched(retrieval.catalog.records.values(), _BATCH):
        rows = retrieval.rows(embedder, [record.id for record in batch])
        for id, near in _near(retrieval, embedder, rows, max_distance):
            for other in near:
                groups.join(id, other)
    return groups.several()


def calibrate(
    retrieval: Retriever, embedder: Embedder, pairs: Iterable[tuple[str, str]]
) -> Threshold:
    """Find the distance that parts known pairs from their nearest rivals best.

    A rival is the nearest picture that is not known to belong to the one searched for.
    The distance is the one of greatest F1 (van Rijsbergen, Information Retriever, 1979),
    half-way to the next one.

    Raises:
        InvalidArgumentError: There is no pair, or a picture has no vector of the model.
    """
    known = {frozenset(pair) for pair in pairs}
    partners: dict[str, set[str]] = defaultdict(set)
    for pair in known:
        if len(pair) != 2:
            raise InvalidArgumentError(f"{sorted(pair)} is no pair: expected two pictures")
        for id in pair:
            partners[id] |= pair
    if not known:
        raise InvalidArgumentError("pairs are empty: expected at least one pair of ids")
    rows = retrieval.rows(embedder, sorted(partners))
    missing = partners.keys() - rows.keys()
    if missing:
        raise InvalidArgumentError(
            f"picture {min(missing)!r} is not stored, or has no vector of {embedder.name!r}"
        )
    right = [_apart(embedder, *(rows[id] for id in pair)) for pair in known]
    return _best_border(np.array(right), np.array(_rivals(retrieval, embedder, rows, partners)))


def _near(
    retrieval: Retriever, embedder: Embedder, rows: Mapping[str, Vectors], max_distance: float
) -> Iterator[tuple[str, list[str]]]:
    """Yield each row's id with the ids of all pictures that are near it."""
    left, width = list(rows), _FEW
    while left:
        matrix = np.stack([rows[id] for id in left])
        selection = Selection(width, max_distance=max_distance)
        found = retrieval.search(embedder, matrix, selection)
        full = []
        for id, results in zip(left, found, strict=True):
            if len(results) == width:
                full.append(id)
            else:
                yield id, results.ids
        left, width = full, 4 * width


def _rivals(
    retrieval: Retriever,
    embedder: Embedder,
    rows: Mapping[str, Vectors],
    partners: Mapping[str, set[str]],
) -> list[float]:
    """Return for each row the distance of the nearest picture that is no partner."""
    nearest: list[float] = []
    for ids in batched(rows, _BATCH):
        matrix = np.stack([rows[id] for id in ids])
        # One more than all partners, the picture itself among them, must hold a rival.
        limit = 1 + max(len(partners[id]) for id in ids)
        results = retrieval.search(embedder, matrix, Selection(limit))
        for id, found in zip(ids, results, strict=True):
            nearest += [hit.distance for hit in found if hit.id not in partners[id]][:1]
    return nearest


def _apart(embedder: Embedder, one: Vectors, other: Vectors) -> float:
    (distance,) = distances(embedder.metric, one[np.newaxis], np.array([0]), other)
    return float(distance)


def _best_border(right: Floats, wrong: Floats) -> Threshold:
    """Return the distance of greatest F1 between right pairs and wrong ones."""
    apart = np.concatenate([right, wrong])
    order = np.argsort(apart, kind="stable")
    apart, hits = apart[order], np.cumsum(order < len(right))
    precision, recall = hits / np.arange(1, len(apart) + 1), hits / len(right)
    # Equal distances cannot be parted: only the last of them is a border.
    border = np.append(apart[1:] > apart[:-1], True)
    f1 = np.where(border, 2 * precision * recall / np.maximum(precision + recall, 1e-9), -1.0)
    best = int(f1.argmax())
    following = apart[min(best + 1, len(apart) - 1)]
    return Threshold(
        float((apart[best] + following) / 2), float(precision[best]), float(recall[best])
    )


class _Groups:
    """Union-find with path halving (Tarjan and van Leeuwen, J. ACM 31(2), 1984)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def join(self, one: str, other: str) -> None:
        self._parents[self._root(one)] = self._root(other)

    def several(self) -> list[tuple[str, ...]]:
        """Return the groups of two and more: the largest first, ids in order."""
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
