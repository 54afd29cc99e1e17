"""Errors that Pillow raises on damaged files, the limit on pixels, and the EXIF orientation."""

from __future__ import annotations

import struct
import threading
import zlib

from PIL import ExifTags, Image

from onnxsearch.errors import BrokenImageError, ImageTooLargeError

# Seen on damaged files, or raised in the sources of Pillow's readers. Warnings are
# included because an application may have turned warnings into errors.
PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Warning,
)

_EXIF_LOCK = threading.Lock()


def check_pixels(size: tuple[int, int], label: str, limit: int) -> None:
    """Raise an error unless an image of (width, height) has pixels, and at most `limit`.

    Raises:
        ImageTooLargeError: The image has more.
        BrokenImageError: The image has none.
    """
    width, height = size
    if width * height > limit:
        raise ImageTooLargeError(
            f"{label}: {width} x {height} pixels, and the limit is {limit} (`max_pixels`); the "
            "image was not decoded"
        )
    if width * height == 0:
        raise BrokenImageError(f"{label}: an image of {width} x {height} pixels")


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where it is absent or damaged.

    Pillow caches the value. Some formats can be asked only while their file is open.
    """
    try:
        # A second thread would see the data half parsed.
        with _EXIF_LOCK:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        return 1
    return value if value in range(1, 9) else 1
