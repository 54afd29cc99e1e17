"""A plane in which similar images are near each other: t-SNE."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch.album_map.affinities import Affinities, affinities
from onnxsearch.album_map.geometry import Projection
from onnxsearch.album_map.repulsion import Repulsion

if TYPE_CHECKING:
    from onnxsearch.album_map.geometry import Points
    from onnxsearch.album_map.neighbours import NearestPoints

NEIGHBOURS = 45
"""Neighbours that attract an image: three times the perplexity, as is usual."""
_PERPLEXITY = 15
"""Effective neighbours of an image. Trustworthiness hardly depends on it: .978 to .980 from 8 to
30 with labelled photographs."""
_EARLY, _LATE = 150, 350
"""Steps in which clusters form, and in which they take their shape. 250 and 500 are usual, take
half as long again, and give no better trustworthiness."""
_EXAGGERATION = 12.0
"""How much attraction counts while clusters form (van der Maaten, JMLR 15, 2014)."""
_LONGEST_STEP = 5.0
"""How far a point moves in a step, at most: with few images, the rate is too high for some."""
_FEW = 30
"""Images, below which the principal components are the map: they keep neighbours better there."""
_START = 1e-4
"""Standard deviation of the first map: so small that nothing repels at first."""
_JITTER = 1e-2
"""How much of the start is random: images that are equal must not stay in one place."""


def layout(
    points: Points, near: NearestPoints, seed: int, done: Callable[[float], None] = lambda _: None
) -> Points:
    """Return a place for each point, (n, 2) float32; the longer side reaches from -1 to 1.

    t-SNE (van der Maaten and Hinton, JMLR 9, 2008) that starts with the principal components, which
    keeps what is far apart in order, and with a learning rate that grows with n (Kobak and Berens,
    "The art of using t-SNE for single-cell transcriptomics", Nature Communications 10, 2019).

    Args:
        points: Shape (n, columns), with n at least 2.
        near: Some neighbours of each point.
        seed: Of the random numbers: the same seed gives the same places.
        done: A function that is called with the share of the steps that are done.
    """
    start = _start(points, seed)
    if len(points) < _FEW:
        done(1.0)
        return _scaled(start)
    perplexity = min(float(_PERPLEXITY), near.places.shape[1] / 3)
    return _scaled(_descent(start, affinities(near, perplexity), done))


def _start(points: Points, seed: int) -> Points:
    projected = Projection(points, 2)(points)
    start = np.zeros((len(points), 2), np.float32)
    start[:, : projected.shape[1]] = projected
    spread = float(start[:, 0].std())
    if spread > 0:
        start /= spread
    noise = np.random.default_rng(seed).standard_normal(start.shape, np.float32)
    return (_START * (start + _JITTER * noise)).astype(np.float32)


def _descent(places: Points, attraction: Affinities, done: Callable[[float], None]) -> Points:
    """Move the places down the gradient, with momentum and a rate for each coordinate."""
    repulsion = Repulsion()
    speed, gains = np.zeros_like(places), np.ones_like(places)
    for step in range(_EARLY + _LATE):
        is_early = step < _EARLY
        exaggeration, momentum = (_EXAGGERATION, 0.5) if is_early else (1.0, 0.8)
        rate = len(places) / exaggeration
        total, forces = repulsion(places)
        gradient = 4 * (exaggeration * _attracted(places, attraction) - forces / total)
        # Jacobs, "Increased rates of convergence" (Neural Networks 1, 1988): slower where the
        # direction changes.
        gains = np.where((gradient > 0) == (speed > 0), 0.8 * gains, gains + 0.2)
        np.maximum(gains, 0.01, out=gains)
        speed = (momentum * speed - rate * gains * gradient).astype(np.float32)
        np.clip(speed, -_LONGEST_STEP, _LONGEST_STEP, out=speed)
        places = places + speed
        places -= places.mean(axis=0)
        done((step + 1) / (_EARLY + _LATE))
    return places


def _attracted(places: Points, attraction: Affinities) -> Points:
    # `take`, and columns by themselves: together a fifth of the time of an index and of whole rows.
    apart = places.take(attraction.ones, axis=0)
    apart -= places.take(attraction.others, axis=0)
    across, along = apart[:, 0], apart[:, 1]
    squares = across * across
    squares += along * along
    weights = attraction.weights / (1 + squares)
    across *= weights
    along *= weights
    return np.add.reduceat(apart, attraction.starts, axis=0)


def _scaled(places: Points) -> Points:
    low, high = places.min(axis=0), places.max(axis=0)
    half = float((high - low).max()) / 2
    centred: Points = (places - (low + high) / 2) / np.float32(half if half > 0 else 1.0)
    return np.clip(centred, -1, 1)
