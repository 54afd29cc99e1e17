"""Outcomes of files that cannot be indexed."""

from __future__ import annotations

from collections.abc import Mapping

from onnxsearch.errors import (
    ImageNotFoundError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from onnxsearch.images.image_file import NotAnImageError
from onnxsearch.types import Outcome, Status

_STATUS: Mapping[type[Exception], Status] = {
    NotAnImageError: Status.SKIPPED,
    ImageNotFoundError: Status.MISSING,
    FileNotFoundError: Status.MISSING,
    NotADirectoryError: Status.MISSING,
    ImageTooLargeError: Status.TOO_LARGE,
    UnsupportedImageError: Status.UNSUPPORTED,
}
"""Status by error, a class before its bases; any other error makes a file `BROKEN`."""


def failure(name: str, error: Exception, *, named: bool = True) -> Outcome:
    """Return the outcome of an image that raised `error`.

    Args:
        name: What the outcome names, such as the absolute path of a file.
        error: What opening, embedding or describing the image raised.
        named: Whether the caller named the file, who then takes it for an image.
    """
    status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), Status.BROKEN)
    if status is Status.SKIPPED and named:
        status = Status.UNSUPPORTED
    return Outcome(name, status, error=_text(name, error))


def _text(name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"there is no file {name!r}"
    if isinstance(error, OSError | ValueError):
        return f"file {name!r} cannot be read: {error}"
    return str(error)
