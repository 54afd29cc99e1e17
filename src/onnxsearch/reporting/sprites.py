"""Many small thumbnails in few images: sprite sheets."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.thumbnails import Thumbnails

COLUMNS = 8
"""Tiles in a row of a sheet, and rows: a browser decodes only the sheets that it shows."""
_QUALITY = 72
"""Of a JPEG: the tiles are shown near their own size."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """Where the thumbnail of an image is."""

    sheet: int
    slot: int
    """Place in the sheet, row by row."""
    width: int
    height: int
    """Pixels of the thumbnail, from the upper left corner of its place."""


@dataclass(frozen=True, slots=True)
class SpriteSheets:
    """Thumbnails of some images."""

    size: int
    """Width and height of a tile, in pixels."""
    sheets: Sequence[str]
    """JPEGs in Base64."""
    tiles: Mapping[int, Sprite]
    """The thumbnail of each image that has one."""


def sprite_sheets(
    paths: Iterable[tuple[int, str]], *, size: int, budget: int, reading: ReadPolicy
) -> SpriteSheets:
    """Put the thumbnails of images onto sheets, in the order given.

    Files that cannot be read are left out.

    Args:
        paths: Numbers of images and their files.
        size: Pixels of a thumbnail, at most.
        budget: Characters of all sheets, at most; what comes then is left out.
        reading: How image files are opened.
    """
    sheets: list[str] = []
    tiles: dict[int, Sprite] = {}
    thumbnails = _thumbnails(paths, Thumbnails(size, reading))
    for images in batched(thumbnails, COLUMNS * COLUMNS):
        encoded = _sheet([image for _, image in images], size)
        budget -= len(encoded)
        if budget < 0:
            break
        for slot, (number, image) in enumerate(images):
            tiles[number] = Sprite(len(sheets), slot, image.width, image.height)
        sheets.append(encoded)
    return SpriteSheets(size, sheets, tiles)


def _thumbnails(
    paths: Iterable[tuple[int, str]], thumbnails: Thumbnails
) -> Iterator[tuple[int, Image.Image]]:
    def opened(numbered: tuple[int, str]) -> tuple[int, Image.Image | None]:
        number, path = numbered
        return number, thumbnails.image(path)

    for number, image in ordered_map(opened, paths, workers=available_cores()):
        if image is not None:
            yield number, image


def _sheet(images: Sequence[Image.Image], size: int) -> str:
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * size, rows * size))
    for slot, image in enumerate(images):
        row, column = divmod(slot, COLUMNS)
        sheet.paste(image, (column * size, row * size))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
