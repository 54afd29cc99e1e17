"""Query expansion: a query is moved towards the images that are nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import integer, number
from onnxsearch.search.similarity import directions
from onnxsearch.types import Metric

if TYPE_CHECKING:
    from onnxsearch.vectors.base import Vectors

_MOST_NEIGHBOURS = 1000
"""Neighbours of one expansion, at most: their vectors are fetched at once."""
_GREATEST_ALPHA = 100.0
"""Above it, only a neighbour that equals the query has a weight that counts."""


@dataclass(frozen=True, slots=True)
class AlphaQE:
    """Query expansion with weights by similarity: a second search begins nearer to the answer.

    The query q becomes q' = unit(q + sum of max(0, s)^alpha x) over its `n` nearest images x,
    where all vectors have length 1 and s is the cosine of q and x. Where several models are
    searched, the images are those that come first in the fused ranking, and x is the vector of
    each model. Of `Metric.HAMMING`, bits count as +1 and -1, and the sign of each sum is the bit;
    a sum of 0 leaves the query's bit.

    Radenović, Tolias and Chum, "Fine-Tuning CNN Image Retrieval with No Human Annotation" (IEEE
    TPAMI 41(7), 2019; arXiv 2017), section 3.3. With `alpha` 0 it is the average query expansion
    of Chum et al., "Total Recall" (ICCV 2007).

    Raises:
        InvalidArgumentError: `n` is not from 0 to 1,000, or `alpha` not from 0 to 100.

    Example:
        >>> engine.search("query.jpg", expand=AlphaQE(n=3, alpha=3))
    """

    n: int = 2
    """Nearest images that take part; 0 leaves the query as it is. With up to 2, the first hit
    hardly ever changes; more of them find more of a large group of images, and less of a small
    one."""
    alpha: float = 3.0
    """How much more the nearer ones weigh; 0 weighs all alike that are nearer than a right
    angle. The paper uses 3."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", integer("n", self.n, least=0, most=_MOST_NEIGHBOURS))
        alpha = number("alpha", self.alpha, least=0, most=_GREATEST_ALPHA)
        object.__setattr__(self, "alpha", alpha)

    def expanded(self, metric: Metric, query: Vectors, neighbours: Vectors) -> Vectors:
        """Return the expanded query, of shape (columns,).

        Args:
            metric: The metric of the model; it decides whether the vectors are packed bits.
            query: Of shape (columns,). A query of zeros has no direction, and stays.
            neighbours: The vectors of its nearest images, of shape (n, columns). Without any,
                the query stays.
        """
        if not len(neighbours) or not query.any():
            return query
        (own,) = directions(metric, query[np.newaxis])
        rows = directions(metric, neighbours)
        cosines = np.clip(rows @ own, 0.0, 1.0)
        moved = own + np.where(cosines > 0, cosines**self.alpha, 0.0) @ rows
        if metric is Metric.HAMMING:
            return np.packbits(np.where(moved == 0, own, moved) > 0)
        # Never 0: no neighbour takes anything from the query's own part.
        unit: Vectors = (moved / np.linalg.norm(moved)).astype(np.float32)
        return unit
