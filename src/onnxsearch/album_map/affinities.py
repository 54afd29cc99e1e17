"""How strongly points attract each other: the input probabilities of t-SNE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxsearch.album_map.neighbours import NearestPoints, Places

_STEPS = 60
"""Steps of the search for a bandwidth: enough for float64, whatever the distances."""


@dataclass(frozen=True, slots=True)
class Affinities:
    """Symmetric weights of pairs of points, which sum to 1; those of one point are consecutive."""

    ones: Places
    """The first point of each pair, ascending."""
    others: Places
    """The second point of each pair."""
    weights: NDArray[np.float32]
    """The weight of each pair."""
    starts: Places
    """Where the pairs of each point begin, (n,): each point has one at least."""


def affinities(near: NearestPoints, perplexity: float) -> Affinities:
    """Return the weights of all pairs of which one point is a neighbour of the other.

    Van der Maaten and Hinton, "Visualizing data using t-SNE" (JMLR 9, 2008): Gaussian weights,
    their width chosen for each point so that it has `perplexity` effective neighbours, and the mean
    of both directions.

    Args:
        near: At least one neighbour for each point.
        perplexity: At least 1, and at most the number of neighbours.
    """
    size, count = near.places.shape
    given = np.repeat(np.arange(size), count)
    found = near.places.ravel()
    half = _conditional(near.distances, perplexity).ravel() / (2 * size)
    pairs = np.concatenate([given * size + found, found * size + given])
    order = np.argsort(pairs, kind="stable")
    pairs, weights = pairs[order], np.concatenate([half, half])[order]
    first = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
    ones, others = np.divmod(pairs[first], size)
    summed = np.add.reduceat(weights, first).astype(np.float32)
    return Affinities(ones, others, summed, np.searchsorted(ones, np.arange(size)))


def _conditional(distances: NDArray[np.float32], perplexity: float) -> NDArray[np.float64]:
    """Return the weights of each point's neighbours, which sum to 1, by bisection."""
    squares = np.square(distances.astype(np.float64))
    squares -= squares[:, :1]
    sharpness = 1 / np.maximum(squares.mean(axis=1), 1e-12)
    low, high = np.zeros(len(squares)), np.full(len(squares), np.inf)
    for _ in range(_STEPS):
        scaled = squares * sharpness[:, np.newaxis]
        weights = np.exp(-scaled)
        total = weights.sum(axis=1)
        entropy = np.log(total) + (scaled * weights).sum(axis=1) / total
        is_wide = entropy > np.log(perplexity)
        low, high = np.where(is_wide, sharpness, low), np.where(is_wide, high, sharpness)
        sharpness = np.where(np.isinf(high), 2 * sharpness, (low + high) / 2)
    weights = np.exp(-squares * sharpness[:, np.newaxis])
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares
