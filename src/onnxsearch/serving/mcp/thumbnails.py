"""Small versions of stored images, for answers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable

from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.thumbnails import Thumbnails


async def thumbnails_of(
    files: Iterable[tuple[str, str | None]], size: int, reading: ReadPolicy
) -> dict[str, str]:
    """Return JPEGs in base64 by id; images without a file to show are left out.

    Args:
        files: Ids, and the files of the images.
        size: Pixels of the longer side, at most.
        reading: How files are opened.
    """
    return await asyncio.to_thread(_made, list(files), size, reading)


def _made(files: list[tuple[str, str | None]], size: int, reading: ReadPolicy) -> dict[str, str]:
    thumbnails = Thumbnails(size, reading)
    shown = {id: thumbnails.jpeg(file) for id, file in files}
    return {
        id: base64.b64encode(data).decode("ascii") for id, data in shown.items() if data is not None
    }
