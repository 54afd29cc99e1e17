"""Products of rows and queries, computed on all cores in small pieces.

A product of up to 2^18 multiplications is one that OpenBLAS, which numpy brings along,
computes in the thread that asks for it. Many of these in threads of our own are at least
as fast as one large product on a quiet machine. On a busy one they are several times
faster, since no thread waits for another one: that is how the threads of OpenBLAS share
a large product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.threads import batched, ordered_map

_PIECE = 1 << 18
"""Multiplications of a piece: OpenBLAS's default GEMM_MULTITHREAD_THRESHOLD, 4, times 65,536."""
_PART = 1 << 20
"""Products, at least, that are worth the start of a thread, a tenth of a millisecond."""

_Float = TypeVar("_Float", np.float32, np.float64)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

cores = cache(available_cores)


def products(rows: NDArray[_Float], queries: NDArray[_Float]) -> NDArray[_Float]:
    """Return the product of each row with each query, (n, m), for matrices of as many columns."""
    if len(queries) == 1:
        # One thread reads the rows nearly at the speed of memory.
        one: NDArray[_Float] = np.vecdot(rows, queries[0])[:, np.newaxis]
        return one
    if queries.size > _PIECE:
        whole: NDArray[_Float] = np.dot(rows, queries.T)
        return whole
    found = np.empty((len(rows), len(queries)), rows.dtype)
    columns = np.ascontiguousarray(queries.T)
    height = max(1, _PIECE // max(1, queries.size))
    step = height * max(1, -(-len(rows) // (height * cores())), _PART // (height * len(queries)))

    def compute(start: int) -> None:
        part = slice(start, start + step)
        _in_pieces(rows[part], columns, height, found[part])

    in_threads(compute, range(0, len(rows), step))
    return found


def in_threads(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Return the result for each item, computed by a thread for each core."""
    if min(cores(), len(items)) < 2:
        return [function(item) for item in items]
    shares = batched(items, -(-len(items) // cores()))
    found = ordered_map(lambda share: [*map(function, share)], shares, workers=cores())
    return [result for results in found for result in results]


def _in_pieces(
    rows: NDArray[_Float], columns: NDArray[_Float], height: int, found: NDArray[_Float]
) -> None:
    """Compute the products of rows and columns in pieces of `height` rows."""
    whole = len(rows) // height * height
    pieces = rows[:whole].reshape(-1, height, rows.shape[1])
    np.matmul(pieces, columns, out=found[:whole].reshape(-1, height, columns.shape[1]))
    np.matmul(rows[whole:], columns, out=found[whole:])
