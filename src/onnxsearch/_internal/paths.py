"""File paths: one rule for all that a caller names."""

from __future__ import annotations

import os

from onnxsearch.errors import InvalidArgumentError


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as text.

    Raises:
        InvalidArgumentError: No file can have that name.
    """
    try:
        text = os.fsdecode(path)
        encoded = os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise InvalidArgumentError(f"path {path!r:.200}: expected a file's path") from error
    if b"\0" in encoded:
        raise InvalidArgumentError(f"path {text!r:.200} holds a NUL: expected a file's path")
    return text


def absolute_path(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file: `~` expanded, `..` resolved, symbolic links kept.

    Raises:
        InvalidArgumentError: No file can have that name.
    """
    return os.path.abspath(os.path.expanduser(path_text(path)))
