"""Images that an agent gives: in base64, or files in folders that the user allows."""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from onnxsearch._internal.open_files import open_to_read
from onnxsearch._internal.paths import target_path
from onnxsearch.errors import ImageError, ImageTooLargeError, InvalidArgumentError

_MOST_BYTES = 32 << 20
"""Bytes of an image: more than cameras make, and little enough for the memory."""
_DATA_URI = re.compile(r"data:[\w.+/-]{0,60};base64,")


def decoded(text: str) -> bytes:
    """Return the image that a text in base64 holds, with `data:image/...;base64,` before it or not.

    Raises:
        ImageTooLargeError: It has more than 32 MiB.
        InvalidArgumentError: It is not base64.
    """
    if len(text) > _MOST_BYTES * 4 // 3 + 100:
        raise _too_large("the image")
    prefix = _DATA_URI.match(text)
    try:
        return base64.b64decode(text[prefix.end() if prefix else 0 :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError(
            "image is not base64: expected the bytes of an image file in base64, without line "
            "breaks; for a file of this machine, give path instead"
        ) from error


class AllowedFolders:
    """The folders of which an agent may read images.

    A path counts as what it really is: links are followed, and `..` resolved, before it is
    compared. Of a path elsewhere nothing is looked at, not even whether it exists.

    Args:
        folders: The folders; none by default.

    Raises:
        InvalidArgumentError: One of them is not there.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]] = ()) -> None:
        self._folders: Sequence[str] = [_real_folder(folder) for folder in folders]

    def read(self, path: str) -> bytes:
        """Return the bytes of an image file.

        Args:
            path: The file; a relative path is one below an allowed folder.

        Raises:
            InvalidArgumentError: It is in none of the folders.
            ImageError: It cannot be read.
        """
        real = self._resolved(path)
        try:
            status = os.stat(real)
            # Opening a pipe would wait for its other end.
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"path {path!r:.200} is not a file")
            with open_to_read(real) as file:
                # A name that became another file's meanwhile may lead elsewhere.
                if not os.path.samestat(os.fstat(file.fileno()), status):
                    raise ImageError(f"path {path!r:.200} is changing: try again")
                data = file.read(_MOST_BYTES + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ImageError(f"path {path!r:.200} cannot be read: {reason}") from error
        if len(data) > _MOST_BYTES:
            raise _too_large(f"path {path!r:.200}")
        return data

    def _resolved(self, path: str) -> str:
        if not self._folders:
            raise InvalidArgumentError(
                "path: no folder is allowed. Give the image in base64 as image; or ask the user to "
                "start the server with --allow FOLDER"
            )
        for folder in self._folders:
            try:
                real = os.path.realpath(os.path.join(folder, path))
            except (OSError, ValueError):  # no file has such a name
                continue
            if Path(real).is_relative_to(folder):
                return real
        raise InvalidArgumentError(
            f"path {path!r:.200} is not in an allowed folder, which are "
            f"{', '.join(map(repr, self._folders))}: give a path there, or the image in base64 "
            "as image"
        )


def _real_folder(folder: str | os.PathLike[str]) -> str:
    path = target_path(folder, "allow")
    if not path.is_dir():
        raise InvalidArgumentError(f"allow {str(path)!r}: there is no such folder")
    return os.path.realpath(path)


def _too_large(what: str) -> ImageTooLargeError:
    return ImageTooLargeError(f"{what} has more than {_MOST_BYTES >> 20} MiB: give a smaller copy")
