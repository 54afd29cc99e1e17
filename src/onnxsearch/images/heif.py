"""HEIC images, which the package pillow-heif decodes (extra `[heif]`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from onnxsearch.errors import MissingExtraError, UnsupportedImageError
from onnxsearch.images.pillow import check_pixels

if TYPE_CHECKING:
    from pillow_heif import HeifFile


def open_heif(file: BinaryIO, label: str, max_pixels: int) -> Image.Image:
    """Return the main image of a HEIC file, upright, decoded.

    Nothing is registered with Pillow, whose list of formats belongs to the application.

    Raises:
        UnsupportedImageError: pillow-heif is not installed.
        ImageTooLargeError: The image has more than `max_pixels` pixels.
    """
    container = _container(file, label)
    check_pixels(container.size, label, max_pixels)
    image = container.to_pillow()
    if not isinstance(image, Image.Image):
        raise UnsupportedImageError(f"{label}: pillow-heif gave {type(image).__name__}")
    return image


def heif_header(file: BinaryIO, label: str) -> tuple[tuple[int, int], bytes | None]:
    """Return the width and height of a HEIC image when it is upright, and its EXIF data.

    The image is not decoded.

    Raises:
        UnsupportedImageError: pillow-heif is not installed.
    """
    container = _container(file, label)
    return container.size, container.info.get("exif")


def _container(file: BinaryIO, label: str) -> HeifFile:
    try:
        import pillow_heif
    except ImportError as error:
        missing = MissingExtraError.for_package("pillow_heif", extra="heif")
        raise UnsupportedImageError(f"{label} is a HEIC image, and {missing}") from error
    return pillow_heif.open_heif(file, convert_hdr_to_8bit=True)
