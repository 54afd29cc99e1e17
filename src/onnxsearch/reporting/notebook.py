"""What a notebook shows of results: rows of thumbnails, in any theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxsearch.reporting.labels import escaped, name_of, query_name, query_picture
from onnxsearch.reporting.thumbnails import data_uri

if TYPE_CHECKING:
    from onnxsearch.evaluation.comparison import Comparison
    from onnxsearch.types import Hit, SearchResults

_SIZE = 112
_SHOWN = 24
_QUERIES = 5

# The notebook's own colours are kept: a fixed one would vanish in some theme.
_ROW = "display:flex;flex-wrap:wrap;gap:10px;align-items:flex-end;margin:4px 0 14px"
_CARD = f"margin:0;width:{_SIZE}px;font-size:11px;line-height:1.3"
_NAME = "display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"


def results_html(results: SearchResults) -> str:
    """Return the hits as a row of thumbnails."""
    metric = results.metric.value if results.metric else "fused"
    head = f"<b>{escaped(results.model)}</b> ({escaped(metric)}), {len(results)} hits"
    return f"<div>{head}{_row(results.hits)}</div>"


def comparison_html(comparison: Comparison) -> str:
    """Return a row of thumbnails for each model, query by query."""
    parts = [f"<pre>{escaped(repr(comparison))}</pre>"]
    for answer in comparison.answers[:_QUERIES]:
        picture = data_uri(query_picture(answer.query), _SIZE)
        shown = f'<img src="{picture}" alt=""> ' if picture else ""
        parts.append(f"<div>{shown}<i>{escaped(query_name(answer.query))}</i></div>")
        parts += [results_html(results) for results in answer.results.values()]
    hidden = len(comparison) - _QUERIES
    if hidden > 0:
        parts.append(f"<div>and {hidden} more queries: to_html() shows them all</div>")
    return f"<div>{''.join(parts)}</div>"


def _row(hits: Sequence[Hit]) -> str:
    cards = "".join(_card(rank, hit) for rank, hit in enumerate(hits[:_SHOWN], 1))
    more = f"<span>and {len(hits) - _SHOWN} more</span>" if len(hits) > _SHOWN else ""
    return f'<div style="{_ROW}">{cards}{more}</div>'


def _card(rank: int, hit: Hit) -> str:
    picture = data_uri(hit.uri, _SIZE)
    name = escaped(name_of(hit))
    image = f'<img src="{picture}" alt="{name}" style="max-width:100%">' if picture else ""
    return (
        f'<figure style="{_CARD}" title="{escaped(hit.uri or hit.id)}">{image}'
        f'<figcaption>{rank}. {hit.distance:.3f}<bdi style="{_NAME}">{name}</bdi>'
        "</figcaption></figure>"
    )
