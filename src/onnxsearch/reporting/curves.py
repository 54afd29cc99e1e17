"""Curves with intervals: what plots and notebooks draw, and how it looks in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxsearch.reporting.labels import escaped

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Colours that people with defective colour vision tell apart, of Okabe and Ito, "Color Universal
Design" (2008); black, which a dark notebook would hide, and yellow are left out."""
DASHES: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 2), (8, 3, 2, 3))
"""Lengths of dashes and gaps: they tell curves apart without colour."""

_WIDTH, _HEIGHT, _LEFT, _BELOW, _EDGE = 320, 200, 34, 32, 8


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve over shares from 0 to 1, with an interval at each point."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def colour_of(number: int) -> str:
    """Return the colour of a curve; there are as many as `COLOURS`, then the first again."""
    return COLOURS[number % len(COLOURS)]


def dashes_of(number: int) -> tuple[int, ...]:
    """Return the dashes of a curve."""
    return DASHES[number % len(DASHES)]


def curves_svg(curves: Sequence[Curve], x_title: str, y_title: str) -> str:
    """Return the curves as a small SVG image for a page or a notebook of any theme."""
    ticks = "".join(_tick(share) for share in (0.0, 0.5, 1.0))
    lines = "".join(_line(curve, number) for number, curve in enumerate(curves))
    middle = _LEFT + (_WIDTH - _LEFT - _EDGE) // 2
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escaped(y_title)} by {escaped(x_title)}" fill="none" font-size="11" '
        f'font-family="sans-serif">{ticks}{lines}'
        f'<text x="{middle}" y="{_HEIGHT - 3}" fill="currentColor" text-anchor="middle">'
        f"{escaped(x_title)}</text>"
        f'<text transform="translate(10 {_y(0.5):.0f}) rotate(-90)" fill="currentColor" '
        f'text-anchor="middle">{escaped(y_title)}</text></svg>'
    )


def swatch(number: int) -> str:
    """Return a short piece of a curve's line, to stand beside its name."""
    return (
        '<svg width="24" height="8" aria-hidden="true"><path d="M0 4H24" '
        f'stroke="{colour_of(number)}" stroke-width="2"{_dashes(number)}/></svg>'
    )


def _line(curve: Curve, number: int) -> str:
    colour = colour_of(number)
    upper = [f"{_x(x):.1f} {_y(y):.1f}" for x, y in zip(curve.x, curve.high, strict=True)]
    lower = [f"{_x(x):.1f} {_y(y):.1f}" for x, y in zip(curve.x, curve.low, strict=True)]
    middle = [f"{_x(x):.1f} {_y(y):.1f}" for x, y in zip(curve.x, curve.y, strict=True)]
    return (
        f'<path d="M{"L".join(upper + lower[::-1])}Z" fill="{colour}" fill-opacity=".18"/>'
        f'<path d="M{"L".join(middle)}" stroke="{colour}" stroke-width="2"{_dashes(number)}>'
        f"<title>{escaped(curve.name)}</title></path>"
    )


def _dashes(number: int) -> str:
    lengths = " ".join(map(str, dashes_of(number)))
    return f' stroke-dasharray="{lengths}"' if lengths else ""


def _tick(share: float) -> str:
    return (
        f'<path d="M{_x(0):.0f} {_y(share):.0f}H{_x(1):.0f}" stroke="currentColor" '
        f'stroke-opacity=".25"/><text x="{_LEFT - 4}" y="{_y(share) + 4:.0f}" '
        f'fill="currentColor" text-anchor="end">{share:.1f}</text>'
        f'<text x="{_x(share):.0f}" y="{_y(0) + 14:.0f}" fill="currentColor" '
        f'text-anchor="middle">{share:.1f}</text>'
    )


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - 2 * _EDGE)


def _y(share: float) -> float:
    return _EDGE + (1 - share) * (_HEIGHT - _BELOW - _EDGE)
