"""From ranked rows and their records to hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxsearch.search.similarity import cosine
from onnxsearch.types import Hit

if TYPE_CHECKING:
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.types import Record
    from onnxsearch.vectors.base import Match


def found_hit(embedder: Embedder, match: Match, record: Record, length: float) -> Hit:
    """Return what one model found, for a query of this length."""
    return Hit(
        id=record.id,
        uri=record.uri,
        distance=match.distance,
        score=embedder.metric.score(match.distance),
        metadata=record.metadata,
        model=embedder.name,
        similarity=cosine(embedder.metric, match.distance, embedder.dimension, length),
    )


def fused_hits(
    models: str, ranking: Sequence[Match], records: Mapping[str, StoredImage]
) -> list[Hit]:
    """Return what the fusion of several rankings found."""
    hits: dict[str, Hit] = {}
    for match in ranking:
        record = records[match.key].record
        # An image that was replaced between two depths was found under both of its keys.
        hits.setdefault(
            record.id,
            Hit(
                id=record.id,
                uri=record.uri,
                distance=match.distance,
                score=1.0 - match.distance,
                metadata=record.metadata,
                model=models,
            ),
        )
    return list(hits.values())
