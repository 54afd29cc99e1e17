"""Camera raw files, which Pillow would open as the preview that they begin with."""

from __future__ import annotations

from typing import BinaryIO

from onnxsearch.images.formats import CAMERA_RAW, has_raw_name, image_format
from onnxsearch.images.tiff import DNG_VERSION, PHOTOMETRIC, SUBFILE_TYPE, first_directory

_REDUCED = 1  # a bit of the subfile type: a smaller version of another image in the file
_SENSOR = (32803, 34892)  # photometric interpretations: colour filter array, linear raw


def is_camera_raw(file: BinaryIO, head: bytes, path: str | None = None) -> bool:
    """Return whether a file is a camera's raw file, by its first bytes, directory and name.

    Most raw formats are TIFFs whose first directory holds a small preview. The data of
    the sensor follow in a directory that only raw converters read.

    Args:
        file: The file; its position changes.
        head: Its first bytes, see `image_format`.
        path: Its path, if it has one.
    """
    name = image_format(head)
    if name != "TIFF":
        return name == CAMERA_RAW
    if path is not None and has_raw_name(path):
        return True
    tags = first_directory(file)
    subfile_type = tags.get(SUBFILE_TYPE, 0)
    return (
        DNG_VERSION in tags
        or tags.get(PHOTOMETRIC) in _SENSOR
        or (isinstance(subfile_type, int) and bool(subfile_type & _REDUCED))
    )
