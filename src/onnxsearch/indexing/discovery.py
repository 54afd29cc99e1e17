"""From what a caller wants indexed to the files that are met."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from onnxsearch._internal.paths import absolute_path
from onnxsearch.errors import EmptySourceError, ImageNotFoundError, InvalidArgumentError


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files to index."""

    paths: list[str]
    """Absolute paths; each stands here once."""
    folder: str | None = None
    """The folder they were found in; None if they were named one by one."""


def read_source(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> FileSet:
    """Return the files that `source` stands for.

    A folder stands for every file in it and below, in order of their names;
    linked files are among them, linked folders are not entered, since they can
    form circles. A folder that cannot be read is met as one unreadable file. A file
    stands for itself.

    Args:
        source: A folder, a file, or an iterable of files.

    Raises:
        ImageNotFoundError: There is no such folder or file.
        EmptySourceError: The folder holds no file.
        InvalidArgumentError: It is neither path nor iterable of paths.
    """
    if not isinstance(source, str | os.PathLike):
        return FileSet(list(dict.fromkeys(_named(source))))
    path = absolute_path(source, "source")
    if not os.path.lexists(path):
        raise ImageNotFoundError(f"there is no folder or file {path!r}")
    if not os.path.isdir(path):
        return FileSet([path])
    paths = list(_walk(path))
    if not paths:
        raise EmptySourceError(
            f"folder {path!r} holds no file: give a folder with pictures in it or below it"
        )
    return FileSet(paths, path)


def _named(source: Iterable[object]) -> Iterator[str]:
    if not isinstance(source, Iterable):
        raise _not_files(source)
    for path in source:
        if not isinstance(path, str | os.PathLike):
            raise _not_files(source)
        yield absolute_path(path, "source")


def _not_files(source: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"source of type {type(source).__name__} cannot be indexed: expected a folder, a file, "
        "or an iterable of files. An image in memory is stored with add()"
    )


def _walk(folder: str) -> Iterator[str]:
    unreadable: list[str] = []
    for root, folders, files in os.walk(folder, onerror=lambda e: unreadable.append(e.filename)):
        folders.sort()
        for name in sorted(files):
            yield os.path.join(root, name)
    # They take part like files, so that the report tells of them.
    yield from unreadable
