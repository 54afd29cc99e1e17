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
        rows = _rows(catalog, [embedder], batch)[embedder.name]
        for place, id in enumerate(batch, start * BATCH):
            matrix[place] = rows[id]
    return matrix


def stored_query(catalog: Catalog, embedders: Sequence[Embedder], id: str) -> dict[str, Vectors]:
    """Return the vectors of one image by model, each of shape (columns,).

    Raises:
        InvalidArgumentError: The image is not stored, or has no vector of a model.
        StoreError: A store failed.
    """
    return {name: rows[id] for name, rows in _rows(catalog, embedders, [id]).items()}


def _rows(
    catalog: Catalog, embedders: Sequence[Embedder], ids: Sequence[str]
) -> dict[str, dict[str, Vectors]]:
    """Return vectors by model and id; those of one image are of one moment."""
    found: dict[str, dict[str, Vectors]] = {embedder.name: {} for embedder in embedders}
    pending, before = list(dict.fromkeys(ids)), dict[str, str]()
    for _ in attempts():
        keys = {id: image.key for id, image in catalog.records.existing(pending).items()}
        lacking: dict[str, str] = {}
        for embedder in embedders:
            rows = catalog.vectors.fetch(catalog.collection(embedder.name), list(keys.values()))
            found[embedder.name] |= {id: rows[key] for id, key in keys.items() if key in rows}
            lacking = {id: embedder.name for id, key in keys.items() if key not in rows} | lacking
        # Of an image that was replaced meanwhile, look for the new one.
        if same := [id for id in lacking if before.get(id) == keys[id]]:
            model = lacking[same[0]]
            raise InvalidArgumentError(
                f"image of {named_ids(same)}: no vector of model {model!r} is stored, "
                f"since that model was added later. engine.backfill({model!r}) adds what "
                "is missing"
            )
        if not lacking:
            return found
        pending, before = list(lacking), keys
    raise contended()
