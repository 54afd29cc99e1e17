"""The first directory of a TIFF file, read without opening the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from onnxsearch.images.pillow import PILLOW_ERRORS

SUBFILE_TYPE = 254
PHOTOMETRIC = 262
TILE_WIDTH, TILE_LENGTH = 322, 323
DNG_VERSION = 50706

_TAGS = (SUBFILE_TYPE, PHOTOMETRIC, TILE_WIDTH, TILE_LENGTH, DNG_VERSION)


def first_directory(file: BinaryIO) -> Mapping[int, object]:
    """Return some tags of a TIFF's first directory; none where it is damaged.

    Args:
        file: The file; its position changes.
    """
    try:
        file.seek(0)
        header = file.read(8)
        if header[2] == 43:  # BigTIFF, whose offsets have 8 bytes
            header += file.read(8)
        directory = ImageFileDirectory_v2(header)
        file.seek(directory.next)
        directory.load(file)
        return {tag: directory[tag] for tag in _TAGS if tag in directory}
    except PILLOW_ERRORS:  # opening the image reports the damage
        return {}
