"""The folder that stored paths are relative to, so that an album can move."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxsearch.types import Record


@dataclass(frozen=True, slots=True)
class Root:
    """A folder: files below it are stored by their paths relative to it."""

    path: str | None
    """Absolute path, as it was given; None for an index without a root."""
    real: str | None = None
    """The same folder, symbolic links resolved: files may be named by either path."""

    @classmethod
    def at(cls, path: str) -> Root:
        """Return the root at an absolute path."""
        return cls(path, os.path.realpath(path))

    def below(self, path: str) -> str | None:
        """Return a path relative to the root, with `/` between names; None for one elsewhere."""
        for folder in (self.path, self.real):
            if folder is not None and is_below(path, folder):
                return path[len(os.path.join(folder, "")) :].replace(os.sep, "/")
        return None

    def absolute(self, relative: str) -> str | None:
        """Return the absolute path of a stored path; None for an index without a root."""
        if self.path is None:
            return None
        return os.path.join(self.path, relative.replace("/", os.sep))

    def id_of(self, path: str) -> str:
        """Return the id of the file at an absolute path, unless its caller chose one."""
        relative = self.below(path)
        return path if relative is None else relative

    def gave_id(self, record: Record) -> bool:
        """Return whether the id of an image is that of its path, and goes with it."""
        return record.uri is not None and record.id in (record.uri, self.id_of(record.uri))


NO_ROOT = Root(None)


def is_below(path: str, folder: str) -> bool:
    """Return whether an absolute path is that of a file below a folder, by the paths alone."""
    inside = os.path.join(folder, "")
    start = path[: len(inside)]
    return len(path) > len(inside) and os.path.normcase(start) == os.path.normcase(inside)


def is_relative(path: str) -> bool:
    """Return whether a stored path is one that `Root.below` returns: it never leaves the root."""
    # A snapshot or a store may come from anywhere, and on Windows a name may hold a drive.
    names = path.replace(os.sep, "/").split("/")
    return not os.path.splitdrive(path)[0] and not {"", ".", ".."} & set(names)
