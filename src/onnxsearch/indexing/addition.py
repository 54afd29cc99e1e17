"""Addition of a single image, stored at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.catalog.expiry import check_ttl
from onnxsearch.catalog.keys import check_id
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.embedders.opening import opened_for
from onnxsearch.embedders.regions import embed_inputs, model_input, spaces_of
from onnxsearch.images.image_file import ImageFile
from onnxsearch.images.in_memory import read_image
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.types import ImageInput, MetadataInput, Record

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder


def add_image(
    catalog: Catalog,
    embedders: Mapping[str, Embedder],
    reading: ReadPolicy,
    image: ImageInput,
    *,
    id: str | None,
    metadata: MetadataInput | None,
    ttl: float | timedelta | None,
) -> str:
    """Embed and store one image; return its id. See `SearchEngine.add`."""
    if id is not None:
        check_id(id)
    checked = check_metadata(metadata)
    lifetime = None if ttl is None else check_ttl(ttl)
    found = read_image(image, reading)
    file = found if isinstance(found, ImageFile) else None
    opened = opened_for(list(embedders.values()), reading, found.decode)
    vectors = {
        name: rows[0]
        for each, decoded in opened
        for name, rows in embed_inputs(each, [model_input(each, decoded)]).items()
    }
    root = catalog.records.root.read()
    record = Record(
        id=id or (root.id_of(file.path) if file else uuid4().hex),
        uri=file.path if file else None,
        metadata=checked,
        models=tuple(name for each in embedders.values() for name in spaces_of(each)),
        content=found.content,
        size=found.size,
        modified_ns=file.modified_ns if file else None,
    )
    if lifetime is not None:
        record = replace(record, expires=catalog.records.clock() + lifetime)
    catalog.put([NewImage(record, vectors)])
    return record.id
