"""Small versions of images for reports."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

from PIL import Image

from onnxsearch.errors import ImageError
from onnxsearch.images.conversion import DecodePolicy, to_rgb
from onnxsearch.images.reading import ReadPolicy, open_image
from onnxsearch.types import ImageInput


class Thumbnails:
    """The thumbnails of one report.

    Each report makes its own, so that it shows the files as they are now.

    Args:
        size: Width and height in pixels, at most.
        reading: How image files are opened.
    """

    def __init__(self, size: int, reading: ReadPolicy) -> None:
        self.size = size
        # JPEGs decode much faster at a part of their size, and twice the size shows no loss.
        self._reading = replace(reading, draft=2 * size)
        # Rankings of different models share many images.
        self._encoded: dict[str, str | None] = {}

    def image(self, source: ImageInput | None) -> Image.Image | None:
        """Return the image upright, in RGB, at most `size` pixels wide and high.

        None where there is nothing to show: there is no image, or its file is gone,
        cannot be read or is refused. A report shows the name alone then.
        """
        if source is None:
            return None
        try:
            small = to_rgb(open_image(source, self._reading), DecodePolicy()).copy()
        except ImageError:
            return None
        small.thumbnail((self.size, self.size), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return small

    def jpeg(self, source: ImageInput | None) -> bytes | None:
        """Return the thumbnail as the bytes of a JPEG; None as for `image`."""
        image = self.image(source)
        return None if image is None else as_jpeg(image)

    def data_uri(self, source: ImageInput | None) -> str | None:
        """Return the thumbnail as a `data:` URI of a JPEG; None as for `image`."""
        if not isinstance(source, str):
            return _as_uri(self.jpeg(source))
        if source not in self._encoded:
            self._encoded[source] = _as_uri(self.jpeg(source))
        return self._encoded[source]


def as_jpeg(image: Image.Image) -> bytes:
    """Return an image in RGB as the bytes of a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, optimize=True)
    return buffer.getvalue()


def _as_uri(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else jpeg_uri(jpeg)


def jpeg_uri(jpeg: bytes) -> str:
    """Return a JPEG as the address of an image in a page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
