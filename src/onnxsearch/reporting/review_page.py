"""An HTML page to review groups of duplicates: what to keep, and what to remove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from onnxsearch.reporting.decisions import FORMAT, VERSION
from onnxsearch.reporting.html_page import page
from onnxsearch.reporting.labels import escaped, script_json
from onnxsearch.reporting.rows import Fact, Group, Tile
from onnxsearch.reporting.thumbnails import jpeg_uri

_HINT = (
    "Arrow keys move. K keeps an image, X removes it, A accepts the suggestion for a group, U "
    "undoes, E exports, ? helps. This page deletes nothing: it exports what you decide."
)
_KEYS = (
    ("← →", "to the next image of the group"),
    ("↑ ↓", "to the next group"),
    ("Home End", "to the first, to the last image of the group"),
    ("K", "keep the image; again: undecided"),
    ("X", "remove the image; again: undecided"),
    ("A", "accept the suggestion for the group, and go to the next one"),
    ("U", "undo"),
    ("E", "export the decisions"),
    ("?", "this help"),
)


def review_page(groups: Iterable[Group], total: int) -> str:
    """Return the page of the groups.

    Args:
        groups: Those that are shown, taken one by one.
        total: How many groups there are in all.
    """
    sections: list[str] = []
    images: list[tuple[int, str, str | None, int | None]] = []
    for group in groups:
        sections.append(_section(group, len(images)))
        images += [(group.number, each.key, each.path, each.size) for each in group.tiles]
    rest = _rest(total - len(sections), len(sections))
    shown = "".join(sections) or "<p>No image has a duplicate.</p>\n"
    toolbar = _toolbar() if sections else ""
    body = f"{toolbar}{shown}{rest}{_dialogs()}{_data(images)}"
    title = f"{total:,} groups of duplicates" if total != 1 else "1 group of duplicates"
    return page(title, body, _HINT, part="review")


def _section(group: Group, first: int) -> str:
    tiles = "".join(
        _tile(tile, first + place, place == group.keep) for place, tile in enumerate(group.tiles)
    )
    number = len(group.tiles) + group.hidden
    if group.keep is None:
        suggestion, accept = f"No suggestion: {group.reason}", ""
    else:
        name = escaped(group.tiles[group.keep].name)
        suggestion = f"Suggested to keep: <bdi>{name}</bdi> ({escaped(group.reason)})"
        accept = (
            f'<button type="button" data-accept aria-describedby="g{group.number}">Accept</button>'
        )
    hidden = (
        f"<p>and {group.hidden:,} more images, which are not shown</p>\n" if group.hidden else ""
    )
    keep = "" if group.keep is None else f' data-keep="{first + group.keep}"'
    return (
        f'<section aria-labelledby="g{group.number}"{keep}>\n'
        f'<h2 id="g{group.number}">Group {group.number}: {number:,} images</h2>\n'
        f'<p class="suggestion"><span>{suggestion}</span> {accept}'
        '<strong class="warning" hidden>Nothing of this group is kept.</strong></p>\n'
        f'<ul class="group">\n{tiles}</ul>\n{hidden}</section>\n'
    )


def _tile(tile: Tile, number: int, is_suggested: bool) -> str:
    image = '<span class="none">no image</span>'
    if tile.thumbnail is not None:
        image = f'<img src="{jpeg_uri(tile.thumbnail)}" alt="" decoding="async">'
    badge = '<span class="badge">suggested</span>' if is_suggested else ""
    facts = "".join(map(_fact, tile.facts))
    return (
        f'<li tabindex="-1" data-image="{number}" title="{escaped(tile.title)}">{image}{badge}'
        f'<bdi class="name" id="n{number}">{escaped(tile.name)}</bdi>\n<dl>{facts}</dl>\n'
        f'<span class="choice">{_button("keep", "Keep", number)}'
        f"{_button('remove', 'Remove', number)}</span></li>\n"
    )


def _button(decision: str, name: str, number: int) -> str:
    return (
        f'<button type="button" tabindex="-1" data-decision="{decision}" aria-pressed="false" '
        f'aria-describedby="n{number}">{name}</button>'
    )


def _fact(fact: Fact) -> str:
    value = escaped(fact.value)
    shown = f'<b title="the greatest of the group">{value}</b>' if fact.is_best else value
    return f"<div><dt>{escaped(fact.name)}</dt><dd>{shown}</dd></div>"


def _rest(hidden: int, shown: int) -> str:
    if not hidden:
        return ""
    return (
        f"<p>and {hidden:,} more groups, which do not fit on this page. "
        f"<code>groups[{shown}:].to_html(...)</code> shows them.</p>\n"
    )


def _toolbar() -> str:
    return """<div class="toolbar" role="toolbar" aria-label="Decisions">
<p id="summary"></p>
<button type="button" data-action="acceptAll">Accept all</button>
<button type="button" data-action="undo">Undo</button>
<button type="button" data-action="startOver">Start over</button>
<button type="button" data-action="openExport">Export</button>
<button type="button" data-action="openHelp">Help</button>
<p id="said" role="status"></p>
</div>
<p id="forgetful" class="warning" hidden>This browser stores nothing for this page: export the
decisions before you close it.</p>
<noscript><p class="warning">Without JavaScript this page only shows the groups.</p></noscript>
"""


def _dialogs() -> str:
    keys = "".join(f"<div><dt>{escaped(key)}</dt><dd>{does}</dd></div>\n" for key, does in _KEYS)
    return f"""<dialog id="help" aria-labelledby="help-title"><h2 id="help-title">Keys</h2>
<dl>{keys}</dl>
<p>The suggestion is the image with the most pixels; of several the sharpest, then the oldest, then
the largest file. <i>Accept all</i> accepts those of all groups in which nothing is decided. Bold
values are the greatest of their group.</p>
<p>Decisions are kept in this browser for these groups, until you start over. The page deletes no
file.</p>
<button type="button" data-close>Close</button></dialog>
<dialog id="export" aria-labelledby="export-title"><h2 id="export-title">Export</h2>
<p id="export-summary"></p>
<button type="button" data-action="exportJSON">JSON, for programs</button>
<button type="button" data-action="exportCSV">CSV, for spreadsheets</button>
<button type="button" data-close>Cancel</button></dialog>
"""


def _data(images: list[tuple[int, str, str | None, int | None]]) -> str:
    """Return what the script needs beside the cards: ids exactly, whatever they hold."""
    groups = json.dumps([each[:2] for each in images])
    data = {
        "format": FORMAT,
        "version": VERSION,
        # The same groups are the same review, also on a page that is written again.
        "key": hashlib.sha256(groups.encode("ascii")).hexdigest(),
        "images": images,
    }
    return f'<script type="application/json" id="data">{script_json(data)}</script>\n'
