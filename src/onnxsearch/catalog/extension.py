"""Vectors of a further model for images that are stored, under the keys that they have.

Unlike all other writes, this one may write a row twice, and no journal names the rows. It is
for vectors that are computed of others (`onnxsearch.augmentation`): whoever writes them has
noted before that they are being written, and removes what is nobody's afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch.catalog.recovery import being_dropped
from onnxsearch.catalog.retries import attempts, contended

if TYPE_CHECKING:
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.vectors.base import Vectors


def extend(catalog: Catalog, model: str, rows: Mapping[str, Vectors]) -> None:
    """Store vectors of images, and list the model in their records.

    Images that were removed or replaced meanwhile are skipped.

    Args:
        catalog: Others may use it meanwhile.
        model: The model; its collection exists.
        rows: A vector of shape (columns,) by the key of its image: as many as a commit takes.

    Raises:
        CollectionNotFoundError: The model was dropped.
        StoreError: A store failed.
    """
    catalog.identity.confirm()
    stored = catalog.records.resolve(list(rows))
    if not stored:
        return
    collection = catalog.collection(model)
    matrix = np.stack([rows[key] for key in stored])
    metadata = [image.record.metadata for image in stored.values()]
    catalog.vectors.upsert(collection, list(stored), matrix, metadata, partial=True)
    listed = _list(catalog, model, stored)
    if gone := stored.keys() - listed:
        catalog.vectors.delete(collection, gone)


def _list(catalog: Catalog, model: str, images: Mapping[str, StoredImage]) -> set[str]:
    """List a model in records; return the keys of those that are there."""
    table = catalog.records.records_table
    for _ in attempts():
        # What was removed since has no record any more, also if its vectors came after that.
        cells = zip(images, catalog.metadata.get_many(table, list(images)), strict=True)
        there = {key: data for key, data in cells if data is not None}
        change = catalog.records.listings(there, model)
        expect = {**change.expect, **catalog.recovery.kept([model])}
        if catalog.metadata.commit(change.writes, expect=expect):
            return set(there)
        if model in catalog.recovery.dropped():
            raise being_dropped([model])
    raise contended()
