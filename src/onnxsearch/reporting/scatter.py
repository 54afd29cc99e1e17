"""A map of images as a small drawing for notebook cells."""

from __future__ import annotations

from collections import defaultdict

from onnxsearch.reporting.labels import escaped
from onnxsearch.reporting.map_drawing import MapDrawing

_SIZE = 420
_MOST = 5000
"""Points that are drawn: more only hide each other."""
_NAMED = 8
"""Clusters that are named below the drawing."""
_GOLDEN_ANGLE = 137.508
"""Degrees between the hues of two clusters: however many, no two alike follow each other."""


def scatter(drawing: MapDrawing) -> str:
    """Return the map as SVG, with the names of its largest clusters."""
    points: dict[int, list[str]] = defaultdict(list)
    for image in drawing.images[:: max(1, -(-len(drawing.images) // _MOST))]:
        left, top = _SIZE * (0.5 + 0.48 * image.x), _SIZE * (0.5 - 0.48 * image.y)
        points[image.cluster].append(f"M{left:.1f} {top:.1f}h0")
    paths = "".join(
        f'<path d="{"".join(each)}" stroke="{_colour(number)}"/>'
        for number, each in sorted(points.items())
    )
    named = "".join(
        f'<span style="color:{_colour(number)}">●</span> <bdi>{escaped(cluster.label)}</bdi> '
        f"({cluster.size:,}) "
        for number, cluster in enumerate(drawing.clusters[:_NAMED])
    )
    hidden = len(drawing.clusters) - _NAMED
    more = f"and {hidden:,} more clusters" if hidden > 0 else ""
    title = escaped(drawing.title)
    return (
        f'<div><b>{title}</b><br><svg viewBox="0 0 {_SIZE} {_SIZE}" width="{_SIZE}" role="img" '
        f'aria-label="{title}" fill="none" stroke-width="4" stroke-linecap="round">{paths}</svg>'
        f"<div>{named}{more}</div></div>"
    )


def _colour(cluster: int) -> str:
    return "#888" if cluster < 0 else f"hsl({cluster * _GOLDEN_ANGLE % 360:.0f} 60% 50%)"
