"""Small versions of stored images, for answers."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable

from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.thumbnails import Thumbnails

_PREFIX = "data:image/jpeg;base64,"


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
    report = Thumbnails(size, reading)
    shown = {
        id: report.data_uri(file) for id, file in files if file is not None and _is_regular(file)
    }
    return {id: uri.removeprefix(_PREFIX) for id, uri in shown.items() if uri is not None}


def _is_regular(file: str) -> bool:
    """Return whether a path is a file: opening a pipe would wait for its other end."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except (OSError, ValueError):
        return False
