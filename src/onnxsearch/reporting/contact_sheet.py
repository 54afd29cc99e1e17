"""Contact sheets: hits as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.reporting.labels import name_of, valid
from onnxsearch.reporting.thumbnails import thumbnail
from onnxsearch.types import Hit, SearchResults

_GAP = 8
_LINE = 16
_PAPER, _INK, _EMPTY = (255, 255, 255), (20, 20, 20), (225, 225, 225)


def contact_sheet(results: SearchResults, *, columns: int, size: int) -> Image.Image:
    """Return the hits as rows of thumbnails, each with its rank, distance and name."""
    if columns < 1 or size < 16:
        raise InvalidArgumentError(
            f"columns {columns}, size {size}: expected at least 1 column and 16 pixels"
        )
    rows = [results.hits[start : start + columns] for start in range(0, len(results), columns)]
    return _sheet([(None, row) for row in rows], columns, size)


def comparison_sheet(answers: Sequence[Mapping[str, SearchResults]], *, size: int) -> Image.Image:
    """Return a row of thumbnails for each query and model, under the model's name."""
    if size < 16:
        raise InvalidArgumentError(f"size {size}: expected at least 16 pixels")
    rows = [(model, found.hits) for answer in answers for model, found in answer.items()]
    return _sheet(rows, max(1, *(len(hits) for _, hits in rows)), size)


def _sheet(
    rows: Sequence[tuple[str | None, Sequence[Hit]]], columns: int, size: int
) -> Image.Image:
    heading = _LINE + _GAP if any(title for title, _ in rows) else 0
    cell, line = size + _GAP, heading + size + 2 * _LINE + _GAP
    sheet = Image.new("RGB", (columns * cell + _GAP, max(1, len(rows)) * line + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    rank = 0
    for row, (title, hits) in enumerate(rows):
        top = _GAP + row * line
        if title is not None:
            draw.text((_GAP, top), valid(title), _INK, font)
            rank = 0
        for column, hit in enumerate(hits):
            rank += 1
            left = _GAP + column * cell
            _paste(sheet, hit, left, top + heading, size)
            below = top + heading + size
            draw.text((left, below + 2), f"{rank}.  {hit.distance:.3f}", _INK, font)
            draw.text((left, below + _LINE), _fitting(name_of(hit), size, font), _INK, font)
    return sheet


def _paste(sheet: Image.Image, hit: Hit, left: int, top: int, size: int) -> None:
    small = thumbnail(hit.uri, size) or Image.new("RGB", (size, size), _EMPTY)
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
