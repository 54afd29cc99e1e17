"""Opening images: from a path, bytes, file, array or Pillow image to a loaded Pillow image.

A damaged or hostile file raises an `ImageError` and nothing else. No setting of Pillow
is ever changed: settings are global to the process and belong to the application.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from onnxsearch._internal.open_files import StoreFileError, open_to_read
from onnxsearch._internal.paths import absolute_path, mistake_in
from onnxsearch._internal.telemetry.observation import ObservedStep
from onnxsearch._internal.validation import instance, integer
from onnxsearch.errors import (
    BrokenImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    InvalidArgumentError,
    UnsupportedImageError,
)
from onnxsearch.images.containers import check_inner_pixels
from onnxsearch.images.formats import HEAD, HEIC, can_decode, image_format
from onnxsearch.images.heif import open_heif
from onnxsearch.images.pillow import PILLOW_ERRORS, check_pixels, orientation
from onnxsearch.images.png import open_png
from onnxsearch.images.raw import is_camera_raw
from onnxsearch.types import ImageInput

DEFAULT_MAX_PIXELS = 100_000_000
"""Pixels in an image, at most. Pillow takes 4 bytes for a pixel of colour, so that one
image at the limit costs 400 MB while it is decoded. Nearly every camera stays below."""

DRAFTED = "onnxsearch-drafted"
"""Key in `Image.info` of an image that was decoded smaller than it is stored."""

OPENED = "_onnxsearch_opened"
"""Attribute of an image that `open_image` returned. It is not checked again: the policy of
the engine, which opened it, counts, and not also that of each embedder. `Image.info` is
the caller's, and is saved with the image."""

_PART = 2**20
"""Bytes of an open file that are read at once."""

_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Formats of Pillow that are unfit for files of unknown origin, and why.
_UNSUPPORTED = {
    "EPS": "a program, which Pillow hands to Ghostscript",
    "IPTC": "an envelope around a file of any format and size",
}

_DECODE = ObservedStep("decode", "onnxsearch.images")

# Formats whose decoder is libjpeg, which decodes incomplete data up to this marker, and
# can decode at an eighth, a quarter or half of the size.
_JPEG = frozenset({"JPEG", "MPO"})
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """How image files are opened: limits, and which damage is accepted.

    How an open image is converted, such as its transparency, is part of the model's
    profile: `DecodePolicy`.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    """Width times height, at most, checked against the header before decoding."""
    truncated_jpeg: bool = False
    """Accept JPEGs that are cut short, with the missing rest grey. They are refused
    by default: half an image has other neighbours than the whole."""
    draft: int | None = None
    """Decode JPEGs at half, a quarter or an eighth of their size, as long as both sides
    keep this many pixels. Twice the size that the profile resizes to makes 12-megapixel
    photographs some six times faster, and changes pixels by up to 3 levels; a smaller
    value changes more. Profiles that resample by `nearest` refuse drafts. None: full size."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_pixels", integer("max_pixels", self.max_pixels, least=1))
        if self.draft is not None:
            object.__setattr__(self, "draft", integer("draft", self.draft, least=1))
        if not isinstance(self.truncated_jpeg, bool):
            raise InvalidArgumentError(
                f"truncated_jpeg {self.truncated_jpeg!r:.80}: expected True or False"
            )


READ_STRICTLY = ReadPolicy()
"""The default: images must be complete, and not enormous."""


