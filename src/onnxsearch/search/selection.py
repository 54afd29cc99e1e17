"""Which of the ranked images a search returns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from onnxsearch._internal.validation import boolean, instance, integer, number, optional
from onnxsearch.catalog.keys import check_ids
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import Filter, check_filter
from onnxsearch.filters.values import identity
from onnxsearch.search.diversity import POOL
from onnxsearch.search.reordering import AS_RANKED, Reordering
from onnxsearch.types import Hit


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the ranked images a search returns. The fields are arguments of `search`."""

    limit: int = 10
    offset: int = 0
    filter: Filter | None = None
    exclude: str | Iterable[str] = ()
    exclude_query: bool = False
    max_distance: float | None = None
    min_score: float | None = None
    group_by: str | None = None
    group_size: int = 1
    diversity: float = 0.0

    def __post_init__(self) -> None:
        if self.filter is not None:
            check_filter(self.filter)
        # As Python's own numbers: numpy's small integers overflow when they are added up.
        checked = {
            "limit": integer("limit", self.limit, least=1),
            "offset": integer("offset", self.offset, least=0),
            "exclude": frozenset(check_ids(self.exclude, "exclude")),
            "exclude_query": boolean("exclude_query", self.exclude_query),
            "max_distance": optional(number, "max_distance", self.max_distance),
            "min_score": optional(number, "min_score", self.min_score),
            "group_size": integer("group_size", self.group_size, least=1),
            "diversity": number("diversity", self.diversity, least=0, most=1),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.group_by is not None:
            instance("group_by", self.group_by, str, "the name of a metadata field")
        elif self.group_size != 1:
            raise InvalidArgumentError(
                f"group_size {self.group_size} does nothing without group_by: name the field "
                "that makes the groups"
            )

    @property
    def excluded(self) -> frozenset[str]:
        """The ids that are left out."""
        return cast("frozenset[str]", self.exclude)

    @property
    def end(self) -> int:
        """The rank of the last hit that is returned."""
        return self.offset + self.limit

    @property
    def wanted(self) -> int:
        """How many candidates it takes to serve this: for diversity whole pools."""
        return math.ceil(self.end / POOL) * POOL if self.diversity else self.end

    def looked_at(self, reordering: Reordering) -> int | None:
        """Return how many of the first ranked hits `candidates` looks at; None for all."""
        return max(self.wanted, reordering.first) if self.group_by is None else None

    def candidates(
        self, ranking: Sequence[Hit], reordering: Reordering = AS_RANKED
    ) -> Sequence[Hit]:
        """Return the hits that may be returned, in order, as many as are wanted."""
        hits = reordering.reordered([hit for hit in ranking if self._is_near(hit)])
        if self.group_by is not None:
            hits = _first_of_each(hits, self.group_by, self.group_size)
        return hits[: self.wanted]

    def is_served_by(self, ranking: Sequence[Hit], reordering: Reordering = AS_RANKED) -> bool:
        """Return whether a deeper ranking would give the same candidates."""
        # How many of a group are returned does not depend on their order.
        is_deep = len(ranking) >= reordering.first
        if is_deep and len(self.candidates(ranking)) == self.wanted:
            return True
        return bool(ranking) and not self._is_near(ranking[-1])

    def _is_near(self, hit: Hit) -> bool:
        """Return whether a hit is near enough; none that follows a hit is nearer."""
        return (self.max_distance is None or hit.distance <= self.max_distance) and (
            self.min_score is None or hit.score >= self.min_score
        )

    def __str__(self) -> str:
        return (
            f"limit {self.limit}, offset {self.offset}, max_distance {self.max_distance}, "
            f"min_score {self.min_score}, group_by {self.group_by!r:.80}, exclude of "
            f"{len(self.excluded)} ids"
        )


def _first_of_each(hits: Sequence[Hit], field: str, size: int) -> list[Hit]:
    """Keep the first hits of each value of a metadata field; without a value, all."""
    seen: Counter[object] = Counter()
    first: list[Hit] = []
    for place, hit in enumerate(hits):
        value = hit.metadata.get(field)
        # A rank is never equal to the identity of a value, which is a pair.
        group = place if value is None else identity(value)
        seen[group] += 1
        if seen[group] <= size:
            first.append(hit)
    return first
