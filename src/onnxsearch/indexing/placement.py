"""Where the files of a run are relative to the root of the index."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from onnxsearch._internal.paths import absolute_path
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.relocation import set_root
from onnxsearch.catalog.root import Root, is_below
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.discovery import FileSet
from onnxsearch.types import Outcome


def place_files(catalog: Catalog, files: FileSet, given: str | os.PathLike[str] | None) -> FileSet:
    """Set the root of the index, and return the files as they are named below it.

    A symbolic link may lead to the root or the files; files below the root are named by the
    path that the root was given by, whichever way they were reached.

    Args:
        catalog: The index.
        files: The files of a run.
        given: The root; None for the root that the index has, if any.

    Raises:
        InvalidArgumentError: The root is no folder, a file is outside it, or the index has
            another one.
        StoreError: A store failed.
    """
    if given is None:
        root = set_root(catalog, None)
        return files if root.path is None else _respelled(files, root)
    root = Root.at(root_path(given))
    placed = _respelled(files, root)
    _check_below(placed, root)
    set_root(catalog, root.path)
    return placed


def root_path(given: str | os.PathLike[str]) -> str:
    """Return the absolute path of a folder that is given as root.

    Raises:
        InvalidArgumentError: It is no folder.
    """
    path = absolute_path(given, "root")
    if not os.path.isdir(path):
        why = "is not a folder" if os.path.lexists(path) else "does not exist"
        raise InvalidArgumentError(f"root {path!r} {why}: expected the folder of the album")
    return path


def _respelled(files: FileSet, root: Root) -> FileSet:
    """Return files that are below the root with paths that begin with its path."""
    if files.folder is None:
        entries = _entries(files.entries, root)
        return replace(files, entries=entries)
    folder = _below(files.folder, root)
    if folder is None or folder == files.folder:
        return files
    return FileSet([_moved(entry, files.folder, folder) for entry in files.entries], folder)


def _entries(entries: Iterable[str | Outcome], root: Root) -> list[str | Outcome]:
    folders: dict[str, str | None] = {}
    placed: list[str | Outcome] = []
    for entry in entries:
        path = entry if isinstance(entry, str) else entry.uri
        folder = os.path.dirname(path)
        if folder not in folders:
            folders[folder] = _below(folder, root)
        placed.append(_moved(entry, folder, folders[folder] or folder))
    return list(dict.fromkeys(placed))


def _below(folder: str, root: Root) -> str | None:
    """Return a folder's path below the root's path; None for a folder elsewhere."""
    for path in (folder, os.path.realpath(folder)):
        if path in (root.path, root.real):
            return root.path
        relative = root.below(path)
        if relative is not None:
            return root.absolute(relative)
    return None


def _moved(entry: str | Outcome, folder: str, goal: str) -> str | Outcome:
    """Return an entry of a folder that has another path."""
    path = entry if isinstance(entry, str) else entry.uri
    moved = os.path.join(goal, path[len(os.path.join(folder, "")) :])
    return moved if isinstance(entry, str) else replace(entry, uri=moved)


def _check_below(files: FileSet, root: Root) -> None:
    paths = (entry if isinstance(entry, str) else entry.uri for entry in files.entries)
    outside = (path for path in paths if not is_below(path, str(root.path)))
    folder = files.folder if files.folder and _below(files.folder, root) is None else None
    if (first := folder or next(outside, None)) is not None:
        raise InvalidArgumentError(
            f"{first!r} is outside root {root.path!r}: give a root that holds all files of the "
            "source, or index this one without root="
        )
