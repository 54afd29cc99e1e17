"""Exact search for the nearest of several vectors in each row."""

from __future__ import annotations

from dataclasses import replace

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
from onnxsearch.vectors.row_table import RowView

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


def nearest_parts(
    view: RowView, queries: Vectors, parts: Parts, limit: int, filter: Filter | None
) -> list[list[Match]]:
    """Return the nearest rows of each query; see `LateInteraction.search_parts`."""
    rows = view.matching(filter)
    return [_nearest(view, rows, query, parts, limit) for query in queries]


def _nearest(
    view: RowView, rows: Positions | None, query: Vectors, parts: Parts, limit: int
) -> list[Match]:
    total = len(view.matrix) if rows is None else len(rows)
    width = view.matrix.shape[1] // parts.dimension
    step = max(1, _BLOCK // view.matrix.shape[1])
    found: list[Match] = []
    for start in range(0, total, step):
        block = slice(start, start + step)
        chosen = view.matrix[block] if rows is None else view.matrix[rows[block]]
        places = np.arange(start, start + len(chosen)) if rows is None else rows[block]
        # What follows the parts that are compared is dropped; usually that is one of many.
        several = chosen.reshape(len(chosen), width, parts.dimension)[:, : parts.number]
        matrix: Vectors = np.ascontiguousarray(several).reshape(-1, parts.dimension)
        # A row fills as many ranks as it has parts, at most.
        near, distances = contenders(
            view.spec.metric, matrix, euclidean_lengths(matrix), query, limit * parts.number
        )
        least = np.full(len(chosen), np.inf)
        np.minimum.at(least, near // parts.number, distances)
        for place in np.flatnonzero(np.isfinite(least)).tolist():
            found.append(Match(view.keys[int(places[place])], float(least[place])))
        found = sorted(found, key=by_distance_then_key)[:limit]
    return found