def open_image(source: ImageInput, policy: ReadPolicy = READ_STRICTLY) -> Image.Image:
    """Return `source` as a Pillow image, loaded and in its own mode.

    An animation gives its first frame. The image may be shared: read it, but do not
    change it. A Pillow image is returned itself, loaded; an image that several threads
    share must have been loaded before. An image that was opened here already is returned
    as it is, whatever the policy.

    Args:
        source: Path (`~` is expanded), bytes of a file, binary file (read from its current
            position), Pillow image, or array (height, width, 3) uint8, RGB.
        policy: Limits, and which damage is accepted.

    Raises:
        ImageNotFoundError: There is no such file.
        BrokenImageError: The file is empty, damaged or cannot be read.
        ImageTooLargeError: The image has more pixels than the policy allows.
        UnsupportedImageError: It is a folder, a device, not an image, or of a format
            that is not supported.

    Example:
        >>> import numpy as np
        >>> open_image(np.zeros((20, 30, 3), np.uint8)).size
        (30, 20)
    """
    instance("policy", policy, ReadPolicy, "a ReadPolicy")
    if isinstance(source, Image.Image):
        return source if hasattr(source, OPENED) else _load(source, "Pillow image", policy)
    if isinstance(source, np.ndarray):
        return _load(_from_array(source), "array", policy)
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(io.BytesIO(source), f"{len(source)} bytes", policy)
    if isinstance(source, str | os.PathLike):
        try:
            return _read_path(absolute_path(source), policy)
        except ImageNotFoundError as error:
            raise ImageNotFoundError(mistake_in(source) or str(error)) from error
    if hasattr(source, "read"):
        return _read(io.BytesIO(all_bytes(source)), _label(source), policy)
    raise UnsupportedImageError(
        f"{type(source).__name__}: expected a path, bytes, a binary file, a Pillow image "
        "or an array of shape (height, width, 3), uint8"
    )


def decode_file(data: bytes, path: str, policy: ReadPolicy = READ_STRICTLY) -> Image.Image:
    """Return the image that the bytes of a file hold, as `open_image` would from its path.

    Args:
        data: All bytes of the file.
        path: Its path, for messages and for formats that only the name shows.
        policy: Limits, and which damage is accepted.

    Raises:
        ImageError: As for `open_image`.
    """
    return _read(io.BytesIO(data), repr(path), policy, path)


def open_header(file: BinaryIO, label: str) -> Image.Image:
    """Return an image of which only the header was read: its size and `Image.info`.

    Raises:
        ImageError: The file has no such header, or cannot be read.
    """
    head = _head(file, label)
    name = image_format(head)
    with _decoding(label, name):
        return _open(file, name)


def _read_path(path: str, policy: ReadPolicy) -> Image.Image:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for its other end
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise UnsupportedImageError(f"{path!r} is {kind}: expected an image file")
        with open_to_read(path) as file:
            return _read(file, repr(path), policy, path)
    except StoreFileError as error:
        raise UnsupportedImageError(
            f"{path!r} belongs to an index that is open in this process: expected an image file"
        ) from error
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ImageNotFoundError(f"{path!r}: no such file") from error
    except OSError as error:
        raise BrokenImageError(f"{path!r} cannot be read: {error.strerror or error}") from error


def _read(file: BinaryIO, label: str, policy: ReadPolicy, path: str | None = None) -> Image.Image:
    with _DECODE():
        return _decode(file, label, policy, path)


def _decode(file: BinaryIO, label: str, policy: ReadPolicy, path: str | None) -> Image.Image:
    head = _head(file, label)
    name = image_format(head)
    _refuse_camera_raw(file, head, label, path)
    if name == HEIC:
        with _decoding(label, name):
            image = open_heif(file, label, policy.max_pixels)
        return _load(image, label, policy)
    with _decoding(label, name):
        if name is not None:
            check_inner_pixels(file, name, label, policy.max_pixels)
        image = _open(file, name)
    if image.format in _UNSUPPORTED:
        raise UnsupportedImageError(f"{label}: {image.format} is {_UNSUPPORTED[image.format]}")
    try:
        return _load(image, label, policy, policy.draft)
    except BrokenImageError:
        if not policy.truncated_jpeg or image.format not in _JPEG:
            raise
    # Complete this one file. Pillow's own switch, LOAD_TRUNCATED_IMAGES, is for all files.
    file.seek(0)
    with _decoding(label, name):
        image = Image.open(io.BytesIO(file.read() + _END_OF_JPEG))
    return _load(image, label, policy, policy.draft)


def _open(file: BinaryIO, name: str | None) -> Image.Image:
    """Open a file without decoding it.

    Not by its path: Pillow maps some files into memory, and reading a mapped file that is
    cut short meanwhile ends the process.
    """
    file.seek(0)
    if name == "PNG":
        return open_png(file)
    image = Image.open(file)
    if name == "JPEG" and isinstance(file, io.BytesIO):
        # All bytes at once, which are not copied, and not dozens of times 64 KiB.
        image.decodermaxblock = sys.maxsize
    return image


