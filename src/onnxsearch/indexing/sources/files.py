"""Files that hold several images or name them: archives, tables, videos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from onnxsearch._internal.open_files import StoreFileError, is_store_file, open_to_read
from onnxsearch._internal.paths import absolute_path
from onnxsearch.errors import BrokenImageError, ImageNotFoundError, UnsupportedImageError
from onnxsearch.images.formats import HEAD, has_image_name, looks_like_image
from onnxsearch.images.image_file import NotAnImageError, check_regular


def source_file(path: str | os.PathLike[str], name: str = "path") -> str:
    """Return the absolute path of a file that a source reads.

    Args:
        path: What a caller gave.
        name: The argument that it was given as.

    Raises:
        InvalidArgumentError: It is not a path.
        ImageNotFoundError: There is no such file.
        UnsupportedImageError: It is a folder or a device, or belongs to an index that is
            open in this process.
        BrokenImageError: It cannot be looked at.
    """
    absolute = absolute_path(path, name)
    with _errors_named(absolute):
        status = os.stat(absolute)
        check_regular(absolute, status)
        if is_store_file(absolute, status):
            raise StoreFileError(absolute)
    return absolute


@contextmanager
def open_source(path: str) -> Iterator[BufferedReader]:
    """Open a file to read, unless it belongs to an index that is open in this process.

    Raises:
        ImageNotFoundError: There is no such file.
        UnsupportedImageError: It is a folder or a device, or belongs to such an index.
        BrokenImageError: It cannot be read.
    """
    with _errors_named(path):
        check_regular(path, os.stat(path))  # opening a pipe would wait for its other end
        with open_to_read(path) as file:
            yield file


def check_head(head: bytes, name: str, label: str) -> None:
    """Raise `NotAnImageError` unless the data are an image, by their first bytes or by name.

    Args:
        head: The first bytes: `HEAD` of them, or all if there are less.
        name: The name that the data have.
        label: What messages call the data.
    """
    if not looks_like_image(head[:HEAD]) and not has_image_name(name):
        raise NotAnImageError(f"{label!r} is not an image, by its content and by its name")


@contextmanager
def _errors_named(path: str) -> Iterator[None]:
    try:
        yield
    except StoreFileError as error:
        raise UnsupportedImageError(
            f"{path!r} belongs to an index that is open in this process, and is not read as a "
            "source of images"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(f"there is no file {path!r}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise BrokenImageError(f"file {path!r} cannot be read: {error}") from error
