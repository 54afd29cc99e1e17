"""File paths: one rule for all that a caller names."""

from __future__ import annotations

import os
from pathlib import Path

from onnxsearch.errors import InvalidArgumentError, without_secrets


def absolute_path(path: str | os.PathLike[str], name: str = "path") -> str:
    """Return the absolute path of a file: `~` expanded, `..` resolved, symbolic links kept.

    Args:
        path: What a caller gave.
        name: The argument that it was given as.

    Raises:
        InvalidArgumentError: It is not a path, or empty.
    """
    try:
        text = os.fspath(path)
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("bytes")
        os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise InvalidArgumentError(f"{name} {path!r:.200}: expected a file's path") from error
    if not text:
        # The system would take it for the current folder.
        raise InvalidArgumentError(f"{name} is empty: expected a file's path")
    return os.path.abspath(os.path.expanduser(text))


def mistake_in(path: str | os.PathLike[str]) -> str | None:
    r"""Return what a caller mistook for the path of a file, if there is no such file.

    Args:
        path: What the caller gave.

    Returns:
        A message; None if it looks like a path.

    Example:
        >>> mistake_in(r"C:\photos\new")
        >>> mistake_in("photos/*.jpg")
        "'photos/*.jpg' is a pattern, not a path: give a folder, or Path(...).glob(...)"
    """
    text = os.fspath(path)
    if "://" in text:
        return (
            f"{without_secrets(text)!r:.200} is a URL, not a path: give Remote([url]) to "
            "add_many(), or the bytes of the downloaded image"
        )
    if any(mark in text for mark in "\a\b\f\n\r\t\v"):
        return (
            f"there is no file {text!r:.200}. It holds a control character: write the "
            r"backslashes of a path as in r'C:\new', or use /"
        )
    if "*" in text:
        return f"{text!r:.200} is a pattern, not a path: give a folder, or Path(...).glob(...)"
    return None


def target_path(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Return the absolute path of a file or folder that is about to be opened or made.

    Args:
        path: What a caller gave.
        name: The argument that it was given as.

    Raises:
        InvalidArgumentError: No file can have that name.
    """
    absolute = absolute_path(path, name)
    if "\0" in absolute:
        raise InvalidArgumentError(f"{name} {absolute!r:.200} holds a NUL: expected a file's path")
    return Path(absolute)
