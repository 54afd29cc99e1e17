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


def failure(path: str, error: Exception, *, named: bool = True) -> Outcome:
    """Return the outcome of a file that raised `error`.

    Args:
        path: Absolute path of the file.
        error: What opening, embedding or describing the file raised.
        named: Whether the caller named the file, who then takes it for an image.
    """
    status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), Status.BROKEN)
    if status is Status.SKIPPED and named:
        status = Status.UNSUPPORTED
    return Outcome(path, status, error=_text(path, error))


def _text(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"there is no file {path!r}"
    if isinstance(error, OSError | ValueError):
        return f"file {path!r} cannot be read: {error}"
    return str(error)
