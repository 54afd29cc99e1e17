"""Recall of an approximate index."""

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
from onnxsearch.evaluation.bootstrap import Bootstrap, Estimate
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
    `limit`-th row of the exact answer. A query is a stored row, and always the nearest to
    itself; it is left out of both answers.
    """

    keys: list[str]
    """The key of each query."""
    queries: Vectors
    limit: int
    exact: list[list[Match]]
    """The `limit` nearest other rows of each query."""
    seed: int

    @classmethod
    def draw(
        cls, store: VectorStore, collection: str, *, limit: int, sample: int, seed: int
    ) -> Self:
        """Draw rows and find what is nearest to them: all rows are read, in bounded memory.

        Raises:
            InvalidArgumentError: `limit` or `sample` is below 1, `seed` below 0, or there
                are fewer than two rows.
        """
        limit = integer("limit", limit, least=1)
        sample = integer("sample", sample, least=1)
        seed = integer("seed", seed, least=0)
        rows = store.fetch(collection, _sampled(store, collection, sample, seed))
        if store.count(collection) < 2 or not rows:
            raise InvalidArgumentError(
                "nothing is stored yet, or a single image: index at least two before measuring "
                "recall"
            )
        keys = list(rows)
        queries = np.stack(list(rows.values()))
        exact = _without(keys, _exactly(store, collection, queries, limit + 1), limit)
        return cls(keys, queries, limit, exact, seed)

    @property
    def rows_to_ask_for(self) -> int:
        """How many rows an answer holds: the query is among them."""
        return self.limit + 1

    def recall(self, given: list[list[Match]]) -> Estimate:
        """Compare answers of `rows_to_ask_for` rows with the exact ones; a 95 % interval."""
        found = _without(self.keys, given, self.limit)
        shares = [_share(rows, best) for rows, best in zip(found, self.exact, strict=True)]
        table = np.array(shares)[:, None]
        (estimate,) = Bootstrap(seed=self.seed).estimates(table)
        return estimate


def _without(keys: list[str], answers: list[list[Match]], limit: int) -> list[list[Match]]:
    """Leave out of each answer the query's own key."""
    return [
        [match for match in answer if match.key != key][:limit]
        for key, answer in zip(keys, answers, strict=True)
    ]


def index_recall(
    store: VectorStore, collection: str, *, limit: int, sample: int, seed: int
) -> Estimate:
    """Return the share of the truly nearest rows that the store finds.

    Raises:
        InvalidArgumentError: `limit` or `sample` is below 1, or there is no row.
    """
    drawn = Sample.draw(store, collection, limit=limit, sample=sample, seed=seed)
    return drawn.recall(store.search(collection, drawn.queries, drawn.rows_to_ask_for))


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
