"""Entries: the images that the bulk pipeline is asked to store, files and items alike."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias, cast
from uuid import uuid4

import numpy as np
from PIL import Image

from onnxsearch.catalog.root import Root
from onnxsearch.errors import BrokenImageError, ImageError, ImageNotFoundError
from onnxsearch.images.image_file import ImageFile, read_image_file
from onnxsearch.images.in_memory import ReadImage, read_image
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.types import ImageInput, JSONValue, OpenImage


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file, of which only the path is kept."""

    path: str
    """Absolute path."""
    name: str
    """What its outcome names."""
    id: str | None = None
    """The id that the caller chose; None for the id that the path gives it."""
    metadata: dict[str, JSONValue] | None = None
    """Metadata of this file; None if the caller gives none."""

    @property
    def has_own_id(self) -> bool:
        """Whether the caller chose the id: the image is stored even if a twin of it is."""
        return self.id is not None

    @property
    def uri(self) -> str:
        """Where the image comes from."""
        return self.path

    def id_below(self, root: Root) -> str:
        """Return the id to store it under, in an index with this root."""
        return self.id or root.id_of(self.path)

    def read(self, policy: ReadPolicy) -> ImageFile:
        """Read the file.

        Raises:
            ImageError: As for `read_image_file`.
        """
        return read_image_file(self.path, policy)


@dataclass(frozen=True, slots=True)
class ItemEntry:
    """An image from elsewhere: from memory, or from a function that opens it."""

    image: ImageInput | OpenImage
    name: str
    """What its outcome names."""
    id: str | None = None
    """The id that the caller chose; None for the id that the address gives it."""
    uri: str | None = None
    """Where the image comes from, as the caller says."""
    metadata: dict[str, JSONValue] | None = None
    """Metadata of this image; None if the caller gives none."""
    random_id: str = field(default_factory=lambda: uuid4().hex)
    """The id of an image that has neither an id nor an address."""

    @property
    def has_own_id(self) -> bool:
        """Whether the caller chose the id: the image is stored even if a twin of it is."""
        return self.id is not None

    @property
    def size(self) -> int:
        """Number of bytes that the image takes in memory before it is needed, as far as known."""
        if isinstance(self.image, bytes | bytearray):
            return len(self.image)
        if isinstance(self.image, memoryview | np.ndarray):
            return self.image.nbytes
        if isinstance(self.image, Image.Image):
            return self.image.width * self.image.height * len(self.image.getbands())
        return 0

    def id_below(self, root: Root) -> str:
        """Return the id to store it under, in an index with this root."""
        return self.id or (self.random_id if self.uri is None else root.id_of(self.uri))

    def read(self, policy: ReadPolicy) -> ReadImage:
        """Open and read the image.

        Raises:
            ImageError: There is none, or the function that opens it failed.
        """
        try:
            if not callable(self.image):
                return read_image(self.image, policy)
            opened = self.image()
            if not hasattr(opened, "close") or not hasattr(opened, "read"):
                return read_image(opened, policy)
            with closing(cast("BinaryIO", opened)):
                return read_image(opened, policy)
        except ImageError:
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ImageNotFoundError(self._failed(error)) from error
        except Exception as error:
            raise BrokenImageError(self._failed(error)) from error

    def _failed(self, error: Exception) -> str:
        return f"{self.name!r} cannot be opened: {type(error).__name__}: {error}"


Entry: TypeAlias = "FileEntry | ItemEntry"


def file_entry(path: str) -> FileEntry:
    """Return the entry of a file that is stored under its path."""
    return FileEntry(path, name=path)
