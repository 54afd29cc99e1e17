"""What a source yields, in short, and what reading it costs."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from onnxsearch import ImageError, Item, Outcome, Source
from onnxsearch.images.reading import open_image
from onnxsearch.indexing.failures import failure

MEMORY = 48 * 2**20
"""Bytes that reading a hostile source may take, at most."""


def jpeg(colour: str = "crimson", size: tuple[int, int] = (32, 24)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


def results(source: Source) -> dict[str, str]:
    """Return by uri the status of each entry: `image` for an item that can be opened."""
    found: dict[str, str] = {}
    for entry in source:
        name, result = _result(entry)
        assert name not in found, f"{name} twice"
        found[name] = result
    return found


def errors(source: Source) -> str:
    """Return all messages of a source, one a line."""
    outcomes = [e if isinstance(e, Outcome) else _opened(e) for e in source]
    return "\n".join(o.error or "" for o in outcomes if o is not None)


def cost(read: Callable[[], object]) -> int:
    """Return the memory that a call takes at most, in bytes."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def tree(folder: Path) -> dict[Path, bytes | None]:
    """Return all files below a folder, with what they hold."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def _result(entry: Item | Outcome) -> tuple[str, str]:
    if isinstance(entry, Outcome):
        assert entry.error
        return entry.uri, entry.status.value
    failed = _opened(entry)
    name = entry.uri or (entry.image if isinstance(entry.image, str) else str(entry.id))
    return name, "image" if failed is None else failed.status.value


def _opened(item: Item) -> Outcome | None:
    try:
        open_image(item.image() if callable(item.image) else item.image)
    except ImageError as error:
        return failure(str(item.uri or item.id), error)
    return None
