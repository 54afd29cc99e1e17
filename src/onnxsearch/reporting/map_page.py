"""An HTML page to explore a map of images, with no file and no server beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib.resources import files

from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.html_page import document
from onnxsearch.reporting.labels import escaped, script_json
from onnxsearch.reporting.map_drawing import MapDrawing, MapImage
from onnxsearch.reporting.sprites import COLUMNS, Sprite, SpriteSheets, sprite_sheets
from onnxsearch.types import JSONValue

_LARGE, _SMALL = 128, 64
"""Pixels of a thumbnail, for few and for many images."""
_FEW = 2000
_MOST = 10_000
"""Images that get a thumbnail."""
_BUDGET = 18_000_000
"""Characters of all thumbnails: with the texts, a page of 10,000 images stays below 25 MB."""
_TEXT_BUDGET = 4_000_000
"""Characters of metadata, of all images together."""
_TEXT = 500
"""Characters of the metadata of one image."""
_SCRIPTS = ("data.js", "view.js", "selection.js", "panel.js", "keys.js")


def map_page(drawing: MapDrawing, reading: ReadPolicy) -> str:
    """Return the page."""
    images = drawing.images
    sheets = sprite_sheets(
        ((number, path) for number in _by_importance(drawing) if (path := images[number].path)),
        size=_LARGE if len(images) <= _FEW else _SMALL,
        budget=_BUDGET,
        reading=reading,
    )
    package = files("onnxsearch.reporting").joinpath("map_page")
    body = package.joinpath("body.html").read_text(encoding="utf-8")
    body = body.replace("{title}", escaped(drawing.title))
    body = body.replace("{data}", script_json(_data(drawing, sheets)))
    return document(
        drawing.title,
        ["page.css", "map_page/map.css"],
        body,
        [f"map_page/{name}" for name in _SCRIPTS],
    )


def _by_importance(drawing: MapDrawing) -> list[int]:
    """Return the images that get a thumbnail: medoids first, then such that share a region.

    A browser that shows a part of the map so decodes few sheets. Of very many images, those
    chosen are spread evenly over the map.
    """
    medoids = [cluster.medoid for cluster in drawing.clusters]
    others = sorted(
        set(range(len(drawing.images))).difference(medoids),
        key=lambda number: (_curve(drawing.images[number]), number),
    )
    step = max(1, math.ceil(len(others) / max(1, _MOST - len(medoids))))
    return (medoids + others[::step])[:_MOST]


def _curve(image: MapImage) -> int:
    """Return the place of an image on a Morton curve: what is near on it is near in the map."""
    across, down = (int((value + 1) / 2 * 255) for value in (image.x, image.y))
    return sum(
        ((across >> bit & 1) << 2 * bit) | ((down >> bit & 1) << 2 * bit + 1) for bit in range(8)
    )


def _data(drawing: MapDrawing, sheets: SpriteSheets) -> dict[str, JSONValue]:
    images = drawing.images
    most = min(_TEXT, _TEXT_BUDGET // max(1, len(images)))
    return {
        "ids": [image.id for image in images],
        "uris": [None if image.uri == image.id else image.uri for image in images],
        "texts": [_metadata_text(image, most) for image in images],
        "x": [round(image.x, 5) for image in images],
        # Pixels are counted downwards.
        "y": [round(-image.y, 5) for image in images],
        "clusters": [image.cluster for image in images],
        "tiles": [_tile(sheets.tiles.get(number)) for number in range(len(images))],
        "labels": [cluster.label for cluster in drawing.clusters],
        "medoids": [cluster.medoid for cluster in drawing.clusters],
        "sizes": [cluster.size for cluster in drawing.clusters],
        "size": sheets.size,
        "columns": COLUMNS,
        "sheets": list(sheets.sheets),
    }


def _tile(tile: Sprite | None) -> JSONValue:
    return None if tile is None else [tile.sheet, tile.slot, tile.width, tile.height]


def _metadata_text(image: MapImage, most: int) -> str:
    return "\n".join(_lines(image))[:most]


def _lines(image: MapImage) -> Iterator[str]:
    for name, value in image.metadata.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"{name}: {shown}"
