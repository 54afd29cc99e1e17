"""Stored images with the same bytes as a file, and whether their own files still show them."""

from __future__ import annotations

import os
import stat

from onnxsearch._internal.open_files import open_to_read
from onnxsearch.catalog.copies import Copy
from onnxsearch.images.image_file import content_hash
from onnxsearch.types import Record


def looks_unchanged(image: Record) -> bool:
    """Return whether the image's file has the size and time that it had when it was stored.

    An image that did not come from a file is always unchanged.
    """
    if image.file is None:
        return True
    try:
        status = os.stat(image.file)
    except (OSError, ValueError):
        return False
    return (status.st_size, status.st_mtime_ns) == (image.size, image.modified_ns)


def is_gone(path: str) -> bool:
    """Return whether no file has this path; False if that cannot be known."""
    # Not `os.path.lexists`: it treats a folder that may not be read just now (a right
    # that was removed, a share that does not answer) like an empty one.
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True  # no file has a path with a NUL
    except OSError:
        return False
    return False


def still_shows(image: Record) -> bool:
    """Return whether the image's file shows the image; True if that cannot be known.

    An image that did not come from a file never leaves its place.

    The file is read where only its time has changed.
    """
    if image.file is None or looks_unchanged(image):
        return True
    try:
        status = os.stat(image.file)
        if not stat.S_ISREG(status.st_mode) or status.st_size != image.size:
            return False
        with open_to_read(image.file) as file:
            return content_hash(file.read(status.st_size + 1)) == image.content
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True


def shows_copy(copy: Copy) -> bool:
    """Return whether a file still shows the image that it was a copy of; see `still_shows`."""
    return still_shows(
        Record(
            copy.uri,
            uri=copy.uri,
            content=copy.content,
            size=copy.size,
            modified_ns=copy.modified_ns,
        )
    )
