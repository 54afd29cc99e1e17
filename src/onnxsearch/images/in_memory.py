"""Images that callers give in any form, each read once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from onnxsearch._internal.paths import absolute_path
from onnxsearch.images.image_file import ImageFile, content_hash, most_bytes, read_image_file
from onnxsearch.images.reading import ReadPolicy, all_bytes, open_image
from onnxsearch.types import ImageInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


@dataclass(frozen=True, slots=True)
class ImageInMemory:
    """An image that was given as bytes, as an array or as a Pillow image."""

    data: bytes | Image.Image | NDArray[np.uint8]
    content: str | None = None
    """BLAKE2b-128 of the bytes, in hex; None for an image that was decoded already."""

    @property
    def size(self) -> int | None:
        """Number of bytes; None for an image that was decoded already."""
        return len(self.data) if isinstance(self.data, bytes) else None

    def decode(self, policy: ReadPolicy) -> Image.Image:
        """Return the image.

        Raises:
            ImageError: It is not one that the policy accepts.
        """
        return open_image(self.data, policy)


ReadImage: TypeAlias = "ImageFile | ImageInMemory"
"""An image that was read, and not yet decoded."""


def read_image(image: ImageInput, policy: ReadPolicy) -> ReadImage:
    """Read an image of any form; a path is read as a file.

    Raises:
        ImageError: As for `read_image_file`; or a binary file cannot be read, or holds more
            bytes than an image within the limit.
        InvalidArgumentError: No file can have this path.
    """
    if isinstance(image, str | os.PathLike):
        return read_image_file(absolute_path(image), policy)
    if isinstance(image, bytes | bytearray | memoryview):
        return _of_bytes(bytes(image))
    if hasattr(image, "read"):
        return _of_bytes(all_bytes(cast("BinaryIO", image), most_bytes(policy)))
    return ImageInMemory(image)  # pyright: ignore[reportArgumentType]


def _of_bytes(data: bytes) -> ImageInMemory:
    return ImageInMemory(data, content_hash(data))
