"""The first hits of a ranking in another order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from onnxsearch.types import Hit

NO_KEYS: Final[Mapping[str, str]] = MappingProxyType({})


class Reordering(NamedTuple):
    """How the first hits of a ranking are reordered; the others follow unchanged.

    The number of these hits does not depend on the limit of a search, so that its pages continue
    each other.
    """

    first: int
    order: Callable[[Sequence[Hit], Mapping[str, str]], Sequence[Hit]]
    """Returns the hits that it is given in another order; it is also given `keys`."""
    keys: Mapping[str, str] = NO_KEYS
    """Keys that images had when they were found, by id."""

    def among(self, keys: Mapping[str, str]) -> Reordering:
        """Return how hits are reordered whose images have these keys, by id."""
        return self._replace(keys=keys)

    def reordered(self, ranking: Sequence[Hit]) -> Sequence[Hit]:
        """Return a whole ranking, or one of at least `first` hits, with the first reordered."""
        if not self.first or not ranking:
            return ranking
        return [*self.order(ranking[: self.first], self.keys), *ranking[self.first :]]


AS_RANKED = Reordering(0, lambda hits, _: hits)
"""Leaves every hit where it is."""
