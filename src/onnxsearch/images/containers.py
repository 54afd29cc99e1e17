"""Limits on pixels for formats whose outer header does not give the size that is decoded.

Icons and some textures hold complete image files, which Pillow decodes with, or even
before, the first access to pixels; the tiles of a TIFF may exceed the image. The sizes of
all of them are read first.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

from PIL import Image
from PIL.BmpImagePlugin import DibImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from onnxsearch.images.formats import image_format
from onnxsearch.images.pillow import PILLOW_ERRORS, check_pixels
from onnxsearch.images.tiff import TILE_LENGTH, TILE_WIDTH, first_directory

_MOST_ENTRIES = 1024
"""Images in an icon, at most. Real icons have some ten."""

Size = tuple[int, int]


def check_inner_pixels(file: BinaryIO, name: str, label: str, limit: int) -> None:
    """Raise an error if an image or tile inside the file has more pixels than `limit`.

    Parts that cannot be read are left to Pillow, which reports them if it uses them.

    Args:
        file: The file; its position changes.
        name: The format of the file, see `image_format`.
        label: Name of the file in messages.
        limit: Pixels, at most.

    Raises:
        ImageTooLargeError: One has more.
        OSError: The container is damaged.
    """
    sizes = _INNER_SIZES.get(name)
    if sizes is not None:
        for width, height in sizes(file):
            if width * height > limit:
                check_pixels((width, height), label, limit)


def _icon_sizes(file: BinaryIO) -> Iterator[Size]:
    """Yield (width, height) of the images in a Windows icon."""
    file.seek(4)
    count = int.from_bytes(file.read(2), "little")
    if count > _MOST_ENTRIES:
        raise OSError(f"an icon of {count} images")
    directory = file.read(16 * count)
    ends = range(16, len(directory) + 1, 16)
    for offset in {int.from_bytes(directory[end - 4 : end], "little") for end in ends}:
        file.seek(offset)
        if image_format(file.read(8)) == "PNG":
            yield from _size(PngImageFile, file, offset)
        else:
            # A bitmap of colours above one of transparency.
            for width, height in _size(DibImageFile, file, offset):
                yield width, height // 2


def _apple_icon_sizes(file: BinaryIO) -> Iterator[Size]:
    """Yield (width, height) of the images in an Apple icon that are files of their own."""
    start, end = 8, file.seek(0, io.SEEK_END)
    entries = 0
    while start + 8 <= end:
        file.seek(start)
        length = int.from_bytes(file.read(8)[4:], "big")
        entries += 1
        if length < 8 or entries > _MOST_ENTRIES:
            raise OSError("the icon's table of contents is damaged")
        inner = image_format(file.read(12))
        if inner == "PNG":
            yield from _size(PngImageFile, file, start + 8)
        elif inner == "JPEG2000":
            file.seek(start + 8)
            yield from _size(Jpeg2KImageFile, io.BytesIO(file.read(length - 8)), 0)
        start += length


def _texture_sizes(file: BinaryIO) -> Iterator[Size]:
    """Yield (width, height) of the JPEG in a Blizzard texture, stored apart from its header."""
    file.seek(0)
    header = file.read(160)
    if header[:4] != b"BLP1" or header[4:8] != bytes(4) or len(header) < 160:
        return
    offset, length, shared = (
        int.from_bytes(header[place : place + 4], "little") for place in (28, 92, 156)
    )
    beginning = file.read(shared)
    file.seek(max(offset, file.tell()))
    yield from _size(JpegImageFile, io.BytesIO(beginning + file.read(length)), 0)


def _tile_sizes(file: BinaryIO) -> Iterator[Size]:
    """Yield (width, height) of the tiles of a TIFF, if it has any."""
    tags = first_directory(file)
    width, height = _largest(tags.get(TILE_WIDTH)), _largest(tags.get(TILE_LENGTH))
    if width or height:
        # Where one side is missing, libtiff takes the other.
        yield width or height, height or width


def _largest(value: object) -> int:
    """Return the largest number of a tag's value, 0 if it has none."""
    values = value if isinstance(value, tuple) else (value,)
    return max((int(each) for each in values if isinstance(each, int | float)), default=0)


def _size(reader: Callable[[BinaryIO], Image.Image], file: BinaryIO, offset: int) -> Iterator[Size]:
    """Yield (width, height) of the image at `offset`, without decoding it, if it has any."""
    file.seek(offset)
    try:
        yield reader(file).size
    except PILLOW_ERRORS:
        return


_INNER_SIZES: Mapping[str, Callable[[BinaryIO], Iterator[Size]]] = {
    "ICO": _icon_sizes,
    "ICNS": _apple_icon_sizes,
    "BLP": _texture_sizes,
    "TIFF": _tile_sizes,
}
