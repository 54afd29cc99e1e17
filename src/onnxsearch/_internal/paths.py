"""File paths: one rule for all that a caller names."""

from __future__ import annotations

import os
from pathlib import Path

from onnxsearch.errors import InvalidArgumentError


def absolute_path(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file: `~` expanded, `..` resolved, symbolic links kept.

    Raises:
        InvalidArgumentError: It is not a path.
    """
    try:
        text = os.fsdecode(path)
        os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise InvalidArgumentError(f"path {path!r:.200}: expected a file's path") from error
    return os.path.abspath(os.path.expanduser(text))


def target_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file or folder that is about to be opened or made.

    Raises:
        InvalidArgumentError: No file can have that name.
    """
    absolute = absolute_path(path)
    if "\0" in absolute:
        raise InvalidArgumentError(f"path {absolute!r:.200} holds a NUL: expected a file's path")
    return Path(absolute)
