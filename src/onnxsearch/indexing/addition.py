"""A single image, stored at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from onnxsearch._internal.paths import absolute_path
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.catalog.keys import check_id
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.images.reading import ReadPolicy, open_image
from onnxsearch.types import ImageInput, Metadata, Record

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder


def add_image(
    catalog: Catalog,
    embedders: Mapping[str, Embedder],
    reading: ReadPolicy,
    image: ImageInput,
    *,
    id: str | None,
    metadata: Metadata | None,
) -> str:
    """Embed and store one image; return its id. See `SearchEngine.add`."""
    uri = absolute_path(image) if isinstance(image, str | os.PathLike) else None
    record = Record(
        id=check_id(id if id is not None else uri or uuid4().hex),
        uri=uri,
        metadata=check_metadata(metadata),
        models=tuple(embedders),
    )
    opened = open_image(image if uri is None else uri, reading)
    vectors = {name: each.embed(opened)[0] for name, each in embedders.items()}
    catalog.put([NewImage(record, vectors)])
    return record.id
