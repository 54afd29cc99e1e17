"""HTML for notebook cells: rows of thumbnails, readable in any theme."""

from __future__ import annotations

from collections.abc import Sequence

from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.labels import escaped
from onnxsearch.reporting.rows import Card, Row, Section
from onnxsearch.reporting.thumbnails import Thumbnails

_SIZE = 112
_SHOWN_CARDS = 24
_SHOWN_SECTIONS = 5

# The notebook's own colours are kept: a fixed one would vanish in some theme.
_ROW = "display:flex;flex-wrap:wrap;gap:10px;align-items:flex-end;margin:4px 0 14px"
_CARD = f"margin:0;width:{_SIZE}px;font-size:11px;line-height:1.3"
_NAME = "display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"


def row_html(row: Row, reading: ReadPolicy) -> str:
    """Return one ranking as a row of thumbnails."""
    return _row(row, Thumbnails(_SIZE, reading))


def sections_html(heading: str, sections: Sequence[Section], reading: ReadPolicy) -> str:
    """Return the rows of the first few queries, under a heading of plain text."""
    thumbnails = Thumbnails(_SIZE, reading)
    parts = [f"<pre>{escaped(heading)}</pre>"]
    for section in sections[:_SHOWN_SECTIONS]:
        source = thumbnails.data_uri(section.image)
        image = f'<img src="{source}" alt=""> ' if source else ""
        parts.append(f"<div>{image}<i>{escaped(section.name)}</i></div>")
        parts += [_row(row, thumbnails) for row in section.rows]
    hidden = len(sections) - _SHOWN_SECTIONS
    if hidden > 0:
        parts.append(f"<div>and {hidden} more queries: to_html() shows them all</div>")
    return f"<div>{''.join(parts)}</div>"


def _row(row: Row, thumbnails: Thumbnails) -> str:
    head = f"<b>{escaped(row.title)}</b> ({escaped(row.measure)}), {len(row.cards)} hits"
    cards = "".join(_card(card, thumbnails) for card in row.cards[:_SHOWN_CARDS])
    hidden = len(row.cards) - _SHOWN_CARDS
    more = f"<span>and {hidden} more</span>" if hidden > 0 else ""
    return f'<div>{head}<div style="{_ROW}">{cards}{more}</div></div>'


def _card(card: Card, thumbnails: Thumbnails) -> str:
    source = thumbnails.data_uri(card.path)
    name = escaped(card.name)
    image = f'<img src="{source}" alt="{name}" style="max-width:100%">' if source else ""
    return (
        f'<figure style="{_CARD}" title="{escaped(card.title)}">{image}'
        f'<figcaption>{card.rank}. {card.value:.3f}<bdi style="{_NAME}">{name}</bdi>'
        "</figcaption></figure>"
    )
