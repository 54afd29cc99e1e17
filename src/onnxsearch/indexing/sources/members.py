"""Members of archives: which are taken, and how much of an archive is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from onnxsearch.errors import ImageTooLargeError
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.types import Outcome, Status

MOST_MEMBERS = 1_000_000
"""Members of an archive, at most; ImageNet, in several archives, has 1.4 million images."""

MOST_EXPANSION = 200
"""How many times its own size an archive may expand to, above `FREE_EXPANSION`. Deflated
photographs hardly shrink, and drawings by a factor of some ten; bombs reach 1,000 and more."""

FREE_EXPANSION = 2**30
"""Bytes that any archive may expand to, 1 GiB: small archives of blank scans are no bombs."""

FREE_MEMBER = 2**26
"""Bytes that any member may expand to, 64 MiB."""

_LONGEST_NAME = 4_096
"""Characters of a member's name: the longest path of Linux."""

_DEEPEST = 100
"""Folders that a member is in, at most."""

_ARCHIVE = re.compile(r"\.(7z|bz2|cb[7rtz]|gz|jar|lzma|rar|tar|tbz2?|tgz|txz|xz|zip|zst)$", re.I)
_HERE = re.compile(r"^(\./)+")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(slots=True)
class MemberSelection:
    """Decides which members of one archive are taken, and counts them.

    Args:
        archive: Absolute path of the archive.
        exclusion: Decides by names, as in a folder.
    """

    archive: str
    exclusion: Exclusion
    _count: int = 0
    _names: set[str] = field(default_factory=set[str])
    _skipped: set[str] = field(default_factory=set[str])
    """Folders that have their outcome."""
    _entered: str = ""
    """The folder of the last member that is in no skipped folder."""

    def uri(self, name: str) -> str:
        """Return the address of a member: the path of the archive, `!/` and the name."""
        return f"{self.archive}!/{_plain(name)}"

    def left_out(self, name: str, *, kind: str | None = None) -> list[Outcome] | None:
        """Return the outcomes of a member that is not taken; None if it is taken.

        A folder that is skipped has one outcome, as in a folder on disk, and its members none.

        Args:
            name: The member's name, as the archive has it.
            kind: What the member is if not a file, such as "a symbolic link".

        Raises:
            ImageTooLargeError: The archive has too many members.
        """
        self._count += 1
        if self._count > MOST_MEMBERS:
            raise ImageTooLargeError(
                f"{self.archive!r} has more than {MOST_MEMBERS:,} members; the others are not read"
            )
        shown = _plain(name)[:_LONGEST_NAME]
        if shown in self._names:
            # Not its own address, under which the report has the earlier member.
            return [self.skipped(f"{shown}#{self._count}", "has the name of an earlier member")]
        self._names.add(shown)
        reason = _unsafe(name)
        return self._by_name(name, kind) if reason is None else [self.refused(shown, reason)]

    def refused(self, name: str, reason: str) -> Outcome:
        """Return the outcome of a member that cannot be read."""
        uri = self.uri(name)
        return Outcome(uri, Status.UNSUPPORTED, error=f"member {uri!r} {reason}")

    def skipped(self, name: str, reason: str) -> Outcome:
        """Return the outcome of a member that is not an image."""
        uri = self.uri(name)
        return Outcome(uri, Status.SKIPPED, error=f"member {uri!r} {reason}")

    def too_large(self, name: str, reason: str) -> Outcome:
        """Return the outcome of a member that is too large."""
        uri = self.uri(name)
        return Outcome(uri, Status.TOO_LARGE, error=f"member {uri!r} {reason}")

    def _by_name(self, name: str, kind: str | None) -> list[Outcome] | None:
        path = _plain(name).replace("\\", "/")
        outcomes = self._of_skipped_folder(path)
        if outcomes is not None:
            return outcomes
        reason = self.exclusion.reason(path, is_folder=False)
        if reason is not None:
            return [self.skipped(name, f"is {reason}")]
        if kind is not None:
            return [self.skipped(name, f"is {kind}, not a file")]
        if _ARCHIVE.search(path):
            return [self.skipped(name, "is an archive in an archive: unpack it first")]
        return None

    def _of_skipped_folder(self, path: str) -> list[Outcome] | None:
        """Return the outcome of the skipped folder that a path is in, the first time."""
        folder = path.rpartition("/")[0]
        if folder == self._entered:
            return None
        for end in (place for place, letter in enumerate(path) if letter == "/"):
            above = path[:end]
            if above in self._skipped:
                return []
            reason = self.exclusion.reason(above, is_folder=True)
            if reason is not None:
                self._skipped.add(above)
                return [self.skipped(above, f"is {reason}")]
        self._entered = folder
        return None


@dataclass(slots=True)
class Budget:
    """How much of one archive is read, so that bombs stay small.

    Args:
        archive: Absolute path of the archive.
        archive_size: Bytes of the archive.
        max_bytes: Bytes of a member, at most.
    """

    archive: str
    archive_size: int
    max_bytes: int
    _expanded: int = 0

    def too_large(self, size: int, stored: int | None = None) -> str | None:
        """Return why a member is not read; None if it is small enough.

        Args:
            size: Its bytes, as the archive declares them.
            stored: Bytes that it takes in the archive, where that is known.
        """
        if size > self.max_bytes:
            return f"has {size:,} bytes: expected at most {self.max_bytes:,} (`max_bytes`)"
        if stored is not None and size > max(FREE_MEMBER, MOST_EXPANSION * stored):
            return (
                f"expands from {stored:,} to {size:,} bytes, as a bomb does: expected at most "
                f"{MOST_EXPANSION} times its size"
            )
        return None

    def spend(self, size: int) -> None:
        """Count bytes of the expanded archive.

        Raises:
            ImageTooLargeError: The archive expands to more than it may.
        """
        self._expanded += size
        limit = max(FREE_EXPANSION, MOST_EXPANSION * self.archive_size)
        if self._expanded > limit:
            raise ImageTooLargeError(
                f"{self.archive!r} expands from {self.archive_size:,} to more than {limit:,} "
                "bytes, as a bomb does: the rest of it is not read"
            )


def _plain(name: str) -> str:
    """Return a name without the `./` that tar writes before names in the current folder."""
    return _HERE.sub("", name)


def _unsafe(name: str) -> str | None:
    """Return why a name is not one of a file in an archive; None if it is one."""
    parts = name.replace("\\", "/").split("/")
    if not name.strip() or "\0" in name:
        return "has no usable name"
    if len(name) > _LONGEST_NAME:
        return f"has a name of {len(name):,} characters: expected at most {_LONGEST_NAME:,}"
    if len(parts) > _DEEPEST:
        return f"is in {len(parts):,} folders, one in another: expected at most {_DEEPEST}"
    if ".." in parts or not parts[0] or _DRIVE.match(name):
        return "has a name that leads out of the archive: expected names below its top folder"
    return None
