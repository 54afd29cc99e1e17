"""What an index holds, and what its engine has done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxsearch._internal.telemetry.timings import Recorder, Timing
from onnxsearch.errors import CollectionNotFoundError
from onnxsearch.types import Metric

if TYPE_CHECKING:
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.embedders.base import Embedder


@dataclass(frozen=True, slots=True)
class ModelStats:
    """A model of an engine, and how many vectors of it are stored."""

    name: str
    dimension: int
    """Numbers in a vector."""
    metric: Metric
    vectors: int
    """Number of stored vectors; see `ModelInfo.vectors`."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What `SearchEngine.stats` returns.

    Example:
        >>> stats.operations["search"]
        Timing(count=9, failures=0, items=9, seconds=0.17, p50=0.018, p95=0.021)
    """

    images: int
    """Number of stored images."""
    models: tuple[ModelStats, ...]
    """The models of the engine, the default one first."""
    vector_bytes: int | None
    """Size of the files that hold the vectors; None for a store without files of its own."""
    record_bytes: int | None
    """Size of the files that hold the records; None for a store without files of its own."""
    uptime: float
    """Seconds since the engine was opened."""
    operations: Mapping[str, Timing]
    """Calls of the engine's methods, by the name of the method. Those that were never called
    are missing. The items of an iterator are what it yielded."""
    steps: Mapping[str, Timing]
    """What the operations consist of: `"decode"` (images), `"embed"` (images),
    `"embed_text"` (texts), `"vectors.search"` (queries), `"vectors.upsert"`, `"vectors.fetch"`,
    `"vectors.delete"` (rows), `"records.read"` and `"records.commit"` (cells)."""


def index_stats(catalog: Catalog, embedders: Iterable[Embedder], recorder: Recorder) -> Stats:
    """Return the statistics of a catalog and of the engine that recorded its work.

    Raises:
        StoreError: A store failed.
    """
    return Stats(
        images=catalog.records.count(),
        models=tuple(_model_stats(catalog, embedder) for embedder in embedders),
        vector_bytes=catalog.vectors.bytes_on_disk(),
        record_bytes=catalog.metadata.bytes_on_disk(),
        uptime=time.monotonic() - recorder.started,
        operations=recorder.timings("operation"),
        steps=recorder.timings("step"),
    )


def _model_stats(catalog: Catalog, embedder: Embedder) -> ModelStats:
    vectors = 0
    with suppress(CollectionNotFoundError):
        vectors = catalog.vectors.count(catalog.collection(embedder.name))
    return ModelStats(embedder.name, embedder.dimension, embedder.metric, vectors)
