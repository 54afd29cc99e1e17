"""Metadata fields from the header of an image: when, where and how it was taken."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, TypeAlias, cast

import numpy as np
from PIL import Image

from onnxsearch._internal.paths import absolute_path
from onnxsearch.errors import ImageError, UnsupportedImageError
from onnxsearch.images.exif_tags import GPS, IMAGE, PHOTO, TagValue, read_tags
from onnxsearch.images.formats import HEAD, HEIC, image_format
from onnxsearch.images.heif import heif_header
from onnxsearch.images.image_file import open_image_file
from onnxsearch.images.in_memory import read_image
from onnxsearch.images.pillow import PILLOW_ERRORS
from onnxsearch.images.reading import READ_STRICTLY, open_header
from onnxsearch.types import ImageInput

_Fields: TypeAlias = dict[str, "str | int | float"]
_Tags: TypeAlias = "Mapping[tuple[str, int], TagValue]"

_WIDTH = (IMAGE, 0x0100)
_ORIENTATION = (IMAGE, 0x0112)
_WANTED = {
    IMAGE: frozenset({0x0100, 0x010F, 0x0110, 0x0112}),
    PHOTO: frozenset({0x829A, 0x829D, 0x8827, 0x9003, 0x9004, 0x920A, 0xA405, 0xA434}),
    GPS: frozenset(range(1, 7)),
}

_ON_ITS_SIDE = (5, 6, 7, 8)
"""Orientations that exchange width and height."""

_MOST_TEXT = 200
"""Characters of a text: names of cameras and lenses have less than 100."""

_TIME = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
"""As Pillow looks for it, for the pipeline turns images by what Pillow finds."""


def exif(image: ImageInput) -> _Fields:
    """Return what the header of an image says of it, as metadata for filters.

    =================== ======================================================================
    field               value
    =================== ======================================================================
    `width`, `height`   pixels of the upright image
    `file_size`         bytes
    `orientation`       1 (upright) to 8, as EXIF defines it
    `taken`             local time of the camera, as "2026-11-25T07:57:38"
    `camera`            maker and model, such as "Canon EOS R5"
    `lens`              model of the lens
    `latitude`          degrees, negative in the south
    `longitude`         degrees, negative in the west
    `altitude`          metres above the sea
    `exposure_time`     seconds
    `f_number`          focal length divided by aperture
    `iso`               sensitivity
    `focal_length`      millimetres
    `focal_length_35mm` millimetres that give the same view on 35 mm film
    =================== ======================================================================

    A field that the header lacks, or whose value is damaged or impossible, is left out. The
    image is not decoded. Use it as `metadata=exif` in `SearchEngine.index` and
    `SearchEngine.add_many`, or call it from a function of your own.

    Args:
        image: An image, or its path. An open file is read from its current position. A file
            that is no image has only a `file_size`.

    Raises:
        ImageNotFoundError: There is no such file.
        BrokenImageError: The file cannot be read.
        UnsupportedImageError: It is a folder or a device, or belongs to an index that is open
            in this process.

    Example:
        >>> engine.index("~/Pictures", metadata=exif)
        >>> engine.search("query.jpg", filter=F("taken") >= date(2026, 11, 1))
        >>> engine.index("~/Pictures", metadata=lambda path: {**exif(path), "by": "me"})
    """
    if isinstance(image, str | os.PathLike):
        path = absolute_path(image, "image")
        with open_image_file(path) as file:
            return _of_file(file, repr(path), os.fstat(file.fileno()).st_size)
    if isinstance(image, np.ndarray):
        return {"height": image.shape[0], "width": image.shape[1]} if image.ndim == 3 else {}
    if isinstance(image, Image.Image):
        return _of_header(_pillow_header(image, None))
    read = read_image(image, READ_STRICTLY)
    if not isinstance(read.data, bytes):
        raise UnsupportedImageError(
            f"image of type {type(image).__name__}: expected a path, bytes, a binary file, a "
            "Pillow image or an array"
        )
    return _of_file(io.BytesIO(read.data), f"{len(read.data)} bytes", len(read.data))


@dataclass(frozen=True, slots=True)
class _ImageHeader:
    """What the header of an image says."""

    width: int
    """Pixels of the upright image."""
    height: int
    tags: _Tags
    orientation: int


def _of_file(file: BinaryIO, label: str, size: int) -> _Fields:
    fields: _Fields = {"file_size": size}
    try:
        return fields | _of_header(_header(file, label))
    except (ImageError, *PILLOW_ERRORS):
        return fields


def _header(file: BinaryIO, label: str) -> _ImageHeader:
    head = file.read(HEAD)
    file.seek(0)
    if image_format(head) == HEIC:
        (width, height), data = heif_header(file, label)
        return _ImageHeader(width, height, _tags_in(data), 1)
    return _pillow_header(open_header(file, label), file)


def _pillow_header(image: Image.Image, file: BinaryIO | None) -> _ImageHeader:
    """Return the header of an opened image, and of the file that it is in, if that is a TIFF."""
    info = cast("Mapping[object, object]", image.info)
    if image.format == "TIFF" and file is not None:
        tags: _Tags = read_tags(file, _WANTED)
    else:
        tags = _tags_in(info.get("exif"))
    in_tags = _ORIENTATION in tags
    orientation = _whole(tags.get(_ORIENTATION)) if in_tags else _xmp_orientation(info)
    if orientation is None or orientation not in range(1, 9):
        orientation = 1
    width, height = image.size
    # Later versions of Pillow give the size of a TIFF image as it is when upright.
    is_upright = image.format == "TIFF" and tags.get(_WIDTH) != (width,)
    if orientation in _ON_ITS_SIDE and not is_upright:
        width, height = height, width
    return _ImageHeader(width, height, tags, orientation)


def _xmp_orientation(info: Mapping[object, object]) -> int | None:
    xmp = info.get("XML:com.adobe.xmp") or info.get("xmp")
    text = xmp.encode(errors="ignore") if isinstance(xmp, str) else xmp
    found = _XMP_ORIENTATION.search(text) if isinstance(text, bytes) else None
    return int(found[1]) if found else None


def _tags_in(data: object) -> _Tags:
    if not isinstance(data, bytes):
        return {}
    return read_tags(io.BytesIO(data.removeprefix(b"Exif\0\0")), _WANTED)


def _of_header(header: _ImageHeader) -> _Fields:
    tags = header.tags
    fields = {
        "width": header.width,
        "height": header.height,
        "orientation": header.orientation,
        "taken": _time(tags.get((PHOTO, 0x9003))) or _time(tags.get((PHOTO, 0x9004))),
        "camera": _camera(_text(tags.get((IMAGE, 0x010F))), _text(tags.get((IMAGE, 0x0110)))),
        "lens": _text(tags.get((PHOTO, 0xA434))),
        "latitude": _degrees(tags, 1, "NS", 90),
        "longitude": _degrees(tags, 3, "EW", 180),
        "altitude": _altitude(tags),
        "exposure_time": _positive(tags.get((PHOTO, 0x829A))),
        "f_number": _positive(tags.get((PHOTO, 0x829D))),
        "iso": _whole(tags.get((PHOTO, 0x8827))),
        "focal_length": _positive(tags.get((PHOTO, 0x920A))),
        "focal_length_35mm": _whole(tags.get((PHOTO, 0xA405))),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _text(value: TagValue | None) -> str | None:
    """Return printable text; None for any other value."""
    if not isinstance(value, bytes):
        return None
    try:
        text = value.partition(b"\0")[0].decode().strip()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and 0 < len(text) <= _MOST_TEXT else None


def _time(value: TagValue | None) -> str | None:
    found = _TIME.fullmatch(_text(value) or "")
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second).isoformat()
    except ValueError:
        return None  # such as "0000:00:00 00:00:00", of a camera without a clock


def _camera(maker: str | None, model: str | None) -> str | None:
    """Return maker and model. Many models begin with the name of the maker, spelled otherwise."""
    if maker is None or model is None:
        return model or maker
    begins = model.lower().startswith(maker.split()[0].lower())
    return model if begins else f"{maker} {model}"


def _number(value: TagValue | None) -> int | float | None:
    """Return the first number of a value that is finite; None for any other value."""
    if value is None or isinstance(value, bytes) or not math.isfinite(value[0]):
        return None
    return value[0]


def _positive(value: TagValue | None) -> float | None:
    """Return a number above 0, with the six digits that a camera may know."""
    number = _number(value)
    return float(f"{number:.6g}") if number is not None and number > 0 else None


def _whole(value: TagValue | None) -> int | None:
    """Return an integer above 0."""
    number = _number(value)
    return number if isinstance(number, int) and number > 0 else None


def _degrees(tags: _Tags, tag: int, signs: str, most: float) -> float | None:
    """Return a coordinate from degrees, minutes and seconds, and from its hemisphere."""
    parts, hemisphere = tags.get((GPS, tag + 1)), _text(tags.get((GPS, tag)))
    if isinstance(parts, bytes) or parts is None or hemisphere not in tuple(signs):
        return None
    degrees = sum(part / unit for part, unit in zip(parts[:3], (1, 60, 3600), strict=False))
    if not 0 <= degrees <= most:  # NaN too
        return None
    # Seven digits are a centimetre.
    return round(-degrees if hemisphere == signs[1] else degrees, 7)


def _altitude(tags: _Tags) -> float | None:
    metres, below = _number(tags.get((GPS, 6))), tags.get((GPS, 5))
    if metres is None:
        return None
    return round(-metres if below in ((1,), (3,), b"\1", b"\3") else metres, 2)
