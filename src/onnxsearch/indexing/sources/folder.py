"""Folders as sources of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from onnxsearch._internal.paths import absolute_path
from onnxsearch.errors import ImageError, ImageNotFoundError, InvalidArgumentError
from onnxsearch.images.formats import HEAD, has_image_name
from onnxsearch.indexing.discovery import read_source
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.sources.files import check_head, open_source
from onnxsearch.types import Item, Outcome


class Folder:
    """The images in a folder and below, in order of their names.

    For `add_many`, beside other sources or with metadata of your own; `index` stores a folder
    more cleverly, since it recognises files that were moved. The same files are skipped.

    Args:
        path: The folder; `~` is expanded.
        exclude: Patterns as in a `.gitignore` file, relative to the folder. Needs the extra
            `[patterns]`.
        include_hidden: Keep files and folders whose name begins with a dot.

    Raises:
        ImageNotFoundError: There is no such folder.
        InvalidArgumentError: It is a file, or an argument has a wrong type or value.
        MissingExtraError: `exclude` needs a package that is not installed.

    Example:
        >>> engine.add_many(Folder("~/Pictures", exclude=["raw/"]))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        exclude: Sequence[str] = (),
        include_hidden: bool = False,
    ) -> None:
        self._exclusion = Exclusion(exclude, include_hidden=include_hidden)
        self._path = absolute_path(path)
        if not os.path.lexists(self._path):
            raise ImageNotFoundError(f"there is no folder {self._path!r}")
        if not os.path.isdir(self._path):
            raise InvalidArgumentError(
                f"path {self._path!r} is a file: expected a folder. Give a file itself to add_many"
            )

    def __iter__(self) -> Iterator[Item | Outcome]:
        """Yield the files, and outcomes of those that are skipped."""
        for entry in read_source(self._path, self._exclusion).entries:
            yield entry if isinstance(entry, Outcome) else found_file(entry)


def found_file(path: str) -> Item | Outcome:
    """Return the item of a file that a folder holds, or an outcome if it is not an image."""
    if not has_image_name(path):
        try:
            with open_source(path) as file:
                check_head(file.read(HEAD), path, path)
        except ImageError as error:
            return failure(path, error, named=False)
    return Item(path)
