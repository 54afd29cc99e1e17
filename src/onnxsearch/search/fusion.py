"""One ranking out of several models' rankings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.results import SearchResults
from onnxsearch.types import Hit
from onnxsearch.vectors.base import Match


class Fusion(ABC):
    """How the rankings of several models become one.

    A ranking gives each of its hits points between 0 and 1; a hit that a model did not
    return gets none from it. The fused score is the mean of the points, weighted by
    model, and the fused distance is 1 - score.

    A subclass writes `points`. What depends on a hit's position only is robust; what
    depends on distances sees how much better one hit is than the next.
    """

    weights: Mapping[str, float] = MappingProxyType({})
    """Weight by model; a model that is not named has 1."""

    @abstractmethod
    def points(self, distances: Sequence[float]) -> Sequence[float]:
        """Return the points of each hit of one ranking, best first.

        Args:
            distances: Its distances, in ascending order, at least one.
        """

    def merge(self, rankings: Mapping[str, Sequence[Match]]) -> list[Match]:
        """Fuse rankings by model, each nearest first; return the fused one.

        Hits of equal scores come in the order of the models, then of their ranks.

        Raises:
            InvalidArgumentError: A weight is negative or not finite, or all are 0.
        """
        weights = {model: float(self.weights.get(model, 1.0)) for model in rankings}
        total = sum(weights.values())
        if not all(math.isfinite(w) and w >= 0 for w in weights.values()) or total <= 0:
            raise InvalidArgumentError(
                f"weights {weights}: expected finite numbers from 0 on, not all of them 0"
            )
        scores: dict[str, float] = {}
        for model, matches in rankings.items():
            if matches:
                share = weights[model] / total
                given = self.points([match.distance for match in matches])
                for match, points in zip(matches, given, strict=True):
                    scores[match.key] = scores.get(match.key, 0.0) + share * points
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        return [Match(key, 1.0 - score) for key, score in ranked]

    def fuse(self, results: Mapping[str, SearchResults]) -> SearchResults:
        """Fuse what several models found; see `merge`."""
        unknown = self.weights.keys() - results.keys()
        if unknown:
            raise InvalidArgumentError(
                f"weights name {', '.join(sorted(unknown))}, which is not among the models "
                f"searched: {', '.join(results)}"
            )
        name = "+".join(results)
        known: dict[str, Hit] = {}
        for hits in results.values():
            for hit in hits:
                known.setdefault(hit.id, hit)
        fused = self.merge(
            {
                model: [Match(h.id, h.distance) for h in ranking]
                for model, ranking in results.items()
            }
        )
        return SearchResults(
            tuple(
                replace(known[id], distance=distance, score=1.0 - distance, model=name)
                for id, distance in fused
            ),
            model=name,
            metric=None,
        )


@dataclass(frozen=True, slots=True)
class RankFusion(Fusion):
    """Reciprocal rank fusion: a hit at rank r gets (k + 1) / (k + r) points.

    That is the 1 / (k + r) of Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion
    outperforms Condorcet and individual Rank Learning Methods" (SIGIR 2009), scaled so
    that a hit that is first everywhere scores 1.
    """

    k: float = 60.0
    """How flat the points are; 60 is the paper's value."""
    weights: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        if not (math.isfinite(self.k) and self.k >= 0):
            raise InvalidArgumentError(f"k {self.k}: expected a finite number from 0 on")

    def points(self, distances: Sequence[float]) -> Sequence[float]:
        """Return (k + 1) / (k + rank) for each rank."""
        return [(self.k + 1) / (self.k + rank) for rank in range(1, len(distances) + 1)]


@dataclass(frozen=True, slots=True)
class ScoreFusion(Fusion):
    """Normalised scores: a ranking's first hit gets 1 point, its last 0, others in between.

    In between by distance. This is the min-max normalisation of Lee, "Analyses of
    Multiple Evidence Combination" (SIGIR 1997), summed up as CombSUM of Fox and Shaw
    (TREC-2, 1994) does.
    """

    weights: Mapping[str, float] = field(default_factory=dict[str, float])

    def points(self, distances: Sequence[float]) -> Sequence[float]:
        """Return (last - distance) / (last - first) for each distance."""
        first, last = distances[0], distances[-1]
        if last <= first:
            return [1.0] * len(distances)
        return [(last - distance) / (last - first) for distance in distances]


FusionChoice: TypeAlias = "Fusion | Literal['rrf', 'scores']"
"""`"rrf"` stands for `RankFusion()`, `"scores"` for `ScoreFusion()`."""


def as_fusion(choice: FusionChoice) -> Fusion:
    """Return what `choice` stands for.

    Raises:
        InvalidArgumentError: There is no fusion of that name.
    """
    if isinstance(choice, Fusion):
        return choice
    named: dict[str, Fusion] = {"rrf": RankFusion(), "scores": ScoreFusion()}
    if choice not in named:
        raise InvalidArgumentError(
            f"fusion {choice!r}: expected 'rrf', 'scores', or a RankFusion or ScoreFusion"
        )
    return named[choice]
