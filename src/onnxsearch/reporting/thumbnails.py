"""Small pictures for reports."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

from PIL import Image

from onnxsearch.errors import ImageError
from onnxsearch.images.conversion import DecodePolicy, to_rgb
from onnxsearch.images.reading import open_image
from onnxsearch.types import ImageInput


def thumbnail(picture: ImageInput | None, size: int) -> Image.Image | None:
    """Return the picture upright, in RGB, at most `size` pixels wide and high.

    None where there is nothing to show: no picture is known, or its file is gone or
    cannot be read any more. A report shows its name then.
    """
    if picture is None:
        return None
    try:
        small = to_rgb(open_image(picture), DecodePolicy()).copy()
    except ImageError:
        return None
    small.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def data_uri(picture: ImageInput | None, size: int) -> str | None:
    """Return the thumbnail as a `data:` URI of a JPEG, or None where there is none."""
    small = _of_file(picture, size) if isinstance(picture, str) else thumbnail(picture, size)
    if small is None:
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


# Several models find the same pictures.
@lru_cache(maxsize=64)
def _of_file(path: str, size: int) -> Image.Image | None:
    return thumbnail(path, size)
