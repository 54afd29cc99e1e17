"""Stored images that are classified, with their vectors as directions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import BATCH
from onnxsearch.classification.classifier import Floats
from onnxsearch.search.similarity import directions
from onnxsearch.search.stored_vectors import stored_vectors

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.retriever import Retriever
    from onnxsearch.types import Record, Vectors


@dataclass(frozen=True, slots=True)
class ImageDirections:
    """Stored images with their vectors of one model."""

    retriever: Retriever
    embedder: Embedder

    def batches(self, records: Iterable[Record]) -> Iterator[tuple[list[Record], Floats]]:
        """Yield records and directions, (n, dimension); images that are gone are left out.

        Raises:
            InvalidArgumentError: An image has no vector of the model.
        """
        for batch in batched(records, BATCH):
            rows = self._rows([record.id for record in batch])
            present = [record for record in batch if record.id in rows]
            if present:
                yield present, self._directions([rows[record.id] for record in present])

    def of(self, ids: Sequence[str]) -> Floats:
        """Return the directions of images, (n, dimension), a row for each id.

        Raises:
            InvalidArgumentError: An image is not stored, or has no vector of the model.
        """
        matrix = stored_vectors(self.retriever.catalog, self.embedder, ids)
        return directions(self.embedder.metric, matrix)

    def _rows(self, ids: Sequence[str]) -> Mapping[str, Vectors]:
        rows = self.retriever.rows(self.embedder, ids)
        # Removed meanwhile, replaced meanwhile, or without a vector: only the last is a mistake.
        left = self.retriever.catalog.records.find([id for id in ids if id not in rows])
        matrix = stored_vectors(self.retriever.catalog, self.embedder, list(left)) if left else ()
        return {**rows, **dict(zip(left, matrix, strict=True))}

    def _directions(self, rows: Sequence[Vectors]) -> Floats:
        return directions(self.embedder.metric, np.stack(rows))
