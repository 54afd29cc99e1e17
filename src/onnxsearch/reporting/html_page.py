"""An HTML page that stands alone: rankings side by side, with no file and no server beside it."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain, pairwise
from pathlib import Path

from onnxsearch._internal.new_file import new_file
from onnxsearch._internal.paths import target_path
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.labels import escaped
from onnxsearch.reporting.rows import Card, Row, Section, TextTable
from onnxsearch.reporting.thumbnails import Thumbnails

THUMBNAIL = 240
"""Pixels of a thumbnail: sharp at 120 on a phone's screen."""

_KEYS = "Arrow keys walk through the hits; left and right follow an image to the next model."

# Nothing is ever fetched, and no other script runs, whatever a browser or a file name may want.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{}'; "
    "base-uri 'none'; form-action 'none'"
)


def write_page(path: str | os.PathLike[str], page: str) -> Path:
    """Write a page, or another text, and return its absolute path.

    A file that is there already is replaced only when the new one is whole.

    Raises:
        InvalidArgumentError: The file cannot be written there.
    """
    target = target_path(path)
    try:
        with new_file(target) as file:
            file.write(page.encode("utf-8"))
    except OSError as error:
        raise InvalidArgumentError(
            f"path {str(target)!r}: the file cannot be written there ({error.strerror or error}). "
            "Choose a file in an existing folder with enough free space"
        ) from error
    return target


def row_page(row: Row, reading: ReadPolicy) -> str:
    """Return the page of one ranking."""
    return page(f"Found by {row.title}", _columns([row], Thumbnails(THUMBNAIL, reading)), _KEYS)


def comparison_page(
    title: str, summary: TextTable, sections: Sequence[Section], reading: ReadPolicy
) -> str:
    """Return the page of a comparison.

    A section per query, a column per ranking, and lines where ranks moved.
    """
    thumbnails = Thumbnails(THUMBNAIL, reading)
    body = "".join(_section(section, thumbnails) for section in sections)
    return page(title, f"{_table(summary)}{body}", _KEYS)


def page(title: str, body: str, hint: str = "", *, part: str = "rankings") -> str:
    """Return a page that holds all that it needs.

    Args:
        title: Plain text.
        body: HTML.
        hint: Plain text under the title: how to use the page.
        part: What the page shows: its style and script have this name.
    """
    return document(
        title,
        ["page.css", f"{part}.css"],
        f"""<header>
<h1>{escaped(title)}</h1>
<p class="keys">{escaped(hint)}</p>
</header>
<main>
{body}</main>
""",
        [f"{part}.js"],
    )


def document(title: str, styles: Sequence[str], body: str, scripts: Sequence[str]) -> str:
    """Return an HTML document that holds all that it needs.

    Args:
        title: Plain text.
        styles: Names of the files of styles in this package, in order.
        body: HTML.
        scripts: Names of the files of scripts in this package; they share one scope.
    """
    style = "".join(map(_text, styles))
    script = "\n" + "".join(map(_text, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = _POLICY.format(f"sha256-{digest}")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>
{style}</style>
</head>
<body>
{body}<script>{script}</script>
</body>
</html>
"""


def _text(name: str) -> str:
    return files("onnxsearch.reporting").joinpath(name).read_text(encoding="utf-8")


def _table(table: TextTable) -> str:
    head = "".join(f"<th>{escaped(name)}</th>" for name in table.columns)
    lines = "".join(
        f"<tr><th scope=row>{escaped(first)}</th>"
        f"{''.join(f'<td>{escaped(cell)}</td>' for cell in cells)}</tr>\n"
        for first, *cells in table.lines
    )
    return f"""<div class="scroll"><table>
<caption>{escaped(table.caption)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{lines}</tbody></table></div>
"""


def _section(section: Section, thumbnails: Thumbnails) -> str:
    source = thumbnails.data_uri(section.image)
    image = f'<img src="{source}" alt="">' if source else ""
    columns = _columns(section.rows, thumbnails)
    return f"<section>\n<h2>{image}<bdi>{escaped(section.name)}</bdi></h2>\n{columns}</section>\n"


def _columns(rows: Sequence[Row], thumbnails: Thumbnails) -> str:
    """Return a column per row, and between each two the lines that join equal images."""
    keys = [[card.key for card in row.cards] for row in rows]
    # Ids may hold anything; numbers stand for them in the page.
    numbers = {key: number for number, key in enumerate(dict.fromkeys(chain.from_iterable(keys)))}
    columns = [
        _column(row, numbers, _found_elsewhere(keys, place), thumbnails)
        for place, row in enumerate(rows)
    ]
    height = max(1, *map(len, keys))
    parts = [columns[0]]
    for (left, right), column in zip(pairwise(keys), columns[1:], strict=True):
        parts += [_rank_lines(left, right, numbers, height), column]
    return f'<div class="models">\n{"".join(parts)}</div>\n'


def _found_elsewhere(keys: Sequence[Sequence[str]], place: int) -> set[str]:
    return {key for other, found in enumerate(keys) if other != place for key in found}


def _column(
    row: Row, numbers: Mapping[str, int], elsewhere: set[str], thumbnails: Thumbnails
) -> str:
    cards = "".join(
        _card(
            card,
            numbers[card.key],
            thumbnails,
            only_here=bool(elsewhere) and card.key not in elsewhere,
        )
        for card in row.cards
    )
    return (
        f'<div class="model"><h3><bdi>{escaped(row.title)}</bdi> '
        f"<small>{escaped(row.measure)}</small></h3>\n<ol>\n{cards}</ol></div>\n"
    )


def _card(card: Card, number: int, thumbnails: Thumbnails, *, only_here: bool) -> str:
    source = thumbnails.data_uri(card.path)
    image = f'<img src="{source}" alt="">' if source else '<span class="none">no image</span>'
    only = '<span class="only">only here</span>' if only_here else ""
    return (
        f'<li tabindex="0" data-image="{number}" title="{escaped(card.title)}">{image}'
        f'<div><span class="rank">{card.rank}</span> '
        f'<span class="value">{card.value:.4f}</span> '
        f'{only}<bdi class="name">{escaped(card.name)}</bdi></div></li>\n'
    )


def _rank_lines(
    left: Sequence[str], right: Sequence[str], numbers: Mapping[str, int], height: int
) -> str:
    """Return the curves from each image's rank in one column to its rank in the next."""
    places = {key: place for place, key in enumerate(right)}
    lines = []
    for place, key in enumerate(left):
        if key in places:
            step = places[key] - place
            kind = "kept" if not step else "rose" if step < 0 else "fell"
            start, end = 100 * place + 50, 100 * places[key] + 50
            lines.append(
                f'<path class="{kind}" data-image="{numbers[key]}" '
                f'd="M0 {start}C50 {start} 50 {end} 100 {end}"/>'
            )
    return (
        f'<svg class="moves" viewBox="0 0 100 {100 * height}" preserveAspectRatio="none" '
        f'style="--rows:{height}" aria-hidden="true">{"".join(lines)}</svg>\n'
    )
