"""The files of the stores that this process has open; no other code may open them.

SQLite locks its files with `fcntl`. POSIX drops all such locks that a process has on a
file as soon as the process closes any descriptor of that file:
https://www.sqlite.org/howtocorrupt.html, 2.2. The next process that opens the database
then deletes a log that is in use, and with it acknowledged rows. So code that opens files
which a user names, or which a folder holds, opens them here.
"""

from __future__ import annotations

import errno
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import NamedTuple
from weakref import ref

_SUFFIXES = ("", "-wal", "-shm")
"""Endings that SQLite appends to the name of a database for the files beside it."""
MAPPED = "-rows-"
"""What follows the name of a database in the names of files that hold a copy of its rows."""


class StoreFileError(OSError):
    """The file belongs to a store that is open in this process; it was not opened."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EBUSY, "it belongs to an index that is open in this process", path)


class _Identity(NamedTuple):
    """The identity of a file, whatever its name."""

    device: int
    inode: int


class StoreFiles(ABC):
    """The files of one open store, from before it is opened until after it is closed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.realpath(path)
        with _lock:
            _open[:] = [known for known in _open if known() is not None] + [ref(self)]

    def release(self) -> None:
        """Record that the store is closed; a second call does nothing."""
        with _lock:
            _open[:] = [known for known in _open if known() not in (None, self)]
            _close_parked()

    @abstractmethod
    def include(self, path: str, status: os.stat_result) -> bool:
        """Return whether the file at `path`, of this status, is one of them."""


class DatabaseFiles(StoreFiles):
    """An SQLite database and the files beside it, which may appear later."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._seen: dict[str, _Identity] = {}
        self._mapped = os.path.basename(os.path.realpath(path)) + MAPPED
        super().__init__(path)

    def look(self) -> None:
        """Remember the identities of the files, which may be renamed while they are open."""
        with _lock:
            for suffix in _SUFFIXES:
                with suppress(OSError):
                    self._seen[suffix] = _identity(os.stat(self._path + suffix))

    def include(self, path: str, status: os.stat_result) -> bool:
        """Return whether the file is the database or one of the files beside it."""
        # Copies of rows come and go. No lock is lost when they are opened, so no link matters.
        if self._mapped in path and os.path.basename(path).startswith(self._mapped):
            return os.path.dirname(os.path.realpath(path)) == os.path.dirname(self._path)
        # Once SQLite has opened all of them, they stay until it closes them.
        if len(self._seen) < len(_SUFFIXES):
            self.look()
        return _identity(status) in self._seen.values()


class FolderFiles(StoreFiles):
    """All files in and below a folder."""

    def include(self, path: str, status: os.stat_result) -> bool:
        """Return whether the file is below the folder, or a hard link to such a file."""
        if os.path.realpath(path).startswith(os.path.join(self._path, "")):
            return True
        # A file elsewhere that has one name only is not in the folder.
        return status.st_nlink > 1 and self._holds(status)

    def _holds(self, status: os.stat_result) -> bool:
        return any(
            _is(os.path.join(root, name), status)
            for root, _, files in os.walk(self._path)
            for name in files
        )


_lock = threading.RLock()
# A store that is dropped without being closed is closed with its object. Later files may get
# the numbers of its files, and are not to be taken for these. A WeakSet is iterated over in
# several times the time, for each file that is read.
_open: list[ref[StoreFiles]] = []
_parked: list[BufferedReader] = []
"""Files that were read and cannot be closed yet, since a store has been opened on them."""


def is_store_file(path: str | os.PathLike[str], status: os.stat_result | None = None) -> bool:
    """Return whether a file belongs to a store that is open in this process.

    Hard and symbolic links are recognised. The file is not opened.

    Args:
        path: The file.
        status: What `os.stat(path)` returned, where it is known.

    Raises:
        OSError: There is no such file.
    """
    with _lock:
        if not _open:
            return False
        found = os.stat(path) if status is None else status
        name, stores = os.fspath(path), [known() for known in _open]
        return any(files is not None and files.include(name, found) for files in stores)


@contextmanager
def open_to_read(
    path: str | os.PathLike[str], status: os.stat_result | None = None
) -> Iterator[BufferedReader]:
    """Open a file to read, unless it belongs to a store that is open in this process.

    If a store is opened on the file while it is read, the descriptor stays open until
    that store is closed.

    Args:
        path: The file.
        status: What `os.stat(path)` returned just now, where it is known.

    Raises:
        StoreFileError: It belongs to such a store.
        OSError: It cannot be opened.
    """
    if is_store_file(path, status):
        raise StoreFileError(os.fspath(path))
    file = open(path, "rb")  # noqa: SIM115, closed or parked below
    try:
        # The name may have become another file's since it was looked at.
        if is_store_file(path, os.fstat(file.fileno())):
            raise StoreFileError(os.fspath(path))
        yield file
    finally:
        with _lock:
            _parked.append(file)
            _close_parked()


def _close_parked() -> None:
    for file in _parked.copy():
        if not is_store_file(file.name, os.fstat(file.fileno())):
            _parked.remove(file)
            file.close()


def _is(path: str | os.PathLike[str], status: os.stat_result) -> bool:
    try:
        return _identity(os.stat(path)) == _identity(status)
    except OSError:
        return False  # it is gone


def _identity(status: os.stat_result) -> _Identity:
    return _Identity(status.st_dev, status.st_ino)
