"""HEIC images, which the package pillow-heif decodes (extra `[heif]`)."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from onnxsearch.errors import MissingExtraError, UnsupportedImageError
from onnxsearch.images.pillow import check_pixels


def open_heif(file: BinaryIO, label: str, max_pixels: int) -> Image.Image:
    """Return the main image of a HEIC file, upright, decoded.

    Nothing is registered with Pillow, whose list of formats belongs to the application.

    Raises:
        UnsupportedImageError: pillow-heif is not installed.
        ImageTooLargeError: The image has more than `max_pixels` pixels.
    """
    try:
        import pillow_heif
    except ImportError as error:
        missing = MissingExtraError.for_package("pillow_heif", extra="heif")
        raise UnsupportedImageError(f"{label} is a HEIC image, and {missing}") from error
    container = pillow_heif.open_heif(file, convert_hdr_to_8bit=True)
    check_pixels(container.size, label, max_pixels)
    image = container.to_pillow()
    if not isinstance(image, Image.Image):
        raise UnsupportedImageError(f"{label}: pillow-heif gave {type(image).__name__}")
    return image
