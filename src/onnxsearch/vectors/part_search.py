"""Exact search for the nearest of several vectors in each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from onnxsearch._internal.validation import instance, integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import Filter, check_filter
from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, checked_matrix
from onnxsearch.vectors.capabilities import Parts
from onnxsearch.vectors.exact_search import (
    Positions,
    by_distance_then_key,
    contenders,
    euclidean_lengths,
)

_BLOCK = 1 << 20
"""Numbers that are compared at once: 4 MiB of float32, which stay in the cache."""


def check_parts(
    spec: CollectionSpec, queries: Vectors, parts: Parts, limit: int, filter: Filter | None
) -> tuple[Vectors, int]:
    """Return the queries and the limit of a search for parts, checked.

    Raises:
        InvalidArgumentError: An argument does not fit the collection, or has a wrong type or value.
    """
    limit = integer("limit", limit, least=1)
    if filter is not None:
        check_filter(filter)
    instance("parts", parts, Parts, "Parts(number, dimension)")
    number = integer("parts.number", parts.number, least=1)
    dimension = integer("parts.dimension", parts.dimension, least=1)
    fits = spec.columns % dimension == 0 and number * dimension <= spec.columns
    if spec.dtype != np.float32 or not fits:
        raise InvalidArgumentError(
            f"parts of {number} x {dimension} numbers: collection {spec.name!r} has rows of "
            f"{spec.columns} {spec.dtype}: expected float32, and a multiple of the dimension"
        )
    return checked_matrix("queries", queries, replace(spec, dimension=dimension)), limit


class SearchedRows(NamedTuple):
    """Rows that are searched by their parts."""

    keys: Sequence[str]
    matrix: Vectors
    chosen: Positions | None
    """Positions of the rows that may be found; None for all."""


def nearest_parts(
    spec: CollectionSpec,
    tables: Iterable[SearchedRows],
    queries: Vectors,
    parts: Parts,
    limit: int,
) -> list[list[Match]]:
    """Return the nearest rows of each query; see `LateInteraction.search_parts`.

    Args:
        spec: Specification of the collection.
        tables: Its rows.
        queries: Vectors that the parts are compared with.
        parts: How they lie in a row.
        limit: Rows per query, at most.
    """
    found: list[list[Match]] = [[] for _ in queries]
    for keys, matrix, chosen in tables:
        for places, rows in _blocks(matrix, chosen):
            # What follows the parts that are compared is dropped; usually that is one of many.
            several = rows.reshape(len(rows), -1, parts.dimension)[:, : parts.number]
            vectors: Vectors = np.ascontiguousarray(several).reshape(-1, parts.dimension)
            lengths = euclidean_lengths(vectors)
            for number, query in enumerate(queries):
                # A row fills as many ranks as it has parts, at most.
                near, distances = contenders(
                    spec.metric, vectors, lengths, query, limit * parts.number
                )
                least = np.full(len(rows), np.inf)
                np.minimum.at(least, near // parts.number, distances)
                matches = [
                    Match(keys[int(places[row])], float(least[row]))
                    for row in np.flatnonzero(np.isfinite(least)).tolist()
                ]
                nearest = sorted([*found[number], *matches], key=by_distance_then_key)
                found[number] = nearest[:limit]
    return found


def _blocks(matrix: Vectors, chosen: Positions | None) -> Iterator[tuple[Positions, Vectors]]:
    """Yield the rows that may be found and their positions, a few at a time."""
    total = len(matrix) if chosen is None else len(chosen)
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, total, step):
        end = min(start + step, total)
        if chosen is None:
            yield np.arange(start, end), matrix[start:end]
        else:
            yield chosen[start:end], matrix[chosen[start:end]]
