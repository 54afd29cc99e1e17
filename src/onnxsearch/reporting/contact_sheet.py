"""Contact sheets: rows of thumbnails as one image."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from onnxsearch._internal.validation import integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.labels import valid
from onnxsearch.reporting.rows import Card, Row
from onnxsearch.reporting.thumbnails import Thumbnails

_GAP = 8
_LINE = 16
_MOST_PIXELS = 200_000_000
"""Pixels of a sheet: 600 MB while it is drawn."""
_PAPER, _INK, _EMPTY = (255, 255, 255), (20, 20, 20), (225, 225, 225)


def contact_sheet(row: Row, *, columns: int, size: int, reading: ReadPolicy) -> Image.Image:
    """Return the cards in lines of `columns`, each with its rank, distance (or score) and name.

    Raises:
        InvalidArgumentError: `columns` is below 1, `size` below 16, or the sheet would
            have more than 200 million pixels.
    """
    columns, size = integer("columns", columns, least=1), integer("size", size, least=16)
    lines = [row.cards[start : start + columns] for start in range(0, len(row.cards), columns)]
    return _sheet([(None, line) for line in lines], columns, Thumbnails(size, reading))


def comparison_sheet(rows: Sequence[Row], *, size: int, reading: ReadPolicy) -> Image.Image:
    """Return a line of cards for each row, under the row's title.

    Raises:
        InvalidArgumentError: `size` is below 16, or the sheet would have more than 200
            million pixels.
    """
    size = integer("size", size, least=16)
    columns = max(1, *(len(row.cards) for row in rows))
    return _sheet([(row.title, row.cards) for row in rows], columns, Thumbnails(size, reading))


def _sheet(
    lines: Sequence[tuple[str | None, Sequence[Card]]], columns: int, thumbnails: Thumbnails
) -> Image.Image:
    size = thumbnails.size
    heading = _LINE + _GAP if any(title for title, _ in lines) else 0
    cell, line = size + _GAP, heading + size + 2 * _LINE + _GAP
    width, height = columns * cell + _GAP, max(1, len(lines)) * line + _GAP
    if width * height > _MOST_PIXELS:
        raise InvalidArgumentError(
            f"columns {columns} and size {size} make a sheet of {width:,} x {height:,} pixels: "
            f"expected at most {_MOST_PIXELS:,} in all. Show fewer hits, or smaller ones"
        )
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (title, cards) in enumerate(lines):
        top = _GAP + number * line
        if title is not None:
            draw.text((_GAP, top), valid(title), _INK, font)
        for column, card in enumerate(cards):
            left, below = _GAP + column * cell, top + heading + size
            small = thumbnails.image(card.path) or Image.new("RGB", (size, size), _EMPTY)
            _paste(sheet, small, left, top + heading, size)
            draw.text((left, below + 2), f"{card.rank}.  {card.value:.3f}", _INK, font)
            draw.text((left, below + _LINE), _fitting(card.name, size, font), _INK, font)
    return sheet


def _paste(sheet: Image.Image, small: Image.Image, left: int, top: int, size: int) -> None:
    """Paste an image into the middle of a square of `size` pixels."""
    sheet.paste(small, (left + (size - small.width) // 2, top + (size - small.height) // 2))


def _fitting(name: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the name, its middle left out where it is wider than `width` pixels."""
    name = valid(name).replace("\n", " ")
    if font.getlength(name) <= width:
        return name
    half = len(name) // 2
    while half > 1 and font.getlength(f"{name[:half]}…{name[-half:]}") > width:
        half -= 1
    return f"{name[:half]}…{name[-half:]}"
