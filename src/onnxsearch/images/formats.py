"""Recognising image files by their first bytes and by their names."""

from __future__ import annotations

import os
import re

from PIL import Image, features

HEAD = 512
"""How many of a file's first bytes are enough to recognise its format."""

HEIC = "HEIC"
CAMERA_RAW = "camera raw"

# First bytes and format, by Pillow's name of the format where it has one.
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0\x10\0\0\0CR", CAMERA_RAW),  # Canon CR2, which is also a TIFF
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II\0*", "TIFF"),  # these two with the bytes of the number in the wrong order
    (b"MM*\0", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"icns", "ICNS"),
    (b"\0\0\1\0", "ICO"),
    (b"8BPS", "PSD"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"BLP1", "BLP"),
    (b"BLP2", "BLP"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"v/1\1", "OpenEXR"),
    (b"FUJIFILMCCD-RAW", CAMERA_RAW),
    (b"IIRO", CAMERA_RAW),  # Olympus
    (b"IIRS", CAMERA_RAW),
    (b"MMOR", CAMERA_RAW),
    (b"IIU\0", CAMERA_RAW),  # Panasonic
    (b"II\x1a\0\0\0HEAPCCDR", CAMERA_RAW),  # Canon CRW
    (b"FOVb", CAMERA_RAW),  # Sigma
    (b"\0MRM", CAMERA_RAW),  # Minolta
)

# The sizes of the header that follows the 14 bytes of a bitmap file.
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)

# A number and white space, then the width or a comment.
_PORTABLE = re.compile(rb"P[1-6]\s+[0-9#]|P[fF]\s+[0-9]")

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_ANY_CODEC = frozenset({b"mif1", b"msf1"})
"""Brands of ISO 23008-12 files that do not say how their images are coded."""

_RAW_BRAND = b"crx "  # Canon CR3

_RAW_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "iiq", "k25", "kdc", "mef"),
        *("mos", "mrw", "nef", "nrw", "orf", "pef", "raf", "rw2", "rwl", "sr2", "srf", "srw"),
        "x3f",
    )
)
# Formats of images that Pillow does not know by their names.
_OTHER_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".jxl", ".exr"})
# Names that Pillow registers, of documents, programs, films and scientific data.
_NOT_IMAGES = frozenset(
    {".bufr", ".eps", ".fit", ".fits", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf", ".ps"}
)

# The part of Pillow that a build may lack, by format.
_CODECS = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp", "JPEG": "jpg", "PNG": "zlib"}


def image_format(head: bytes) -> str | None:
    """Return the format of an image file, None where the file is not a known image.

    Args:
        head: The first bytes of the file: `HEAD` of them, or all if it has less.
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[4:8] == b"ftyp":
        return _by_brands(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and (len(head) < 18 or head[14] in _BITMAP_HEADERS):
        return "BMP"
    if _PORTABLE.match(head):
        return "PPM"
    return None


def looks_like_image(head: bytes) -> bool:
    """Return whether a file is an image by its first bytes, damaged or not.

    A file of which this is false, and `has_image_name` too, is not an image: a text, a
    film, a database. Formats without a signature, such as TGA, are known by name only.

    Args:
        head: The first bytes of the file: `HEAD` of them, or all if it has less.
    """
    return image_format(head) is not None


def has_image_name(path: str | os.PathLike[str]) -> bool:
    """Return whether a file has the name of an image, by the suffix."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    known = suffix in Image.registered_extensions() and suffix not in _NOT_IMAGES
    return known or suffix in _OTHER_SUFFIXES or suffix in _RAW_SUFFIXES


def has_raw_name(path: str | os.PathLike[str]) -> bool:
    """Return whether a file has the name of a camera's raw format, by the suffix."""
    return os.path.splitext(os.fspath(path))[1].lower() in _RAW_SUFFIXES


def can_decode(name: str) -> bool:
    """Return whether this installation of Pillow decodes the format `name`."""
    Image.init()
    codec = _CODECS.get(name)
    return name in Image.OPEN and (codec is None or bool(features.check(codec)))


def _by_brands(head: bytes) -> str | None:
    """Return the format of an ISO media file, which names it in its first box."""
    length = int.from_bytes(head[:4], "big")
    major = head[8:12]
    box = head[: min(length, len(head))]
    brands = {major, *(box[start : start + 4] for start in range(16, len(box), 4))}
    if major == _RAW_BRAND:
        return CAMERA_RAW
    if major in _HEIC_BRANDS:
        return HEIC
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major in _ANY_CODEC:
        return "AVIF" if brands & _AVIF_BRANDS else HEIC
    return None
