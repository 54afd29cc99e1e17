"""Archives as sources of images."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from onnxsearch._internal.validation import integer
from onnxsearch.errors import BrokenImageError, ImageError, InvalidArgumentError
from onnxsearch.images.image_file import most_bytes
from onnxsearch.images.reading import READ_STRICTLY
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.sources.files import open_source, source_file
from onnxsearch.indexing.sources.members import Budget, MemberSelection
from onnxsearch.indexing.sources.tar_archive import compression, is_tar, tar_members
from onnxsearch.indexing.sources.zip_archive import zip_members
from onnxsearch.types import Item, Outcome

_HEAD = 512
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


class Archive:
    """The images in a zip or tar archive, also one compressed by gzip, bzip2 or xz.

    The content decides which it is, not the name, so comic books (`.cbz`, `.cbt`) work too.
    Nothing is unpacked to disk. The id of a member, and its `uri`, is the absolute path of the
    archive, `!/` and the member's name: `/photos/trip.zip!/day 1/sea.jpg`.

    Hidden files, files of operating systems and files that are not images are skipped, as in
    a folder. Links, devices and archives in the archive are skipped too. Encrypted members,
    and names that lead out of the archive, count as failures. An archive that expands to
    more than 200 times its size (above 1 GiB), or has more than a million members, is read up
    to there, and so is a tar archive that is damaged or cut short; a last outcome, of the
    archive itself, says why it ended. A zip archive that is cut short has lost its directory,
    and none of it is read.

    Worker threads read the members of a zip archive side by side. A tar archive is read
    from beginning to end.

    Args:
        path: The archive; `~` is expanded.
        exclude: Patterns as in a `.gitignore` file, relative to the archive. Needs the extra
            `[patterns]`.
        include_hidden: Keep members whose name, or a folder of it, begins with a dot.
        max_bytes: Bytes of a member, at most. By default as many as an uncompressed image
            of 100 million pixels may have.

    Raises:
        ImageNotFoundError: There is no such file.
        InvalidArgumentError: It is not an archive, or an argument has a wrong type or value.
        UnsupportedImageError: It is a folder or a device, or belongs to an index that is open
            in this process.
        BrokenImageError: It cannot be read.
        MissingExtraError: `exclude` needs a package that is not installed.

    Example:
        >>> engine.add_many(Archive("trip.zip", exclude=["raw/"]))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        exclude: Sequence[str] = (),
        include_hidden: bool = False,
        max_bytes: int = most_bytes(READ_STRICTLY),
    ) -> None:
        self._exclusion = Exclusion(exclude, include_hidden=include_hidden)
        self._max_bytes = integer("max_bytes", max_bytes, least=1)
        self._path = source_file(path)
        with open_source(self._path) as file:
            if not _is_archive(file):
                raise InvalidArgumentError(
                    f"path {self._path!r} is not an archive: expected a zip or tar file, also one "
                    "compressed by gzip, bzip2 or xz"
                )

    def __iter__(self) -> Iterator[Item | Outcome]:
        """Yield the members, and outcomes of those that are left out."""
        found = False
        try:
            with open_source(self._path) as file:
                for member in self._members(file):
                    found = True
                    yield member
            if not found:
                raise BrokenImageError(f"archive {self._path!r} holds no file")
        except ImageError as error:
            yield failure(self._path, error)

    def __repr__(self) -> str:
        return f"Archive({self._path!r})"

    def _members(self, file: BinaryIO) -> Iterator[Item | Outcome]:
        selection = MemberSelection(self._path, self._exclusion)
        budget = Budget(self._path, os.fstat(file.fileno()).st_size, self._max_bytes)
        read = tar_members if _is_tar(_head(file)) else zip_members
        return read(file, selection, budget)


def _is_archive(file: BinaryIO) -> bool:
    head = _head(file)
    return _is_tar(head) or head.startswith(_ZIP) or zipfile.is_zipfile(file)


def _is_tar(head: bytes) -> bool:
    """Return whether a file is a tar archive, or compressed, as only tar archives are here."""
    return not head.startswith(_ZIP) and (is_tar(head) or compression(head) is not None)


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(0)
    return head
