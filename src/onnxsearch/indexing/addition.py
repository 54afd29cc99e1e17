"""Addition of a single image, stored at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, cast
from uuid import uuid4

from onnxsearch._internal.paths import absolute_path
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.catalog.keys import check_id
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.images.image_file import content_hash, read_image_file
from onnxsearch.images.reading import ReadPolicy, all_bytes, open_image
from onnxsearch.types import ImageInput, MetadataInput, Record

if TYPE_CHECKING:
    from PIL import Image

    from onnxsearch.embedders.base import Embedder


def add_image(
    catalog: Catalog,
    embedders: Mapping[str, Embedder],
    reading: ReadPolicy,
    image: ImageInput,
    *,
    id: str | None,
    metadata: MetadataInput | None,
) -> str:
    """Embed and store one image; return its id. See `SearchEngine.add`."""
    if id is not None:
        check_id(id)
    checked = check_metadata(metadata)
    opened, found = _open(image, reading)
    root = catalog.records.root.read()
    record = Record(
        id=id if id is not None else root.id_of(found.id),
        uri=found.uri,
        metadata=checked,
        models=tuple(embedders),
        content=found.content,
        size=found.size,
        modified_ns=found.modified_ns,
    )
    vectors = {name: each.embed(opened)[0] for name, each in embedders.items()}
    catalog.put([NewImage(record, vectors)])
    return record.id


def _open(image: ImageInput, reading: ReadPolicy) -> tuple[Image.Image, Record]:
    """Return the image, and a record of the bytes that it came from."""
    if isinstance(image, str | os.PathLike):
        file = read_image_file(absolute_path(image), reading)
        return file.decode(reading), Record(
            file.path,
            uri=file.path,
            content=file.content,
            size=file.size,
            modified_ns=file.modified_ns,
        )
    id = uuid4().hex
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    elif hasattr(image, "read"):
        data = all_bytes(cast("BinaryIO", image))
    else:
        return open_image(image, reading), Record(id)
    return open_image(data, reading), Record(id, content=content_hash(data), size=len(data))
