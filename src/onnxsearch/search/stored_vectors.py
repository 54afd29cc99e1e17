"""The stored vectors of images, by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.keys import named_ids
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.errors import InvalidArgumentError

if TYPE_CHECKING:
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.types import Vectors


def stored_vectors(catalog: Catalog, embedder: Embedder, ids: Sequence[str]) -> Vectors:
    """Return the vectors of images, a row for each id, of shape (n, columns).

    Raises:
        InvalidArgumentError: An image is not stored, or has no vector of the model.
        StoreError: A store failed.
    """
    matrix = np.empty((len(ids), embedder.columns), embedder.metric.dtype)
    for start, batch in enumerate(batched(ids, BATCH)):
        rows = _rows(catalog, embedder, batch)
        for place, id in enumerate(batch, start * BATCH):
            matrix[place] = rows[id]
    return matrix


def _rows(catalog: Catalog, embedder: Embedder, ids: Sequence[str]) -> dict[str, Vectors]:
    found: dict[str, Vectors] = {}
    pending, before = list(dict.fromkeys(ids)), dict[str, str]()
    for _ in attempts():
        keys = {id: image.key for id, image in catalog.records.existing(pending).items()}
        rows = catalog.vectors.fetch(catalog.collection(embedder.name), list(keys.values()))
        found |= {id: rows[key] for id, key in keys.items() if key in rows}
        pending = [id for id in keys if id not in found]
        # Of an image that was replaced meanwhile, look for the new one.
        if lacking := [id for id in pending if before.get(id) == keys[id]]:
            raise InvalidArgumentError(
                f"image of {named_ids(lacking)}: no vector of model {embedder.name!r} is stored, "
                f"since that model was added later. engine.backfill({embedder.name!r}) adds what "
                "is missing"
            )
        if not pending:
            return found
        before = keys
    raise contended()
