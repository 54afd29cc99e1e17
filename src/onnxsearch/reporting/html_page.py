"""A page of its own: models side by side, with no file and no server beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from onnxsearch._internal.paths import target_path
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.reporting.labels import escaped, name_of, query_name, query_picture
from onnxsearch.reporting.thumbnails import data_uri

if TYPE_CHECKING:
    from onnxsearch.evaluation.comparison import Agreement, Answer, Comparison
    from onnxsearch.types import Hit, SearchResults

_SIZE = 240
"""Pixels of a thumbnail: sharp at 120 on a phone's screen."""

# Nothing is ever fetched, whatever a browser or a file name may want.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def write_page(path: str | os.PathLike[str], page: str) -> Path:
    """Write a page, and return where.

    Raises:
        InvalidArgumentError: The file cannot be written there.
    """
    try:
        target = target_path(path)
        target.write_text(page, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"the page cannot be written to {str(path)!r}: {error}. Choose a folder that is there"
        ) from error
    return target


def comparison_page(comparison: Comparison) -> str:
    """Return the page of a comparison: a column per model, lines where ranks moved."""
    summary = _agreements(comparison.agreements, len(comparison))
    answers = "".join(_answer(answer) for answer in comparison.answers)
    title = f"{len(comparison.models)} models compared"
    return _page(title, f"{summary}{answers}")


def results_page(results: SearchResults) -> str:
    """Return the page of one search."""
    return _page(f"Found by {results.model}", _columns({results.model: results}))


def _page(title: str, body: str) -> str:
    here = files("onnxsearch.reporting")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    script = here.joinpath("page.js").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escaped(title)}</h1>
<p class="keys">Arrow keys walk through the hits; left and right follow a picture to the next
model.</p>
</header>
<main>
{body}</main>
<script>
{script}</script>
</body>
</html>
"""


def _agreements(agreements: Sequence[Agreement], queries: int) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escaped(' / '.join(each.models))}</th><td>{each.overlap:.2f}</td>"
        f"<td>{each.rank_biased_overlap:.2f}</td><td>{each.kendall_tau:.2f}</td></tr>\n"
        for each in agreements
    )
    means = f"means over {queries} queries" if queries > 1 else "one query"
    return f"""<div class="scroll"><table>
<caption>How far the models agree ({means})</caption>
<thead><tr><th>models</th><th>overlap</th><th>rank-biased</th><th>Kendall's tau</th></tr></thead>
<tbody>
{rows}</tbody></table></div>
"""


def _answer(answer: Answer) -> str:
    picture = data_uri(query_picture(answer.query), _SIZE)
    image = f'<img src="{picture}" alt="">' if picture else ""
    name = escaped(query_name(answer.query))
    return f"<section>\n<h2>{image}<bdi>{name}</bdi></h2>\n{_columns(answer.results)}</section>\n"


def _columns(results: Mapping[str, SearchResults]) -> str:
    """Return the models' columns, and between each two the lines of what moved."""
    found = [[hit.id for hit in hits] for hits in results.values()]
    # Ids may hold anything; numbers stand for them in the page.
    numbers = {id: number for number, id in enumerate(dict.fromkeys(chain.from_iterable(found)))}
    columns = [
        _column(hits, numbers, _elsewhere(found, place))
        for place, hits in enumerate(results.values())
    ]
    height = max(1, *map(len, found))
    parts = [columns[0]]
    for (left, right), column in zip(pairwise(found), columns[1:], strict=True):
        parts += [_moves(left, right, numbers, height), column]
    return f'<div class="models">\n{"".join(parts)}</div>\n'


def _elsewhere(found: Sequence[Sequence[str]], place: int) -> set[str]:
    return {id for other, ids in enumerate(found) if other != place for id in ids}


def _column(results: SearchResults, numbers: Mapping[str, int], elsewhere: set[str]) -> str:
    metric = results.metric.value if results.metric else "fused"
    hits = "".join(
        _hit(rank, hit, numbers[hit.id], alone=bool(elsewhere) and hit.id not in elsewhere)
        for rank, hit in enumerate(results, 1)
    )
    return (
        f'<div class="model"><h3><bdi>{escaped(results.model)}</bdi> <small>{metric}</small>'
        f"</h3>\n<ol>\n{hits}</ol></div>\n"
    )


def _hit(rank: int, hit: Hit, number: int, *, alone: bool) -> str:
    picture = data_uri(hit.uri, _SIZE)
    image = f'<img src="{picture}" alt="">' if picture else '<span class="none">no picture</span>'
    only = '<span class="only">only here</span>' if alone else ""
    return (
        f'<li tabindex="0" data-picture="{number}" title="{escaped(hit.uri or hit.id)}">{image}'
        f'<div><span class="rank">{rank}</span> <span class="distance">{hit.distance:.4f}</span> '
        f'{only}<bdi class="name">{escaped(name_of(hit))}</bdi></div></li>\n'
    )


def _moves(
    left: Sequence[str], right: Sequence[str], numbers: Mapping[str, int], height: int
) -> str:
    places = {id: place for place, id in enumerate(right)}
    lines = []
    for place, id in enumerate(left):
        if id in places:
            step = places[id] - place
            kind = "kept" if not step else "rose" if step < 0 else "fell"
            start, end = 100 * place + 50, 100 * places[id] + 50
            lines.append(
                f'<path class="{kind}" data-picture="{numbers[id]}" '
                f'd="M0 {start}C50 {start} 50 {end} 100 {end}"/>'
            )
    return (
        f'<svg class="moves" viewBox="0 0 100 {100 * height}" preserveAspectRatio="none" '
        f'style="--rows:{height}" aria-hidden="true">{"".join(lines)}</svg>\n'
    )
