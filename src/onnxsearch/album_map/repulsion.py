"""How all points of a map repel each other, by interpolation on a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onnxsearch.vectors.products import in_pieces

if TYPE_CHECKING:
    from onnxsearch.album_map.geometry import Points

_FEW = 256
"""Points of which all pairs take less time than a grid."""
_SPACING = 0.7
"""Distance of two nodes of the grid, at most. The kernels change over a distance of 1; a narrower
grid changes no map noticeably, and costs the square of it."""
_LEAST_NODES = 48
"""Nodes in a row, at least: a map that is still small needs them nearer to each other."""
_MOST_NODES = 1500
"""Nodes in a row, about: 300 MB of grids. Only maps of some hundred thousand images reach that."""
_MARGIN = 4
"""Nodes around the points that their interpolation needs."""
_NEIGHBOURHOOD = np.arange(-1, 3)
"""A point lies between the second and third of four nodes."""
_SQUARES = np.square(
    np.stack(np.divmod(np.arange(16), 4))[:, :, np.newaxis]
    - np.stack(np.divmod(np.arange(16), 4))[:, np.newaxis]
).sum(axis=0, dtype=np.float64)
"""Squared distances of the 16 nodes around a point, (16, 16), in steps of the grid."""


class Repulsion:
    """The repulsion of t-SNE in a plane, in a time that rises with n, not with its square.

    Linderman, Rachh, Hoskins, Steinerberger and Kluger, "Fast interpolation-based t-SNE" (Nature
    Methods 16, 2019): what the points give is spread over the nodes of a grid, the sums over all
    pairs become convolutions, computed by FFT, and are read at the points. Cubic Lagrange
    interpolation, on one grid, takes the place of their boxes.
    """

    def __init__(self) -> None:
        self._grid: tuple[int, float] = (0, 0.0)
        self._kernels: NDArray[np.complexfloating] = np.empty(0, np.complex64)

    def __call__(self, points: Points) -> tuple[float, Points]:
        """Return the sum of 1 / (1 + d^2) over all ordered pairs, and the force on each point.

        The force, (n, 2), is the sum over all others of their difference / (1 + d^2)^2.
        """
        if len(points) <= _FEW:
            return _of_all_pairs(points)
        low = points.min(axis=0)
        span = float((points.max(axis=0) - low).max())
        # A map whose points are all in one place has no extent.
        spacing = max(min(_SPACING, max(span, 1e-12) / _LEAST_NODES), span / _MOST_NODES)
        nodes = _fast_length(int(span / spacing) + 1 + _MARGIN)
        kernels = self._kernels_of(nodes, spacing)
        cells, weights = _interpolation((points - low) / np.float32(spacing) + 1, nodes)
        given = np.zeros((3, 2 * nodes, 2 * nodes), np.float32)
        for layer, charges in zip(given, (None, points[:, :1], points[:, 1:]), strict=True):
            spread = weights if charges is None else weights * charges
            summed = np.bincount(cells.ravel(), spread.ravel(), nodes * nodes)
            layer[:nodes, :nodes] = summed.reshape(nodes, nodes)
        spectra = np.fft.rfft2(given)
        spectra = np.concatenate([spectra[:1] * kernels[0], spectra * kernels[1]])
        fields = np.fft.irfft2(spectra, s=(2 * nodes, 2 * nodes))[:, :nodes, :nodes]
        by_node = np.ascontiguousarray(fields.reshape(4, nodes * nodes).T)
        near = by_node.take(cells, axis=0)
        potential, density, *moments = np.einsum("nk,nka->an", weights, near)
        forces = points * density[:, np.newaxis] - np.stack(moments, axis=1)
        # What interpolation makes of the 1 that each point gives itself; its forces cancel.
        own = np.einsum("nk,nk->", in_pieces(weights, _kernel(_SQUARES * spacing**2)), weights)
        return max(float(potential.sum() - own), 1e-12), forces.astype(np.float32)

    def _kernels_of(self, nodes: int, spacing: float) -> NDArray[np.complexfloating]:
        """Return the spectra of both kernels; most grids of a map are like the one before."""
        if self._grid != (nodes, spacing):
            steps = np.arange(2 * nodes)
            squares = np.square(np.minimum(steps, 2 * nodes - steps) * spacing)
            kernel = _kernel(squares[:, np.newaxis] + squares)
            both = np.stack([kernel, np.square(kernel)]).astype(np.float32)
            self._grid, self._kernels = (nodes, spacing), np.fft.rfft2(both)
        return self._kernels


def _of_all_pairs(points: Points) -> tuple[float, Points]:
    apart = points[:, np.newaxis] - points
    kernel = _kernel(np.einsum("ijk,ijk->ij", apart, apart, dtype=np.float64))
    forces = np.einsum("ij,ijk->ik", np.square(kernel), apart)
    return max(float(kernel.sum(dtype=np.float64)) - len(points), 1e-12), forces


def _kernel(squares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what points at these squared distances give each other."""
    kernel: NDArray[np.float32] = (1 / (1 + squares)).astype(np.float32)
    return kernel


def _interpolation(positions: Points, nodes: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the 16 nodes around each position, (n, 16), and their weights."""
    before = np.floor(positions)
    f = positions - before
    lagrange = np.stack(
        [
            -f * (f - 1) * (f - 2) / 6,
            (f + 1) * (f - 1) * (f - 2) / 2,
            -(f + 1) * f * (f - 2) / 2,
            (f + 1) * f * (f - 1) / 6,
        ],
        axis=-1,
    )
    weights = (lagrange[:, 0, :, np.newaxis] * lagrange[:, 1, np.newaxis, :]).astype(np.float32)
    around = before.astype(np.intp)[:, :, np.newaxis] + _NEIGHBOURHOOD
    cells = around[:, 0, :, np.newaxis] * nodes + around[:, 1, np.newaxis, :]
    return cells.reshape(-1, 16), weights.reshape(-1, 16)


def _fast_length(least: int) -> int:
    """Return the next number with small factors only, as a fast FFT needs it."""
    size = least
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1
