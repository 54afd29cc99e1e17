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
_WIDE, _DEEP = 64, 256
"""Queries and columns of a piece, at most: 16 rows are left. With 64 queries of 1,280 numbers,
pieces with all columns have 3 rows, and take twice the time."""
_BLOCK = 512
"""Rows whose products are in the cache when they are arranged by query."""
_PART = 1 << 26
"""Multiplications, at least, that are worth the start of a thread, a tenth of a millisecond."""
_READ_ALONE = 1 << 24
"""Numbers of rows that a thread reads for one query: 64 MiB."""
_SHARES = 4
"""Parts of the work of a core, so that one that other programs delay leaves some to others."""

_Float = TypeVar("_Float", np.float32, np.float64)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

cores = cache(available_cores)


def products(queries: NDArray[_Float], rows: NDArray[_Float]) -> NDArray[_Float]:
    """Return the product of each query with each row, (m, n), for matrices of as many columns."""
    if len(queries) == 1:
        return _products_of_one(queries[0], rows)[np.newaxis]
    found = np.empty((len(queries), len(rows)), rows.dtype)
    columns = np.ascontiguousarray(queries.T)
    shares = -(-len(rows) // (_BLOCK * cores()))
    step = _BLOCK * max(1, shares, _PART // (_BLOCK * max(1, queries.size)))

    def compute(start: int) -> None:
        for top in range(start, min(start + step, len(rows)), _BLOCK):
            block = rows[top : top + _BLOCK]
            for left in range(0, len(queries), _WIDE):
                part = in_pieces(block, columns[:, left : left + _WIDE])
                found[left : left + _WIDE, top : top + _BLOCK] = part.T

    in_threads(compute, range(0, len(rows), step))
    return found


def _products_of_one(query: NDArray[_Float], rows: NDArray[_Float]) -> NDArray[_Float]:
    """Return the product of a query with each row, (n,).

    One thread reads the rows nearly at the speed of memory, and where there are few of them in
    less time than it takes to wake another one: that of OpenBLAS may take 8 ms to come.
    """
    found = np.empty(len(rows), rows.dtype)
    step = max(1, _READ_ALONE // max(1, rows.shape[1]))

    def compute(start: int) -> None:
        part = slice(start, start + step)
        np.vecdot(rows[part], query, out=found[part])

    in_threads(compute, range(0, len(rows), step))
    return found


def in_pieces(rows: NDArray[_Float], columns: NDArray[_Float]) -> NDArray[_Float]:
    """Return the product of each row with each of at most 64 columns, computed by this thread."""
    # Of columns that are rows of another matrix, the product takes up to twice the time.
    columns = np.ascontiguousarray(columns)
    found = np.empty((len(rows), columns.shape[1]), rows.dtype)
    height = max(1, _PIECE // (min(len(columns), _DEEP) * columns.shape[1]))
    whole = len(rows) // height * height
    pieces = rows[:whole].reshape(-1, height, rows.shape[1])
    of_pieces = found[:whole].reshape(-1, height, columns.shape[1])
    np.matmul(pieces[:, :, :_DEEP], columns[:_DEEP], out=of_pieces)
    np.matmul(rows[whole:, :_DEEP], columns[:_DEEP], out=found[whole:])
    for start in range(_DEEP, len(columns), _DEEP):
        deep = slice(start, start + _DEEP)
        of_pieces += pieces[:, :, deep] @ columns[deep]
        found[whole:] += rows[whole:, deep] @ columns[deep]
    return found


def products_here(rows: NDArray[_Float], others: NDArray[_Float]) -> NDArray[_Float]:
    """Return the product of each row with each other one, (n, m), computed by this thread."""
    found = np.empty((len(rows), len(others)), rows.dtype)
    for left in range(0, len(others), _WIDE):
        found[:, left : left + _WIDE] = in_pieces(rows, others[left : left + _WIDE].T)
    return found


def in_threads(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Return the result for each item, computed by a thread for each core."""
    if min(cores(), len(items)) < 2:
        return [function(item) for item in items]
    shares = batched(items, -(-len(items) // (_SHARES * cores())))
    found = ordered_map(lambda share: [*map(function, share)], shares, workers=cores())
    return [result for results in found for result in results]
