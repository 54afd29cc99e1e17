"""Plots with matplotlib, each in a figure of its own: no state of pyplot, and no display."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.validation import instance
from onnxsearch.errors import InvalidArgumentError, MissingExtraError
from onnxsearch.reporting.curves import COLOURS, Curve, colour_of, dashes_of
from onnxsearch.reporting.labels import valid

try:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ModuleNotFoundError as missing:
    raise MissingExtraError.for_package("matplotlib", extra="plots") from missing

_MOST_NUMBERS = 12
"""Rows of a matrix whose numbers are written into it, at most: more would not fit."""
_MOST_BINS = 60
_MOST_LETTERS = 28
_MARKERS = "osD^vP*"
# Its lightness grows with the value, so that it reads the same in grey and to every eye.
_COLOUR_MAP = "cividis"


def draw_curves(curves: Sequence[Curve], x_title: str, y_title: str, ax: Axes | None) -> Axes:
    """Draw curves with their intervals as bands; both axes are shares from 0 to 1."""
    ax = _axes(ax)
    lines: list[Artist] = []
    for number, curve in enumerate(curves):
        colour = colour_of(number)
        ax.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        lines += ax.plot(
            curve.x,
            curve.y,
            color=colour,
            linestyle=(0, dashes_of(number)) if dashes_of(number) else "solid",
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
        )
    ax.set(xlabel=x_title, ylabel=y_title, xlim=(-0.02, 1.02), ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    _legend(ax, lines, [curve.name for curve in curves])
    return ax


def draw_distances(
    pairs: Sequence[float], rivals: Sequence[float], border: float, ax: Axes | None
) -> Axes:
    """Draw how known pairs and their rivals are spread over distances, and the border between.

    Raises:
        InvalidArgumentError: There is no distance.
    """
    if not pairs:
        raise InvalidArgumentError(
            "this threshold holds no distances to plot: take it from duplicate_threshold()"
        )
    ax = _axes(ax)
    values = np.array([*pairs, *rivals, border])
    edges = np.histogram_bin_edges(values, "auto")
    if len(edges) > _MOST_BINS + 1:
        edges = np.histogram_bin_edges(values, _MOST_BINS)
    near, far = (np.histogram(each, edges)[0] for each in (pairs, rivals))
    # Hatches and an outline tell them apart in grey.
    drawn: list[Artist] = [
        ax.stairs(far, edges, fill=True, color=COLOURS[1], alpha=0.45, hatch="//"),
        ax.stairs(near, edges, color=COLOURS[0], linewidth=2),
        ax.axvline(border, color="black", linestyle="dashed"),
    ]
    ax.set(xlabel="distance", ylabel="number", ylim=(0, None))
    _legend(ax, drawn, ["nearest others", "known pairs", f"max_distance {border:.4g}"])
    return ax


def draw_confusion(names: Sequence[str], counts: NDArray[np.int64], ax: Axes | None) -> Axes:
    """Draw a matrix of classes, each row as shares of the queries of its class."""
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = _matrix(names, counts / totals, "share of queries", (0.0, 1.0), ax)
    ax.set(xlabel="class of the nearest image", ylabel="class of the query")
    return ax


def draw_agreement(
    names: Sequence[str], values: NDArray[np.float64], title: str, least: float, ax: Axes | None
) -> Axes:
    """Draw how far each two models agree, from `least` to 1."""
    return _matrix(names, values, title, (least, 1.0), ax)


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        return Figure(layout="constrained").add_subplot()
    return instance("ax", ax, Axes, "axes of matplotlib, or None for a new figure")


def _matrix(
    names: Sequence[str],
    shares: NDArray[np.float64],
    title: str,
    limits: tuple[float, float],
    ax: Axes | None,
) -> Axes:
    ax = _axes(ax)
    drawn = ax.imshow(shares, cmap=_COLOUR_MAP, vmin=limits[0], vmax=limits[1])
    places = range(len(names))
    ax.set_xticks(places, [_text(name) for name in names], rotation=90, parse_math=False)
    ax.set_yticks(places, [_text(name) for name in names], parse_math=False)
    if len(names) <= _MOST_NUMBERS:
        middle = sum(limits) / 2
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share < middle else "black"
            ax.text(column, row, f"{share:.2f}", ha="center", va="center", color=ink, fontsize=8)
    ax.figure.colorbar(drawn, ax=ax, label=title)
    return ax


def _legend(ax: Axes, drawn: Sequence[Artist], names: Sequence[str]) -> None:
    legend = ax.legend(drawn, [_text(name) for name in names])
    for text in legend.get_texts():
        # A dollar sign in a name is no formula, and might be one that cannot be read.
        text.set_parse_math(False)


def _text(name: str) -> str:
    """Return a name that fonts can draw: printable, and short enough for an axis."""
    shown = "".join(letter if letter.isprintable() else " " for letter in valid(name))
    return shown if len(shown) <= _MOST_LETTERS else f"{shown[: _MOST_LETTERS - 1]}…"
