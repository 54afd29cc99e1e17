"""From ranked rows and their records to hits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnxsearch.search.similarity import cosine
from onnxsearch.types import Hit

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.found_records import FoundRecords
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
    models: str, ranking: Iterable[Match], records: FoundRecords, most: int | None = None
) -> dict[str, Hit]:
    """Return what the fusion of several rankings found, by key, best first.

    Args:
        models: Names of the models.
        ranking: The images.
        records: Their records.
        most: How many of the first hits to return; None for all.
    """
    hits: dict[str, Hit] = {}
    ids: set[str] = set()
    for match in ranking:
        if len(hits) == most:
            break
        record = records[match.key]
        # An image that was replaced between two depths was found under both of its keys.
        if record.id not in ids:
            ids.add(record.id)
            hits[match.key] = Hit(
                id=record.id,
                uri=record.uri,
                distance=match.distance,
                score=1.0 - match.distance,
                metadata=record.metadata,
                model=models,
            )
    return hits
