"""Fusion of the rankings of different models into one ranking."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from onnxsearch._internal.validation import instance, number
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.results import SearchResults
from onnxsearch.types import Hit
from onnxsearch.vectors.base import Match

FUSED_RANKS = 100
"""Ranks of each model that are fused at first, whatever the limit of a search: an image
that one model ranks low can still come first on account of the others, and a ranking that
began with fewer for a smaller limit would be another ranking. On 1,237 labelled photographs
and with two models, 50 ranks give a mean average precision of .483, and 100 ranks .484."""

DEEPENING = 4
"""Factor by which a search looks deeper when it was not deep enough."""

_GREATEST = 1e9
"""Greatest weight, and greatest k: above it, rounding would hide differences."""


class Fusion(ABC):
    """A rule that makes one ranking of the rankings of different models.

    A ranking gives each of its hits points between 0 and 1; a hit that a model did not
    return gets none from it. The fused score is the mean of the points, weighted by
    model, and the fused distance is 1 - score.

    A subclass writes `points`. Points that depend on a hit's position only are robust;
    points that depend on distances show how much better one hit is than the next.
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
            InvalidArgumentError: A weight is negative or not finite, all are 0, or one
                names a model without a ranking.
        """
        instance("rankings", rankings, Mapping, "a mapping from model names to rankings")
        weights = _weights_of(self.weights, rankings)
        total = math.fsum(weights.values())
        shares: dict[str, list[float]] = defaultdict(list)
        for model, matches in rankings.items():
            if matches:
                given = self._checked_points([match.distance for match in matches])
                for match, points in zip(matches, given, strict=True):
                    shares[match.key].append(weights[model] / total * points)
        # The exact sum does not depend on the order of the models, so that equal scores are equal.
        scores = {key: math.fsum(parts) for key, parts in shares.items()}
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        return [Match(key, 1.0 - score) for key, score in ranked]

    def _checked_points(self, distances: Sequence[float]) -> Sequence[float]:
        points = [float(each) for each in self.points(distances)]
        if len(points) != len(distances) or not all(map(math.isfinite, points)):
            raise InvalidArgumentError(
                f"fusion {type(self).__name__}: points() gave {len(points)} values for "
                f"{len(distances)} hits: expected a finite number for each hit"
            )
        return points

    def fuse(self, results: Mapping[str, SearchResults]) -> SearchResults:
        """Fuse the results of different models, by id; see `merge`."""
        instance("results", results, Mapping, "a mapping from model names to results")
        hits: dict[str, Hit] = {}
        for hit in (hit for found in results.values() for hit in found):
            hits.setdefault(hit.id, hit)
        fused = self.merge(
            {
                model: [Match(hit.id, hit.distance) for hit in found]
                for model, found in results.items()
            }
        )
        name = "+".join(results)
        return SearchResults(
            tuple(
                replace(hits[id], distance=distance, score=1.0 - distance, model=name)
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
        number("k", self.k, least=0, most=_GREATEST)
        _check_weights(self.weights)

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

    def __post_init__(self) -> None:
        _check_weights(self.weights)

    def points(self, distances: Sequence[float]) -> Sequence[float]:
        """Return (last - distance) / (last - first) for each distance."""
        first, last = distances[0], distances[-1]
        if last <= first:
            return [1.0] * len(distances)
        return [(last - distance) / (last - first) for distance in distances]


FusionChoice: TypeAlias = "Fusion | Literal['rrf', 'scores']"
"""`"rrf"` stands for `RankFusion()`, `"scores"` for `ScoreFusion()`."""


def as_fusion(choice: FusionChoice | None) -> Fusion:
    """Return what `choice` stands for; None for `"rrf"`.

    Raises:
        InvalidArgumentError: There is no fusion of that name.
    """
    if choice is None:
        return RankFusion()
    if isinstance(choice, Fusion):
        return choice
    named: dict[str, Fusion] = {"rrf": RankFusion(), "scores": ScoreFusion()}
    if not isinstance(choice, str) or choice not in named:  # type: ignore[redundant-expr]
        raise InvalidArgumentError(
            f"fusion {choice!r:.80}: expected 'rrf', 'scores', or a RankFusion or ScoreFusion"
        )
    return named[choice]


def extended(ranking: Sequence[Match], deeper: Iterable[Match]) -> list[Match]:
    """Append to a fused ranking what the fusion of deeper rankings adds.

    The order of what was ranked before stays, so that a search with a small limit gives
    the beginning of one with a large limit. Distances never fall.
    """
    known = {match.key for match in ranking}
    least = ranking[-1].distance if ranking else -math.inf
    added = (Match(key, max(distance, least)) for key, distance in deeper if key not in known)
    return [*ranking, *added]


def fused_ranks(depth: int) -> int:
    """Return how many ranks of each model it takes to fuse the first `depth` ranks."""
    ranks = FUSED_RANKS
    while ranks < depth:
        ranks *= DEEPENING
    return ranks


def ranks_for(depth: int, rankings: int) -> int:
    """Return how many ranks of each of some rankings give the first `depth` ranks of all."""
    return depth if rankings == 1 else fused_ranks(depth)


def fused_as_searched(fusion: Fusion, rankings: Mapping[str, Sequence[Match]]) -> list[Match]:
    """Fuse whole rankings into the ranking that a search for all images returns."""
    longest = max(len(ranking) for ranking in rankings.values())
    fused: list[Match] = []
    depth = FUSED_RANKS
    while True:
        fused = extended(fused, fusion.merge({m: r[:depth] for m, r in rankings.items()}))
        if depth >= longest:
            return fused
        depth *= DEEPENING


def _check_weights(weights: Mapping[str, float]) -> None:
    instance("weights", weights, Mapping, "a mapping from model names to numbers")
    for model, weight in weights.items():
        instance("weights", model, str, "names of models as keys")
        number(f"weights[{model!r}]", weight, least=0, most=_GREATEST)


def _weights_of(weights: Mapping[str, float], models: Iterable[str]) -> dict[str, float]:
    """Return the weight of each model.

    Raises:
        InvalidArgumentError: See `Fusion.merge`.
    """
    _check_weights(weights)
    given = {model: float(weights.get(model, 1.0)) for model in models}
    unknown = weights.keys() - given.keys()
    if unknown:
        raise InvalidArgumentError(
            f"weights name {', '.join(sorted(unknown))}, which is not among the models "
            f"searched: {', '.join(given)}"
        )
    if not any(given.values()):
        raise InvalidArgumentError(f"weights {given}: expected at least one above 0")
    return given
