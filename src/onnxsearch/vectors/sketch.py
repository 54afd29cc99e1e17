"""Upper bounds of products, from a short sketch of each vector.

Let V have orthonormal rows, let Va be the coordinates of a vector a in the subspace
that they span, and let r_a be the length of what is left of it. By the inequality of
Cauchy and Schwarz,

    a.b <= Va.Vb + r_a r_b,    that is,    |a - b|^2 >= |Va - Vb|^2 + (r_a - r_b)^2.

A sketch holds Va and r_a. The rows of V are the principal directions of stored vectors,
so that few coordinates leave little. The product of two sketches reads a fifth of what
the product of two vectors reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnxsearch.types import Metric
from onnxsearch.vectors.base import Vectors
from onnxsearch.vectors.exact_search import Floats, Ranks, euclidean_lengths
from onnxsearch.vectors.products import products

_FEWEST_COLUMNS = 64
"""Shorter vectors are compared as fast as sketches of them."""
_LEFT = 0.1
"""Share of the squares of a sample, those along its first direction not counted, that a sketch may
leave out. With the default model that takes 256 of 1,280 numbers, which leave 3 % of the rows of
1,237 photos to compare for ten hits; 128 numbers leave 9 %."""
_MOST, _OTHERWISE = 2, 5
"""Numbers of a vector for each number of its sketch, at least; and where these are not enough."""
_NARROW = 8
"""Numbers of a vector for each of a sketch, at least, of which it pays to find the directions by
iteration: with 2.5, that takes as long as all principal directions."""
_ITERATIONS = 3
WIDE = 2048
"""Numbers of a vector from which on principal directions are those of few rows: to find them of all
takes the third power of the numbers, more than a minute for 4,096."""
_FEW = 1024
_NOTHING = 1e-9
"""Share of the square of the first direction that is rounding."""
_EXTRA = 3
"""Numbers of a sketch that are not coordinates: what is left, the length, half its square."""
_SINGLE = float(np.finfo(np.float32).eps) / 2
_DOUBLE = float(np.finfo(np.float64).eps) / 2
_ORTHONORMAL = 1e-12
"""How far V V^T may be from the identity matrix; computed ones are nearer by far."""
_LENGTHS = {Metric.L2: (1e-3, 1e3), Metric.IP: (1e-3, 1e3), Metric.COSINE: (1e-15, 1e15)}
"""Lengths, besides zero, for which the bounds are proved: nothing here underflows or overflows,
and a distance in float64 keeps every difference that float32 products can show."""


def directions(width: int) -> int:
    """Return how many numbers of a sketch of that width are coordinates."""
    return width - _EXTRA


def bounded(metric: Metric, lengths: Floats) -> NDArray[np.bool_]:
    """Return for which vectors of these lengths the bounds are proved."""
    least, most = _LENGTHS[metric]
    found: NDArray[np.bool_] = (lengths == 0) | ((lengths >= least) & (lengths <= most))
    return found


def is_proved(metric: Metric, lengths: Floats) -> bool:
    """Return whether the bounds are proved for rows of these lengths."""
    return metric is not Metric.HAMMING and bool(bounded(metric, lengths).all())


@dataclass(frozen=True)
class Sketcher:
    """Makes sketches of rows and of queries, whose products bound those of the vectors.

    Rounding never lowers a bound. The product of K float32 numbers is off by at most
    K u |a| |b|, u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
    section 3.1); coordinates are computed in float64 and off by u |a| once they are stored.
    The residual is rounded up by what float64 may lose in a difference of squares. All of
    this goes into the sketches as a product of the lengths, so that one product gives the
    bound with its margin.
    """

    metric: Metric
    basis: Floats
    """Orthonormal rows, (directions, columns)."""

    @property
    def width(self) -> int:
        """Numbers in a sketch."""
        return len(self.basis) + _EXTRA

    def narrowed(self, width: int) -> Sketcher:
        """Return what makes sketches of that width, along the first directions of these."""
        return Sketcher(self.metric, self.basis[: directions(width)])

    def of_rows(self, rows: Vectors, lengths: Floats) -> Ranks:
        """Return the sketches of rows, (n, width)."""
        sketches = np.empty((len(rows), self.width), np.float32)
        norms = self._coordinates(rows, lengths, sketches)
        sketches[:, -2] = _up(norms)
        if self.metric is Metric.L2:
            # Products with the query and this number both lose up to K u; both are given back.
            sketches[:, -1] = -_up(-np.square(norms) * (0.5 - 2.0 * self._relative_error))
        else:
            sketches[:, -1] = 0.0
        return sketches

    def of_queries(self, queries: Vectors) -> tuple[Ranks, Floats]:
        """Return the sketches of queries, (m, width), and the lengths that were sketched.

        The product of one with the sketch of a row is at least a.q, for L2 a.q - |a|^2 / 2.
        A length of 0 means that no bound is proved for this query.
        """
        sketches = np.empty((len(queries), self.width), np.float32)
        lengths = euclidean_lengths(queries)
        lengths[~bounded(self.metric, lengths)] = 0.0
        norms = self._coordinates(queries, lengths, sketches)
        self._end_queries(sketches, norms)
        # Products with vectors of such lengths might overflow.
        sketches[lengths == 0] = 0.0
        return sketches, norms

    def as_queries(self, sketches: Ranks, lengths: Floats) -> tuple[Ranks, Floats]:
        """Return for sketches of rows what `of_queries` returns for the rows."""
        queries, norms = sketches.copy(), self._norms(lengths)
        self._end_queries(queries, norms)
        return queries, norms

    def least_scores(self, lengths: Floats, distances: Floats | float, longest: float) -> Ranks:
        """Return for each query what the scores of all rows reach that are at most so distant.

        Args:
            lengths: Lengths of the queries, (m,), as `of_queries` returns them.
            distances: A distance for all queries, or for each, (m,), as `distances` of
                `onnxsearch.vectors.exact_search` measures it.
            longest: Length of the longest row.
        """
        margin = 16.0 * (self.basis.shape[1] + 8) * _DOUBLE
        if self.metric is Metric.L2:
            # A negative distance is less than all others, and so is this.
            with np.errstate(over="ignore"):  # an infinite square leaves no row out
                signed_square = distances * np.abs(distances)
            scores = (np.square(lengths) - signed_square) / 2.0
            scores -= margin * np.square(lengths + longest)
        else:
            scores = 1.0 - distances - margin * (1.0 + lengths * longest)
        with np.errstate(over="ignore"):
            lower: Ranks = np.nextafter(scores.astype(np.float32), np.float32(-np.inf))
        return lower

    def _end_queries(self, sketches: Ranks, norms: Floats) -> None:
        """Fill in what sketches of queries hold beside the coordinates and what is left."""
        sketches[:, -2] = _up(norms * self._relative_error)
        sketches[:, -1] = -1.0

    def _norms(self, lengths: Floats) -> Floats:
        """Return the lengths of vectors of these lengths as they are sketched."""
        # Vectors of length 1, or zeros, which have no direction and the product 0 with all.
        return np.sign(lengths) if self.metric is Metric.COSINE else lengths

    def _coordinates(self, vectors: Vectors, lengths: Floats, sketches: Ranks) -> Floats:
        """Fill in the coordinates and what is left; return the lengths that were sketched."""
        norms = self._norms(lengths)
        coordinates = self._projected(_directed(self.metric, vectors, lengths))
        sketches[:, :-_EXTRA] = coordinates
        squares = np.square(norms)
        left = np.maximum(squares - np.square(coordinates).sum(axis=1), 0.0)
        sketches[:, -_EXTRA] = _up(np.sqrt(left + self._lost * squares))
        return norms

    def _projected(self, directed: Floats) -> Floats:
        """Return the coordinates of vectors, (n, directions)."""
        if len(directed) < len(self.basis):
            return products(directed, self.basis)
        return products(self.basis, directed).T

    @property
    def _relative_error(self) -> float:
        return 1.1 * (self.width + 16) * _SINGLE

    @cached_property
    def _lost(self) -> float:
        """Bound, relative to |a|^2, on the error of |a|^2 - |Va|^2 in float64."""
        count, columns = self.basis.shape
        lost: float = 4.0 * (math.sqrt(count) + 1.0) * (count + columns) * _DOUBLE
        return lost + 4.0 * _ORTHONORMAL


class WholeSketcher(Sketcher):
    """Makes sketches that leave nothing out, of which the coordinates are the vectors.

    Args:
        metric: How distances are measured.
        columns: Numbers of a vector.
    """

    def __init__(self, metric: Metric, columns: int) -> None:
        super().__init__(metric, np.empty((0, columns)))

    @property
    def width(self) -> int:
        return int(self.basis.shape[1]) + _EXTRA

    def _projected(self, directed: Floats) -> Floats:
        return directed


def sketcher_of(
    metric: Metric, lengths: Floats, sample: Vectors, width: int | None = None
) -> Sketcher | None:
    """Return what sketches rows; None if bounds are not proved for them, or of no use.

    Args:
        metric: How distances are measured.
        lengths: Euclidean length of each row.
        sample: Some of the rows, (n, columns). Coordinates are those along the directions in
            which it extends most.
        width: Numbers of a sketch; by default as many as it takes to leave out little.
    """
    if sample.shape[1] < _FEWEST_COLUMNS or not is_proved(metric, lengths):
        return None
    directed = _directed(metric, sample, euclidean_lengths(sample))
    columns = sample.shape[1]
    if width is not None and (width * _NARROW <= columns or columns > WIDE):
        basis = _main(directed, directions(width))
    else:
        basis = _principal(directed, width)
    error = np.linalg.norm(basis @ basis.T - np.eye(len(basis)))
    # A basis that is not orthonormal, or not finite, is not to be expected.
    return Sketcher(metric, basis) if error <= _ORTHONORMAL else None


def _principal(sample: Floats, width: int | None) -> Floats:
    """Return the principal directions of a sample, the first first.

    Args:
        sample: Some rows.
        width: Numbers of a sketch; None for as many as it takes to leave out little.
    """
    squares, vectors = np.linalg.eigh(sample.T @ sample)
    count = directions(_width(squares[::-1]) if width is None else width)
    return np.ascontiguousarray(vectors[:, ::-1][:, :count].T)


def _main(sample: Floats, count: int) -> Floats:
    """Return directions that hold nearly as much of a sample as as many principal ones.

    By subspace iteration from random directions, which takes a tenth of the time (Halko,
    Martinsson and Tropp, Finding Structure with Randomness, SIAM Review 53(2), 2011,
    algorithm 4.4).
    """
    if sample.shape[1] > WIDE:
        return _main_of_few(sample, count)
    found = np.random.default_rng(0).standard_normal((sample.shape[1], count))
    for _ in range(_ITERATIONS):
        found, _ = np.linalg.qr(sample.T @ (sample @ found))
    return np.ascontiguousarray(found.T)


def _main_of_few(sample: Floats, count: int) -> Floats:
    """Return the principal directions of some rows of a sample, by the products of these rows.

    They are as many as wanted, or as the rows extend in. The effort is linear in the numbers of a
    row. The inverse root of their products makes the directions orthonormal (Löwdin, On the
    Non-Orthogonality Problem, Journal of Chemical Physics 18, 1950), twice for the last digits.
    """
    few = sample[:: -(-len(sample) // _FEW)]
    squares, combinations = np.linalg.eigh(few @ few.T)
    count = min(count, int(np.count_nonzero(squares > _NOTHING * squares[-1])))
    found = combinations[:, ::-1][:, :count].T @ few
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    for _ in range(2):
        lengths, turns = np.linalg.eigh(found @ found.T)
        found = (turns / np.sqrt(lengths)) @ turns.T @ found
    return np.ascontiguousarray(found)


def _width(squares: Floats) -> int:
    """Return the numbers of a sketch, given the squares of a sample along its directions."""
    columns = len(squares)
    left = squares[::-1].cumsum()[::-1]
    enough = int(np.count_nonzero(left > _LEFT * left[1])) + _EXTRA
    if enough > columns // _MOST:
        enough = columns // _OTHERWISE
    return 16 * -(-enough // 16)


def _directed(metric: Metric, vectors: Vectors, lengths: Floats) -> Floats:
    """Return vectors in float64; for cosine those of length 1, and zeros as zeros."""
    wide = vectors.astype(np.float64)
    if metric is Metric.COSINE:
        wide /= np.where(lengths > 0, lengths, 1.0)[:, np.newaxis]
    return wide


def _up(numbers: Floats) -> Ranks:
    """Round to float32, never downwards."""
    near = numbers.astype(np.float32)
    higher: Ranks = np.where(near < numbers, np.nextafter(near, np.float32(np.inf)), near)
    return higher
