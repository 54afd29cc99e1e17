"""Groups of duplicates as plain rows: the input of the page that reviews them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime

from onnxsearch.reporting.rows import Fact, Group, Tile
from onnxsearch.search.duplicate_images import ReadDuplicate
from onnxsearch.search.keep_suggestion import DuplicateImage, suggest


def as_group(number: int, read: Sequence[ReadDuplicate], hidden: int) -> Group:
    """Return a group as the page shows it, with the suggestion which image to keep.

    Args:
        number: The number of the group, from 1.
        read: Its images.
        hidden: How many images it has beside these.
    """
    images = [each.image for each in read]
    suggestion = suggest(number, images)
    places = {image.id: place for place, image in enumerate(images)}
    keep = None if suggestion.keep is None else places[suggestion.keep]
    tiles = tuple(_tile(each, images) for each in read)
    return Group(number, tiles, keep, suggestion.reason, hidden)


def _tile(read: ReadDuplicate, images: Sequence[DuplicateImage]) -> Tile:
    image = read.image
    path = image.path or image.id
    return Tile(
        image.id,
        image.path,
        os.path.basename(path) or path,
        tuple(_facts(image, images)),
        image.file_size,
        read.thumbnail,
    )


def _facts(image: DuplicateImage, images: Sequence[DuplicateImage]) -> list[Fact]:
    """Return what is said of an image; what no other image of its group exceeds is marked."""

    def is_best(value: Callable[[DuplicateImage], float | None]) -> bool:
        values = {value(each) or 0 for each in images}
        return len(values) > 1 and (value(image) or 0) == max(values)

    if not image.pixels:
        return [Fact("file", "none" if image.path is None else "cannot be read", is_best=False)]
    facts = [
        Fact(
            "pixels",
            f"{image.width} \N{MULTIPLICATION SIGN} {image.height}",
            is_best(lambda each: each.pixels),
        ),
        Fact("file", _bytes(image.file_size or 0), is_best(lambda each: each.file_size)),
        Fact("sharpness", f"{image.sharpness:.3g}", is_best(lambda each: each.sharpness)),
    ]
    if image.taken is not None:
        facts.append(Fact("taken", image.taken.replace("T", " "), is_best=False))
    elif image.modified is not None:
        facts.append(Fact("changed", _minute(image.modified), is_best=False))
    if image.is_copy:
        facts.append(Fact("note", "exact copy", is_best=False))
    return facts


def _minute(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).isoformat(" ", "minutes")
    except (ValueError, OSError, OverflowError):  # a time beyond the calendar
        return "unknown"


def _bytes(number: int) -> str:
    """Return a number of bytes as people read it: three digits, and a decimal unit."""
    amount, units = float(number), iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while amount >= 1000 and unit != "GB":
        amount, unit = amount / 1000, next(units)
    return f"{number} bytes" if unit == "bytes" else f"{amount:.3g} {unit}"
