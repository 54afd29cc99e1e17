"""What an augmented space is, computed as it is defined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsearch import SearchEngine

NAME = "pixels:augmented"


def augmented(
    vectors: NDArray[np.generic],
    neighbours: int = 5,
    alpha: float = 3.0,
    mean: NDArray[np.generic] | None = None,
) -> NDArray[np.float64]:
    """Return x' = unit(x + sum of max(0, x.y)^alpha y over its nearest y), x less the mean."""
    rows = vectors - (vectors.mean(axis=0) if mean is None else mean).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    moved = []
    for place, row in enumerate(rows):
        others = np.delete(rows, place, axis=0)
        nearest = others[np.argsort(-(others @ row), kind="stable")[:neighbours]]
        weights = np.maximum(nearest @ row, 0.0) ** alpha
        sum_of_all = row + (weights[:, np.newaxis] * nearest).sum(axis=0)
        moved.append(sum_of_all / np.linalg.norm(sum_of_all))
    return np.stack(moved)


def stored_ids(engine: SearchEngine) -> list[str]:
    """Return the ids of all images, sorted."""
    return sorted(record.id for record in engine.records())


def error(
    engine: SearchEngine, neighbours: int = 5, mean: NDArray[np.generic] | None = None
) -> float:
    """Return how far a stored number is at most from what it is by definition."""
    ids = stored_ids(engine)
    expected = augmented(engine.vectors(ids, "pixels"), neighbours, mean=mean)
    return float(np.abs(engine.vectors(ids, NAME) - expected).max())
