"""How much an approximate index misses."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.bootstrap import Estimate, estimates
from onnxsearch.vectors.exact_search import nearest

if TYPE_CHECKING:
    from onnxsearch.types import Metric
    from onnxsearch.vectors.base import Match, Vectors, VectorStore

_BLOCK = 1024
"""Rows read at once: 5 MB at 1280 numbers."""

_CLOSE = 1e-6
"""Rows at the same distance are equally right; stores round to float32."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a collection as queries, with their exact answers.

    Recall as in Aumüller, Bernhardsson and Faithfull, "ANN-Benchmarks" (Information
    Systems 87, 2020): the share of the rows returned that are no further away than the
    `limit`-th row of the exact answer.
    """

    queries: Vectors
    limit: int
    exact: list[list[Match]]
    seed: int

    @classmethod
    def draw(
        cls, store: VectorStore, collection: str, *, limit: int, sample: int, seed: int
    ) -> Self:
        """Draw rows and find what is nearest to them: all rows are read, in bounded memory.

        Raises:
            InvalidArgumentError: `limit` or `sample` is below 1, or there is no row.
        """
        limit = integer("limit", limit, least=1)
        sample = integer("sample", sample, least=1)
        keys = _sampled(store, collection, sample, seed)
        if not keys:
            raise InvalidArgumentError(
                "nothing is stored yet: index pictures before measuring recall"
            )
        rows = store.fetch(collection, keys)
        queries = np.stack([rows[key] for key in keys if key in rows])
        return cls(queries, limit, _exactly(store, collection, queries, limit), seed)

    def recall(self, given: list[list[Match]]) -> Estimate:
        """Compare the answers to all queries with the exact ones; a 95 % interval."""
        shares = [_share(found, best) for found, best in zip(given, self.exact, strict=True)]
        rows = np.array(shares)[:, None]
        (estimate,) = estimates(rows, confidence=0.95, resamples=1000, seed=self.seed)
        return estimate


def index_recall(
    store: VectorStore, collection: str, *, limit: int, sample: int, seed: int
) -> Estimate:
    """Return which share of the truly nearest rows the store finds.

    Raises:
        InvalidArgumentError: `limit` or `sample` is below 1, or there is no row.
    """
    drawn = Sample.draw(store, collection, limit=limit, sample=sample, seed=seed)
    return drawn.recall(store.search(collection, drawn.queries, limit))


def _sampled(store: VectorStore, collection: str, sample: int, seed: int) -> list[str]:
    """Draw keys by reservoir sampling (Vitter's algorithm R, ACM TOMS 11(1), 1985)."""
    random = np.random.default_rng(seed)
    chosen: list[str] = []
    for number, key in enumerate(store.ids(collection)):
        if number < sample:
            chosen.append(key)
        elif (place := int(random.integers(0, number + 1))) < sample:
            chosen[place] = key
    return chosen


def _exactly(
    store: VectorStore, collection: str, queries: Vectors, limit: int
) -> list[list[Match]]:
    metric: Metric = store.describe(collection).metric
    best: list[list[Match]] = [[] for _ in queries]
    for keys in batched(store.ids(collection), _BLOCK):
        rows = store.fetch(collection, keys)
        if rows:
            matrix = np.stack(list(rows.values()))
            lengths: NDArray[np.float64] = np.linalg.norm(matrix.astype(np.float64), axis=1)
            near = nearest(metric, matrix, lengths, list(rows), queries, limit)
            best = [
                nsmallest(limit, [*old, *new], key=attrgetter("distance"))
                for old, new in zip(best, near, strict=True)
            ]
    return best


def _share(found: list[Match], exact: list[Match]) -> float:
    border = exact[-1].distance + _CLOSE
    right = {match.key for match in exact}
    return sum(m.key in right or m.distance <= border for m in found[: len(exact)]) / len(exact)