def _refuse_camera_raw(file: BinaryIO, head: bytes, label: str, path: str | None) -> None:
    if is_camera_raw(file, head, path):
        raise UnsupportedImageError(
            f"{label} is a camera's raw file, of which only a preview could be read: export it "
            "as JPEG or TIFF"
        )


def _head(file: BinaryIO, label: str) -> bytes:
    try:
        head = file.read(HEAD)
        file.seek(0)
    except OSError as error:
        raise BrokenImageError(f"{label} cannot be read: {error}") from error
    if not head:
        raise BrokenImageError(f"{label}: the file is empty")
    return head


def _load(
    image: Image.Image, label: str, policy: ReadPolicy, draft: int | None = None
) -> Image.Image:
    check_pixels(image.size, label, policy.max_pixels)
    with _decoding(label, image.format or "Pillow"):
        if draft is not None and image.format in _JPEG:
            whole = image.size
            image.draft(image.mode, (draft, draft))
            if image.size != whole:
                image.info[DRAFTED] = True
        image.load()
    # Pillow caches the orientation; it can read some formats' only while the file is open.
    orientation(image)
    setattr(image, OPENED, True)
    return image


@contextmanager
def _decoding(label: str, name: str | None) -> Iterator[None]:
    """Raise an `ImageError` for the errors of Pillow.

    Args:
        label: Name of the source in messages.
        name: The format of the image, None if the first bytes are of no known one.
    """
    try:
        yield
    except _TOO_LARGE as error:
        raise ImageTooLargeError(
            f"{label}: Pillow's own limit, PIL.Image.MAX_IMAGE_PIXELS, refuses it: {error}"
        ) from error
    except UnidentifiedImageError as error:
        if name is None:
            raise _not_an_image(label) from error
        if can_decode(name):
            raise BrokenImageError(f"{label}: the header of the {name} image is damaged") from error
        raise UnsupportedImageError(
            f"{label}: a {name} image, which this installation of Pillow cannot decode"
        ) from error
    except NotImplementedError as error:
        raise UnsupportedImageError(f"{label}: Pillow cannot read this kind: {error}") from error
    except PILLOW_ERRORS as error:
        if name is None:
            raise _not_an_image(label) from error
        detail = str(error) or type(error).__name__
        raise BrokenImageError(f"{label}: the image is damaged: {detail}") from error


def _not_an_image(label: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"{label}: not an image, or of a format that is not supported")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise UnsupportedImageError(
            f"array of shape {array.shape}, {array.dtype}: expected (height, width, 3), uint8, RGB"
            + (". To search for a vector, pass Query.vector(...)" if array.ndim == 1 else "")
        )
    if 0 in array.shape:
        raise BrokenImageError(f"array of shape {array.shape}: the image has no pixels")
    return Image.fromarray(array)


def all_bytes(file: BinaryIO, limit: int = sys.maxsize) -> bytes:
    """Return the rest of a binary file, from its current position.

    Args:
        file: The file.
        limit: Number of bytes, at most.

    Raises:
        BrokenImageError: It cannot be read.
        ImageTooLargeError: It holds more bytes.
        UnsupportedImageError: It is not open in binary mode.
    """
    data = bytearray()
    try:
        # Some files return fewer bytes than asked for before their end.
        while part := file.read(_PART):
            _check_binary(part, file)
            data += part
            if len(data) > limit:
                raise ImageTooLargeError(f"{_label(file)} holds more than {limit:,} bytes")
    except (OSError, ValueError) as error:
        raise BrokenImageError(f"{_label(file)} cannot be read: {error}") from error
    _check_binary(part, file)
    return bytes(data)


def _check_binary(part: object, file: BinaryIO) -> None:
    if not isinstance(part, bytes):
        raise UnsupportedImageError(
            f"{_label(file)} gives {type(part).__name__}: open it in binary mode"
        )


def _label(file: BinaryIO) -> str:
    name = cast("object", getattr(file, "name", None))
    return f"file {name!r}" if isinstance(name, str) else type(file).__name__
