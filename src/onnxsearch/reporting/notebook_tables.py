"""HTML for notebook cells: measures in tables, with their intervals, and small curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxsearch.reporting.curves import Curve, curves_svg, swatch
from onnxsearch.reporting.labels import escaped
from onnxsearch.reporting.rows import TextTable

_MOST_LINES = 50

# The notebook's own colours are kept: a fixed one would vanish in some theme.
_CELL = "text-align:right;padding:2px 10px;white-space:nowrap"
_HEAD = "text-align:left;padding:2px 10px;white-space:nowrap"
_INTERVAL = "font-size:85%;opacity:.7"


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure with its interval."""

    value: float
    low: float
    high: float


def measures_html(
    caption: str,
    measures: Sequence[str],
    lines: Sequence[tuple[str, Sequence[Measured]]],
    curves: Sequence[Curve] = (),
    axes: tuple[str, str] = ("", ""),
) -> str:
    """Return a table of measures, a line for each model, and beside it their curves.

    The best value of each measure is bold, and marked for those who cannot see it, if there is
    more than one line.

    Args:
        caption: Plain text above the table.
        measures: The names of the columns.
        lines: The name of each model, and a value for each column.
        curves: A curve for each line, or none.
        axes: What the curves' axes show.
    """
    best = [max(values[column].value for _, values in lines) for column in range(len(measures))]
    body = "".join(
        f'<tr><th scope="row" style="{_HEAD}">{swatch(number) if curves else ""} '
        f"<bdi>{escaped(name)}</bdi></th>"
        + "".join(
            _measure(value, is_best=len(lines) > 1 and value.value == top)
            for value, top in zip(values, best, strict=True)
        )
        + "</tr>"
        for number, (name, values) in enumerate(lines[:_MOST_LINES])
    )
    head = "".join(f'<th scope="col" style="{_CELL}">{escaped(each)}</th>' for each in measures)
    more = f"<p>and {len(lines) - _MOST_LINES} more</p>" if len(lines) > _MOST_LINES else ""
    graph = curves_svg(curves, *axes) if curves else ""
    return (
        f'<div style="overflow-x:auto"><table><caption style="{_HEAD}">{escaped(caption)}</caption>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}{graph}"
    )


def table_html(table: TextTable) -> str:
    """Return a table of texts; the first cell of each line is its heading."""
    head = "".join(
        f'<th scope="col" style="{_HEAD}">{escaped(each)}</th>' for each in table.columns
    )
    body = "".join(
        f'<tr><th scope="row" style="{_HEAD}">{escaped(first)}</th>'
        + "".join(f'<td style="{_CELL}">{escaped(cell)}</td>' for cell in cells)
        + "</tr>"
        for first, *cells in table.lines
    )
    return (
        f'<div style="overflow-x:auto"><table><caption style="{_HEAD}">{escaped(table.caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _measure(measure: Measured, *, is_best: bool) -> str:
    value = f"{measure.value:.3f}"
    shown = f'<b title="the best">{value} ★</b>' if is_best else value
    interval = f"{measure.low:.3f} to {measure.high:.3f}"
    return f'<td style="{_CELL}">{shown}<br><span style="{_INTERVAL}">{interval}</span></td>'
