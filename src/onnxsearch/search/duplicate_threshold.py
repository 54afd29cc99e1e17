"""The distance that separates near-duplicates from other images, from known pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import pairs
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.reporting.rows import TextTable
from onnxsearch.search.retriever import Retriever
from onnxsearch.search.selection import Selection
from onnxsearch.vectors.exact_search import Floats, distances

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from onnxsearch.embedders.base import Embedder
    from onnxsearch.vectors.base import Vectors

_BATCH = 64
"""Images searched for at once."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A distance that separates images that belong together from others."""

    max_distance: float
    """The argument of `SearchEngine.duplicates`."""
    precision: float
    """Share of true pairs among the known pairs and rivals that are at most this distant."""
    recall: float
    """Share of the known pairs that are at most this distant."""
    pair_distances: tuple[float, ...] = field(default=(), repr=False)
    """The distance of each known pair, in order."""
    rival_distances: tuple[float, ...] = field(default=(), repr=False)
    """The distance of each image of a pair to its nearest other image, in order."""

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw histograms of the distances, with the threshold; needs the extra `[plots]`.

        Args:
            ax: Where to draw; by default axes of a new figure, which is `axes.figure`.

        Raises:
            InvalidArgumentError: `ax` is not axes of matplotlib, or the threshold holds no
                distances.
            MissingExtraError: matplotlib is not installed.

        Example:
            >>> engine.duplicate_threshold(pairs).plot().figure.savefig("threshold.png")
        """
        from onnxsearch.reporting.plots import draw_distances

        return draw_distances(self.pair_distances, self.rival_distances, self.max_distance, ax)

    def _repr_html_(self) -> str:
        from onnxsearch.reporting.notebook_tables import table_html

        caption = (
            f"Distance that separates {len(self.pair_distances):,} known pairs from "
            f"{len(self.rival_distances):,} nearest others"
        )
        numbers = f"{self.max_distance:.4g}", f"{self.precision:.3f}", f"{self.recall:.3f}"
        return table_html(TextTable(caption, ("max_distance", "precision", "recall"), (numbers,)))


def calibrate(
    retriever: Retriever, embedder: Embedder, known_pairs: Iterable[tuple[str, str]]
) -> Threshold:
    """Find the distance that separates known pairs from their nearest rivals best.

    A rival is the nearest image that is not known to belong to the one searched for.
    The distance is the one of greatest F1 (van Rijsbergen, Information Retrieval, 1979),
    half-way to the next one.

    Raises:
        InvalidArgumentError: There is no pair, or an image has no vector of the model.
    """
    known = {frozenset(pair) for pair in pairs("pairs", known_pairs)}
    partners: dict[str, set[str]] = defaultdict(set)
    for pair in known:
        for id in pair:
            partners[id] |= pair
    rows = retriever.rows(embedder, sorted(partners))
    missing = partners.keys() - rows.keys()
    if missing:
        raise InvalidArgumentError(
            f"image {min(missing)!r} is not stored, or has no vector of {embedder.name!r}"
        )
    right = [distance_between(embedder, *(rows[id] for id in pair)) for pair in known]
    return _best_border(np.array(right), np.array(_rivals(retriever, embedder, rows, partners)))


def _rivals(
    retriever: Retriever,
    embedder: Embedder,
    rows: Mapping[str, Vectors],
    partners: Mapping[str, set[str]],
) -> list[float]:
    """Return for each row the distance of the nearest image that is not a partner."""
    nearest: list[float] = []
    for ids in batched(rows, _BATCH):
        matrix = np.stack([rows[id] for id in ids])
        # One more than all partners, the image itself among them, must hold a rival.
        limit = 1 + max(len(partners[id]) for id in ids)
        results = retriever.search(embedder, matrix, Selection(limit))
        rivals = {
            id: hit.id
            for id, found in zip(ids, results, strict=True)
            for hit in [hit for hit in found if hit.id not in partners[id]][:1]
        }
        others = retriever.rows(embedder, list(set(rivals.values())))
        nearest += [
            distance_between(embedder, rows[id], others[rival])
            for id, rival in rivals.items()
            if rival in others
        ]
    return nearest


def distance_between(embedder: Embedder, one: Vectors, other: Vectors) -> float:
    """Return the distance of two vectors of an embedder, computed here in the same way."""
    (distance,) = distances(embedder.metric, one[np.newaxis], np.array([0]), other)
    return float(distance)


def _best_border(right: Floats, wrong: Floats) -> Threshold:
    """Return the distance of greatest F1 between right pairs and wrong ones."""
    measured = np.concatenate([right, wrong])
    order = np.argsort(measured, kind="stable")
    measured, hits = measured[order], np.cumsum(order < len(right))
    precision, recall = hits / np.arange(1, len(measured) + 1), hits / len(right)
    # Equal distances cannot be separated: only the last of them is a border.
    border = np.append(measured[1:] > measured[:-1], True)
    f1 = np.where(border, 2 * precision * recall / np.maximum(precision + recall, 1e-9), -1.0)
    best = int(f1.argmax())
    following = measured[min(best + 1, len(measured) - 1)]
    return Threshold(
        float((measured[best] + following) / 2),
        float(precision[best]),
        float(recall[best]),
        tuple(np.sort(right).tolist()),
        tuple(np.sort(wrong).tolist()),
    )
