"""Image files, read once: the bytes, their hash, their size and modification time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from io import BufferedReader
from typing import BinaryIO

from PIL import Image

from onnxsearch._internal.open_files import StoreFileError, open_to_read
from onnxsearch.errors import (
    BrokenImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from onnxsearch.images.formats import HEAD, has_image_name, looks_like_image
from onnxsearch.images.reading import ReadPolicy, decode_file, open_header

_BYTES_PER_PIXEL = 16
_OVERHEAD = 64 * 2**20
"""An image file takes at most 16 bytes per pixel (four float32), and metadata."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image file as it was at one moment."""

    path: str
    """Absolute."""
    data: bytes
    """All of the file."""
    content: str
    """BLAKE2b-128 of the bytes, in hex."""
    modified_ns: int
    """Modification time in nanoseconds since 1970."""

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    def decode(self, policy: ReadPolicy) -> Image.Image:
        """Return the image that the bytes hold.

        Raises:
            ImageError: They do not hold an image that the policy accepts.
        """
        return decode_file(self.data, self.path, policy)


def most_bytes(policy: ReadPolicy) -> int:
    """Return how many bytes the file of an image within the limits of `policy` has, at most."""
    return _BYTES_PER_PIXEL * policy.max_pixels + _OVERHEAD


def content_hash(data: bytes) -> str:
    """Return the BLAKE2b-128 of a file's bytes, in hex."""
    return blake2b(data, digest_size=16).hexdigest()


def read_image_file(path: str, policy: ReadPolicy) -> ImageFile:
    """Read an image file, once and from one descriptor.

    A file that does not begin like an image is not read whole.

    Args:
        path: Absolute path of the file.
        policy: `ReadPolicy.max_pixels` bounds the size of the file too.

    Raises:
        ImageNotFoundError: There is no such file.
        NotAnImageError: The file is not an image, by its content and by its name.
        BrokenImageError: The file is empty or cannot be read.
        ImageTooLargeError: The file has more bytes than an image within the limit.
        UnsupportedImageError: It is a folder, a device, of a format that is not
            supported, or a file of an index that is open in this process.
    """
    with open_image_file(path) as file:
        return _read(file, path, policy)


@contextmanager
def open_image_file(path: str) -> Iterator[BufferedReader]:
    """Open a file that may be an image, to read it.

    Raises:
        ImageNotFoundError: There is no such file.
        BrokenImageError: It cannot be read.
        UnsupportedImageError: It is a folder, a device, or a file of an index that is open in
            this process.
    """
    with open_regular_file(path, refusal=": expected an image file") as file:
        yield file


@contextmanager
def open_regular_file(path: str, *, refusal: str) -> Iterator[BufferedReader]:
    """Open a file to read, with the errors of `file_errors`."""
    with file_errors(path, refusal=refusal):
        status = os.stat(path)
        check_regular(path, status)  # opening a pipe would wait for its other end
        with open_to_read(path, status) as file:
            yield file


@contextmanager
def file_errors(path: str, *, refusal: str) -> Iterator[None]:
    """Raise what the system says of a file as an error of an image.

    Args:
        path: The file.
        refusal: How the message ends if the file belongs to an index that is open in this
            process.

    Raises:
        ImageNotFoundError: There is no such file.
        BrokenImageError: It cannot be read.
        UnsupportedImageError: It belongs to such an index.
    """
    try:
        yield
    except StoreFileError as error:
        raise UnsupportedImageError(
            f"{path!r} belongs to an index that is open in this process{refusal}"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(f"there is no file {path!r}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise BrokenImageError(f"file {path!r} cannot be read: {error}") from error


def check_regular(path: str, status: os.stat_result) -> None:
    """Raise `UnsupportedImageError` unless `status` is that of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        raise UnsupportedImageError(f"{path!r} is {kind}, not a file")


class NotAnImageError(UnsupportedImageError):
    """Neither the content of the file nor its name is that of an image."""


def _read(file: BinaryIO, path: str, policy: ReadPolicy) -> ImageFile:
    status = os.fstat(file.fileno())
    check_regular(path, status)
    if not looks_like_image(file.read(HEAD)):
        if not has_image_name(path):
            raise NotAnImageError(f"{path!r} is not an image, by its content and by its name")
        file.seek(0)
        open_header(file, repr(path))
    limit = most_bytes(policy)
    if status.st_size > limit:
        raise ImageTooLargeError(
            f"{path!r} has {status.st_size:,} bytes: expected at most {limit:,}, as an image of "
            f"{policy.max_pixels:,} pixels has"
        )
    file.seek(0)
    # Not the limit at once: room for it would be mapped and unmapped for each file.
    data = file.read(status.st_size + 1)
    if len(data) > status.st_size:  # it grew meanwhile, or lies where sizes are not known
        data += file.read(limit + 1 - len(data))
    return ImageFile(path, data, content_hash(data), status.st_mtime_ns)
