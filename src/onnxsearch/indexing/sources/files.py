"""Files that hold several images or name them: archives, tables, videos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from onnxsearch._internal.open_files import StoreFileError, is_store_file
from onnxsearch._internal.paths import absolute_path
from onnxsearch.images.formats import HEAD, has_image_name, looks_like_image
from onnxsearch.images.image_file import (
    NotAnImageError,
    check_regular,
    file_errors,
    open_regular_file,
)

_REFUSAL = ", and is not read as a source of images"


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
    with file_errors(absolute, refusal=_REFUSAL):
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
    with open_regular_file(path, refusal=_REFUSAL) as file:
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
