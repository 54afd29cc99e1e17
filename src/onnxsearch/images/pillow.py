"""What Pillow raises on damaged files, and what it finds out only on demand."""

from __future__ import annotations

import struct
import threading
import zlib

from PIL import ExifTags, Image

from onnxsearch.errors import BrokenImageError, ImageTooLargeError

# Seen on damaged files, or raised in the sources of Pillow's readers. Warnings are
# among them because an application may have turned warnings into errors.
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
    """Raise an error unless a picture of (width, height) has pixels, and at most `limit`.

    Raises:
        ImageTooLargeError: It has more.
        BrokenImageError: It has none.
    """
    width, height = size
    if width * height > limit:
        raise ImageTooLargeError(
            f"{label}: {width} x {height} pixels, and the limit is {limit} (`max_pixels`); the "
            "picture was not decoded"
        )
    if width * height == 0:
        raise BrokenImageError(f"{label}: a picture of {width} x {height} pixels")


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where it is absent or damaged.

    Pillow remembers what it found. Some formats can be asked only while their file
    is open.
    """
    try:
        # While one thread parses the data, another would see it half done.
        with _EXIF_LOCK:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        return 1
    return value if value in range(1, 9) else 1
