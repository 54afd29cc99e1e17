"""Resizing that shrinks large images by averages first, and makes only what a crop keeps.

Of a large image, every pixel is read once, by a fast average over blocks; the filter sees what
is left. Pixels differ by a few levels from those of the filter alone: `benchmarks.reduction`
measures what this means to searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from PIL import Image

REDUCING_GAP = 2
"""How many times larger than the result the averages are, at least. It is the default of
Pillow's `thumbnail`, which calls it by this name."""

MAX_BETWEEN = 1 << 26
"""Pixels between the two passes of a resizing, at most: 256 MB."""

_REACH = 3
"""Pixels of the result that a filter of Pillow reaches to each side, at most."""


def is_large(image: Image.Image, size: tuple[int, int]) -> bool:
    """Return whether an image has at least `REDUCING_GAP` pixels for one of (height, width)."""
    height, width = size
    return image.width >= REDUCING_GAP * width or image.height >= REDUCING_GAP * height


def reducing_resize(
    image: Image.Image,
    size: tuple[int, int],
    kernel: Image.Resampling,
    box: tuple[int, int, int, int],
) -> Image.Image:
    """Return a part of what `image` becomes in another size.

    Args:
        image: An image of mode RGB.
        size: (height, width) of the resized whole.
        kernel: Filter.
        box: The part to return, as (left, top, right, bottom) of the resized whole.
    """
    height, width = size
    left, top, right, bottom = box
    across = _Window.of(image.width, width, left, right)
    down = _Window.of(image.height, height, top, bottom)
    part = image.reduce(
        (across.factor, down.factor), (across.first, down.first, across.last, down.last)
    )
    columns, rows = right - left, bottom - top
    if columns * part.height <= MAX_BETWEEN:
        between = part.resize(
            (columns, part.height), kernel, (across.start, 0, across.stop, part.height)
        )
        return between.resize((columns, rows), kernel, (0, down.start, columns, down.stop))
    # A needle, which the other order would enlarge beyond measure.
    between = part.resize((part.width, rows), kernel, (0, down.start, part.width, down.stop))
    return between.resize((columns, rows), kernel, (across.start, 0, across.stop, rows))


@dataclass(frozen=True, slots=True)
class _Window:
    """What a part of the result needs of one axis of an image."""

    factor: int
    """Pixels that are averaged to one."""
    first: int
    """The first pixel that is needed."""
    last: int
    """The pixel after the last one that is needed."""
    start: float
    """Where the part begins, in averages from `first` on."""
    stop: float
    """Where it ends."""

    @classmethod
    def of(cls, length: int, resized: int, begin: int, end: int) -> Self:
        """Return the window for pixels `begin` to `end` of `resized`, made of `length`."""
        scale = length / resized
        factor = max(1, int(scale / REDUCING_GAP))
        reach = math.ceil(_REACH * max(scale, 1.0)) + factor
        first = max(0, math.floor(begin * scale) - reach) // factor * factor
        last = min(length, math.ceil(end * scale) + reach)
        return cls(
            factor,
            first,
            last,
            start=(begin * scale - first) / factor,
            # Rounding may put the end of the image behind it.
            stop=min((end * scale - first) / factor, math.ceil((last - first) / factor)),
        )
