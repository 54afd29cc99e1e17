"""A part of an image as a query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from onnxsearch._internal.validation import integer, items
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.conversion import AS_SEEN, upright
from onnxsearch.images.reading import open_image
from onnxsearch.search.query import IdQuery, Query

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex
    from onnxsearch.images.reading import ReadPolicy
    from onnxsearch.search.query import QueryInput
    from onnxsearch.types import ImageInput

Box: TypeAlias = "tuple[int, int, int, int]"
"""A part of an image: (left, top, right, bottom) in pixels of the upright image."""

_TEXT = re.compile(r" *[0-9]{1,9} *(, *[0-9]{1,9} *){3}", re.ASCII)
_EXPECTED = "(left, top, right, bottom) in pixels of the upright image"
_TURNING = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""What says that an image is to be turned, in `Image.info`."""


def read_box(text: str) -> list[int]:
    """Return the four edges that a text names, such as `0,0,200,100`; they are not compared.

    Raises:
        InvalidArgumentError: It names none.
    """
    if not _TEXT.fullmatch(text):
        raise InvalidArgumentError(
            "expected LEFT,TOP,RIGHT,BOTTOM in pixels of the upright image, such as 0,0,200,100"
        )
    return [int(edge) for edge in text.split(",")]


def check_box(box: Sequence[int]) -> Box:
    """Return `box` if it can be a part of an image.

    Raises:
        InvalidArgumentError: It cannot.
    """
    edges = [integer("box", edge, least=0) for edge in items("box", box, _EXPECTED)]
    if len(edges) != 4 or edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise InvalidArgumentError(
            f"box {box!r:.80}: expected {_EXPECTED}, with left < right and top < bottom"
        )
    left, top, right, bottom = edges
    return left, top, right, bottom


def part_of(query: QueryInput, box: Box, records: RecordIndex, reading: ReadPolicy) -> QueryInput:
    """Return a part of the image that a query is; all of it is the query itself.

    Args:
        query: An image, or the id of a stored one, whose file is opened.
        box: The part.
        records: The stored images.
        reading: How files are opened.

    Raises:
        ImageError: The image cannot be used.
        InvalidArgumentError: The query is no image, no image of that id is stored or it has no
            file, or the box is not inside the image.
    """
    source: ImageInput
    if isinstance(query, IdQuery):
        file = records.existing([query.wanted])[query.wanted].record.file
        if file is None:
            raise InvalidArgumentError(
                f"box with Query.id({query.wanted!r:.80}): this image was not stored from a file. "
                "Pass the image itself"
            )
        source = file
    elif isinstance(query, Query):
        raise InvalidArgumentError(
            "box is a part of an image, and the query is something else: expected one image, or "
            "Query.id(...)"
        )
    else:
        source = query
    # A draft has fewer pixels than the image, in which the box is given.
    whole = upright(open_image(source, replace(reading, draft=None)), AS_SEEN)
    if box[2] > whole.width or box[3] > whole.height:
        raise InvalidArgumentError(
            f"box {box}: the image has {whole.width} x {whole.height} pixels, and the box is not "
            "inside it"
        )
    if box == (0, 0, *whole.size):
        return source
    part = whole.crop(cast("tuple[float, float, float, float]", box))
    for turned in _TURNING:
        part.info.pop(turned, None)
    return part
