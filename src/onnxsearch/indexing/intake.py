"""Intake: what callers give as items becomes entries of the bulk pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import numpy as np
from PIL import Image

from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.redaction import without_secrets
from onnxsearch.catalog.keys import check_id
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.entries import Entry, FileEntry, ItemEntry
from onnxsearch.indexing.failures import failure
from onnxsearch.types import ImageInput, Item, Outcome, Status

_ROWS = 3
"""Axes of an array that is one image. The rows of it are no images."""


def check_items(name: str, items: object) -> Iterable[object]:
    """Return `items` if it is an iterable of items.

    Args:
        name: The argument that it was given as.
        items: What a caller gave.

    Raises:
        InvalidArgumentError: It is not, or is itself an image, whose parts are no images.
    """
    single = isinstance(items, str | bytes | bytearray | memoryview | Mapping)
    single = single or (isinstance(items, np.ndarray) and items.ndim <= _ROWS)
    if single or hasattr(items, "read") or not isinstance(items, Iterable):
        raise InvalidArgumentError(
            f"{name} of type {type(items).__name__}: expected an iterable of items or images, "
            "such as [Item(image, id='cat')]. add() stores one image, and index() a folder"
        )
    return cast("Iterable[object]", items)


def entries_of(items: Iterable[object]) -> Iterator[Entry | Outcome]:
    """Yield an entry for each item or image; outcomes pass through.

    What cannot be stored gives an outcome that says why.
    """
    for number, item in enumerate(items):
        position = f"item {number}"
        yield _outcome(item, position) if isinstance(item, Outcome) else _entry(item, position)


def _outcome(outcome: Outcome, position: str) -> Outcome:
    """Return the outcome of a source, or one that says why it is none."""
    parts = cast("tuple[object, object]", (outcome.uri, outcome.status))
    if isinstance(parts[0], str) and isinstance(parts[1], Status):
        return outcome
    error = f"an Outcome with uri {parts[0]!r:.80} and status {parts[1]!r:.80}: expected a str "
    return Outcome(position, Status.UNSUPPORTED, error=f"{error}and a Status")


def _entry(thing: object, position: str) -> Entry | Outcome:
    item = thing if isinstance(thing, Item) else Item(cast("ImageInput", thing))
    name = _name(item) or position
    try:
        if not _may_be_image(item.image):
            return Outcome(name, Status.UNSUPPORTED, error=_not_an_image(item.image))
        id = None if item.id is None else check_id(item.id)
        uri = None if item.uri is None else check_id(item.uri, "uri")
        metadata = None if item.metadata is None else check_metadata(item.metadata)
        if isinstance(item.image, str | os.PathLike):
            path = absolute_path(item.image, "image")
            if isinstance(item.image, str) and "://" in item.image and not os.path.lexists(path):
                return Outcome(name, Status.UNSUPPORTED, error=_address(item.image))
            if uri in (None, path):
                return FileEntry(path, path, id, metadata)
        return ItemEntry(item.image, name, id, uri, metadata)
    except Exception as error:  # noqa: BLE001, objects of the caller may raise anything
        return failure(name, error)


def _may_be_image(image: object) -> bool:
    of_a_kind = isinstance(image, str | os.PathLike | Image.Image | np.ndarray)
    of_bytes = isinstance(image, bytes | bytearray | memoryview) or hasattr(image, "read")
    return of_a_kind or of_bytes or callable(image)


def _not_an_image(image: object) -> str:
    return (
        f"{type(image).__name__}: expected an image (a path, bytes, a binary file, a Pillow "
        "image or an array), a function that returns one, or an Item, which holds one with "
        "its id and metadata"
    )


def _address(image: str) -> str:
    return f"{without_secrets(image)!r} is an address, not a path: Remote([...]) reads addresses"


def _name(item: Item) -> str | None:
    """Return what identifies the item to its caller."""
    texts = (item.uri, item.image, item.id)
    return next((text for text in texts if isinstance(text, str) and text), None)
