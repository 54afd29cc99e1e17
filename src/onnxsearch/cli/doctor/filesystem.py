"""Checks of the folders of an index: rights, disk space, and file systems over a network."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from onnxsearch.cli.doctor.checks import CheckResult, error, ok, warning

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|ceph|glusterfs|lustre|afs|ncpfs|beegfs|gpfs|fuse\.(?!fuse-overlayfs).*"
)
"""File systems whose locks may not reach other machines, or at all."""
_LEAST = 64 << 20
"""Bytes without which hardly anything can be written."""
_ROOM = 1.2
"""A mapped copy of the vectors takes this many times their size."""
_GIB = float(1 << 30)


def rights(files: list[Path]) -> Iterator[CheckResult]:
    """Find files that cannot be read or written, and those that others may write.

    Args:
        files: The files of the index that exist.
    """
    for file in files:
        if not os.access(file, os.R_OK):
            found = f"{str(file)!r} cannot be read by this user"
            yield error("files.rights", found, "give the user the right to read it: chmod u+r")
            return
    closed = [path for path in {*files, *(file.parent for file in files)} if not _writable(path)]
    if closed:
        found = f"{str(min(closed))!r} cannot be written: the index can be searched only"
        yield warning("files.rights", found, "to index, give the user the right to write there")
    elif shared := [file for file in files if file.stat().st_mode & stat.S_IWOTH]:
        found = f"every user of the machine may write to {str(shared[0])!r}"
        yield warning("files.rights", found, f"chmod o-w {shared[0]}")
    else:
        yield ok("files.rights", "the files of the index can be read and written")


def disk(files: list[Path]) -> Iterator[CheckResult]:
    """Find a disk that is full, or soon will be.

    Args:
        files: The files of the index that exist, or the folder that it would be in.
    """
    folder = files[0] if files[0].is_dir() else files[0].parent
    space = os.statvfs(folder) if hasattr(os, "statvfs") else None
    if space is None:
        return
    free, size = space.f_bavail * space.f_frsize, sum(_size(file) for file in files)
    found = (
        f"{free / _GIB:.1f} GiB are free at {str(folder)!r}; the index has {size / _GIB:.2f} GiB"
    )
    if free < _LEAST or (space.f_files and not space.f_favail):
        what = found if free < _LEAST else f"no further file can be made at {str(folder)!r}"
        yield error("files.disk", what, "make room, or move the index to another disk")
    elif free < size * _ROOM:
        remedy = "make room: the copy that searches map takes 1.2 times the size of the vectors"
        yield warning("files.disk", found, remedy)
    else:
        yield ok("files.disk", found)


def network(files: list[Path]) -> Iterator[CheckResult]:
    """Find an index on a file system over a network.

    Args:
        files: The files of the index that exist.
    """
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return
    for file in files:
        kind = _file_system(os.path.realpath(file), mounts)
        if _NETWORK.fullmatch(kind):
            found = f"{str(file)!r} is on {kind}, a file system over a network"
            remedy = (
                "move the index to a local disk: SQLite and Milvus Lite need its locks. For "
                "several machines use a Milvus server and Redis"
            )
            yield warning("files.network", found, remedy)
            return
    yield ok("files.network", "the index is on a local file system")


def _file_system(path: str, mounts: list[str]) -> str:
    """Return the type of the file system that holds a path."""
    longest, kind = "", ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        # Spaces and a few other characters are written as \040.
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        # The last one of several that are mounted over each other counts.
        if inside and len(place) >= len(longest):
            longest, kind = place, after.split(" ")[0]
    return kind


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK)


def _size(path: Path) -> int:
    total = 0
    for each in path.rglob("*") if path.is_dir() else [path]:
        with suppress(FileNotFoundError):  # Milvus Lite has removed it meanwhile
            total += each.stat().st_size
    return total
