"""The first hits of a ranking in another order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from onnxsearch.types import Hit


class Reordering(NamedTuple):
    """How the first hits of a ranking are reordered; the others follow unchanged.

    The number of these hits does not depend on the limit of a search, so that its pages continue
    each other.
    """

    first: int
    order: Callable[[Sequence[Hit]], Sequence[Hit]]
    """Returns the hits that it is given in another order."""

    def reordered(self, ranking: Sequence[Hit]) -> Sequence[Hit]:
        """Return a whole ranking, or one of at least `first` hits, with the first reordered."""
        if not self.first or not ranking:
            return ranking
        return [*self.order(ranking[: self.first]), *ranking[self.first :]]


AS_RANKED = Reordering(0, lambda hits: hits)
"""Leaves every hit where it is."""
