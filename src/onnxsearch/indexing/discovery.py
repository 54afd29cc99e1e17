"""Discovery of the files to index."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from onnxsearch._internal.open_files import is_store_file
from onnxsearch._internal.paths import absolute_path, mistake_in
from onnxsearch.errors import EmptySourceError, ImageNotFoundError, InvalidArgumentError
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.types import Outcome, Status


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files to index."""

    entries: list[str | Outcome]
    """Absolute paths, each once, and the outcomes of what is skipped."""
    folder: str | None = None
    """The folder that was walked; None if the files were named."""


def read_source(
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    exclusion: Exclusion,
    *,
    allow_empty: bool = False,
) -> FileSet:
    """Return the files that `source` stands for.

    A folder stands for every file in it and below, in order of their names. Linked files
    are included; linked folders are skipped, since they can form circles. A folder that
    cannot be read counts as one unreadable file. A file stands for itself. Files of a store
    that is open in this process are left out.

    Args:
        source: A folder, a file, or an iterable of files.
        exclusion: Decides what is skipped. Files that are named are skipped for a pattern
            only.
        allow_empty: Accept a folder that holds no file, or does not exist.

    Raises:
        ImageNotFoundError: There is no such folder or file.
        EmptySourceError: The folder holds no file.
        InvalidArgumentError: It is neither a path nor an iterable of paths.
    """
    if not isinstance(source, str | os.PathLike):
        named = dict.fromkeys(_named(source))
        return FileSet([_unless_excluded(p, exclusion) for p in named if not _is_store_file(p)])
    path = absolute_path(source, "source")
    exists = os.path.lexists(path)
    if not exists and not allow_empty:
        raise ImageNotFoundError(mistake_in(source) or f"there is no folder or file {path!r}")
    if exists and not os.path.isdir(path):
        return FileSet([] if _is_store_file(path) else [_unless_excluded(path, exclusion)])
    found = list(_walk(path, exclusion))
    if not found and not allow_empty:
        raise EmptySourceError(
            f"folder {path!r} holds no file: give a folder with images in it or below it"
        )
    entries = [each for each in found if isinstance(each, Outcome) or not _is_store_file(each)]
    return FileSet(entries, path)


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


def _unless_excluded(path: str, exclusion: Exclusion) -> str | Outcome:
    reason = exclusion.pattern_reason(path.replace(os.sep, "/").lstrip("/"))
    return path if reason is None else _skipped(path, reason)


def read_some(folder: str, paths: Iterable[str], exclusion: Exclusion) -> FileSet:
    """Return some of the files that `read_source` returns for a folder.

    Args:
        folder: Absolute path of the folder.
        paths: Files, and folders with all below them, in the folder. Those that do not exist
            are left out, and those in folders that are skipped.
        exclusion: Decides what is skipped, as for the whole folder.
    """
    entries: dict[str | Outcome, None] = {}
    for path in sorted(path for path in paths if os.path.lexists(path)):
        if _is_store_file(path) or is_left_out(folder, path, exclusion):
            continue
        is_folder = os.path.isdir(path)
        if not is_folder or not os.path.islink(path):
            entries |= dict.fromkeys(_walk(folder, exclusion, path) if is_folder else [path])
    return FileSet([e for e in entries if isinstance(e, Outcome) or not _is_store_file(e)], folder)


def is_left_out(folder: str, path: str, exclusion: Exclusion) -> bool:
    """Return whether a walk of a folder skips a path in it, or a folder that the path is in."""
    *parents, name = os.path.relpath(path, folder).split(os.sep)
    for number in range(1, len(parents) + 1):
        below = "/".join(parents[:number])
        if exclusion.reason(below, is_folder=True) or os.path.islink(os.path.join(folder, below)):
            return True
    below = "/".join([*parents, name])
    return exclusion.reason(below, is_folder=os.path.isdir(path)) is not None


def _walk(folder: str, exclusion: Exclusion, top: str | None = None) -> Iterator[str | Outcome]:
    """Yield what is in a folder, or in the folder `top` below it."""
    unreadable: list[str] = []
    walked = os.walk(top or folder, onerror=lambda e: unreadable.append(e.filename))
    for root, folders, files in walked:
        below = os.path.relpath(root, folder).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        for name in sorted(files):
            reason = exclusion.reason(prefix + name, is_folder=False)
            path = os.path.join(root, name)
            yield path if reason is None else _skipped(path, reason)
        entered: list[str] = []
        for name in sorted(folders):
            reason = exclusion.reason(prefix + name, is_folder=True)
            path = os.path.join(root, name)
            if reason is None and os.path.islink(path):
                reason = "a linked folder; index the folder that it leads to"
            if reason is None:
                entered.append(name)
            elif not _is_of_a_store(path):
                yield _skipped(path, reason)
        folders[:] = entered
    # They take part like files, so that the report has an outcome of each.
    yield from unreadable


def _skipped(path: str, reason: str) -> Outcome:
    return Outcome(path, Status.SKIPPED, error=f"{path!r} is {reason}")


def _is_store_file(path: str) -> bool:
    try:
        return is_store_file(path)
    except (OSError, ValueError):
        return False  # detect_changes reports it


def _is_of_a_store(folder: str) -> bool:
    """Return whether a folder belongs to an open store, or holds nothing but its files."""
    if _is_store_file(folder):
        return True
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return bool(names) and all(_is_store_file(os.path.join(folder, name)) for name in names)
