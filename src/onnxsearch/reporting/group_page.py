"""An HTML page of groups of images, each group side by side."""

from __future__ import annotations

from collections.abc import Sequence

from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.html_page import THUMBNAIL, page
from onnxsearch.reporting.labels import escaped
from onnxsearch.reporting.rows import Group, Tile
from onnxsearch.reporting.thumbnails import Thumbnails

SHOWN = 500
"""Groups on a page, at most: with some thousand thumbnails a browser is still fast."""


def group_page(title: str, groups: Sequence[Group], reading: ReadPolicy) -> str:
    """Return the page; of very many groups it shows the first ones, and says so."""
    thumbnails = Thumbnails(THUMBNAIL, reading)
    shown = "".join(_group(group, thumbnails) for group in groups[:SHOWN])
    hidden = len(groups) - SHOWN
    rest = f"<p>and {hidden:,} more groups</p>\n" if hidden > 0 else ""
    empty = "" if groups else "<p>No image has a duplicate.</p>\n"
    return page(title, f"{shown}{rest}{empty}")


def _group(group: Group, thumbnails: Thumbnails) -> str:
    tiles = "".join(_tile(tile, thumbnails) for tile in group.tiles)
    return (
        f"<section>\n<h2><bdi>{escaped(group.title)}</bdi></h2>\n"
        f'<div class="group">\n{tiles}</div>\n</section>\n'
    )


def _tile(tile: Tile, thumbnails: Thumbnails) -> str:
    source = thumbnails.data_uri(tile.path)
    image = f'<img src="{source}" alt="">' if source else '<span class="none">no image</span>'
    return (
        f'<figure title="{escaped(tile.title)}">{image}<figcaption>'
        f'<bdi class="name">{escaped(tile.name)}</bdi>'
        f'<span class="distance">{escaped(tile.note)}</span></figcaption></figure>\n'
    )
