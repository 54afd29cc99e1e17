"""Clusters of a map, and the image that stands for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch.album_map.neighbours import planar_neighbours

if TYPE_CHECKING:
    from onnxsearch.album_map.geometry import Points
    from onnxsearch.album_map.neighbours import Places

Numbers: TypeAlias = "NDArray[np.int32]"

_NEIGHBOURS = 8
"""Neighbours in the map by which density is measured."""
_PROMINENCE = 0.1
"""By how much, as a logarithm, a peak rises above what joins it to a higher one. With labelled
photographs of 81 classes this gives 64 clusters, with an adjusted Rand index of .44; HDBSCAN on the
same map .13 at best, k-means with the number of classes given .47."""
_LEAST = 4
"""Images of a cluster, at least."""


def clusters(places: Points) -> Numbers:
    """Return the number of each point's cluster, the largest cluster being 0; -1 for none.

    ToMATo (Chazal, Guibas, Oudot and Skraba, "Persistence-based clustering in Riemannian
    manifolds", J. ACM 60(6), 2013): each point climbs to its densest neighbour, and a peak that
    rises little above the pass to a higher one belongs to that.

    Args:
        places: Shape (n, 2).
    """
    if len(places) < _LEAST:
        return np.full(len(places), -1, np.int32)
    near = planar_neighbours(places, min(_NEIGHBOURS, len(places) - 1))
    density = -np.log(np.maximum(near.distances.mean(axis=1, dtype=np.float64), 1e-9))
    return _numbered(_peaks(density, near.places))


def medoids(places: Points, numbers: Numbers) -> Places:
    """Return for each cluster the point with the least sum of distances to the others in it."""
    found = np.empty(int(numbers.max(initial=-1)) + 1, np.intp)
    for cluster in range(len(found)):
        members = np.flatnonzero(numbers == cluster)
        # The nearest to the geometric median, by Weiszfeld's iteration, is that point or one as
        # good, without a matrix of all distances.
        own = places[members].astype(np.float64)
        centre = own.mean(axis=0)
        for _ in range(20):
            weights = 1 / np.maximum(np.linalg.norm(own - centre, axis=1), 1e-9)
            centre = (own * weights[:, np.newaxis]).sum(axis=0) / weights.sum()
        found[cluster] = members[np.linalg.norm(own - centre, axis=1).argmin()]
    return found


def _peaks(density: NDArray[np.float64], near: Places) -> Places:
    """Return for each point the peak that it belongs to."""
    order = np.argsort(-density, kind="stable")
    ranks = np.empty(len(order), np.intp)
    ranks[order] = np.arange(len(order))
    # By rank from here on: a lower number is denser.
    heights: list[float] = density[order].tolist()
    parents = list(range(len(order)))

    def peak(point: int) -> int:
        while parents[point] != point:
            parents[point] = point = parents[parents[point]]
        return point

    for point, others in enumerate(_denser(ranks, near)):
        if not others:
            continue
        parents[point] = peak(min(others))
        for other in others:
            high, low = sorted((peak(point), peak(other)))
            if high != low and heights[low] - heights[point] < _PROMINENCE:
                parents[low] = high
    found = np.array([peak(point) for point in parents], np.intp)
    return found[ranks]


def _denser(ranks: Places, near: Places) -> list[list[int]]:
    """Return by rank the denser points among those near a point, or to which it is near."""
    ones = np.repeat(ranks, near.shape[1])
    others = ranks[near.ravel()]
    found: list[list[int]] = [[] for _ in ranks]
    pairs = np.unique(np.stack([np.maximum(ones, others), np.minimum(ones, others)]), axis=1)
    for one, other in pairs.T.tolist():
        found[one].append(other)
    return found


def _numbered(peaks: Places) -> Numbers:
    """Number the clusters by size, equal ones by their first point; small ones are none."""
    _, first, groups, sizes = np.unique(
        peaks, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    numbers = np.full(len(sizes), -1, np.int32)
    kept = order[sizes[order] >= _LEAST]
    numbers[kept] = np.arange(len(kept))
    return numbers[groups]
