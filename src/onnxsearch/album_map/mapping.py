"""The map of the images that an engine holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer
from onnxsearch.album_map.album_map import AlbumMap
from onnxsearch.album_map.clusters import clusters, medoids
from onnxsearch.album_map.geometry import Projection, euclidean
from onnxsearch.album_map.labels import cluster_labels
from onnxsearch.album_map.layout import NEIGHBOURS, layout
from onnxsearch.album_map.neighbours import neighbours
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.listing import Records
from onnxsearch.types import Progress

if TYPE_CHECKING:
    from onnxsearch.album_map.geometry import Points
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.filters import Filter
    from onnxsearch.search.retriever import Retriever
    from onnxsearch.types import Record

_WHOLE = 20_000
"""Images up to which vectors are compared as they are: 100 MB of the default model. Of more, the
principal components of this many are, so that memory and time stay bounded."""
_COMPONENTS = 128
_READ, _NEAR = 0.05, 0.2
"""Shares of the time after which the vectors are read, and the neighbours found, about."""


def map_images(
    retriever: Retriever,
    embedder: Embedder,
    filter: Filter | None,
    seed: int,
    progress: ProgressSink = False,
) -> AlbumMap:
    """Lay out all images that match a filter.

    Raises:
        InvalidArgumentError: `filter` is not a filter, `seed` is below 0, or `progress` is not
            True, False or a function.
    """
    seed, report = integer("seed", seed, least=0), reporter(progress)
    # In the order of the ids, since that of a store differs from store to store.
    listed = list(Records(retriever.catalog.records, filter, "id"))

    def reached(share: float) -> None:
        report(Progress(int(share * len(listed)), len(listed)))

    records, points = _read(retriever, embedder, listed, lambda share: reached(_READ * share))
    places = _placed(points, seed, lambda share: reached(_READ + (1 - _READ) * share))
    numbers = clusters(places)
    central = tuple(records[place].id for place in medoids(places, numbers))
    labels = cluster_labels(records, numbers)
    return AlbumMap(
        tuple(records), places, numbers, central, labels, embedder.name, retriever.reading
    )


def _placed(points: Points, seed: int, reached: Callable[[float], None]) -> Points:
    if len(points) < 2:
        reached(1.0)
        return np.zeros((len(points), 2), np.float32)
    count = min(NEIGHBOURS, len(points) - 1)
    near = neighbours(points, count, lambda share: reached(_NEAR * share))
    return layout(points, near, seed, lambda share: reached(_NEAR + (1 - _NEAR) * share))


def _read(
    retriever: Retriever,
    embedder: Embedder,
    listed: Sequence[Record],
    reached: Callable[[float], None],
) -> tuple[list[Record], Points]:
    """Return the records that have a vector, and a point for each."""
    project = None
    columns = embedder.dimension
    if len(listed) > _WHOLE and columns > _COMPONENTS:
        sample = listed[:: -(-len(listed) // _WHOLE)]
        drawn = np.concatenate([points for _, points in _batches(retriever, embedder, sample)])
        project, columns = Projection(drawn, _COMPONENTS), _COMPONENTS
    records: list[Record] = []
    points = np.empty((len(listed), columns), np.float32)
    for batch, found in _batches(retriever, embedder, listed):
        block = slice(len(records), len(records) + len(batch))
        points[block] = found if project is None else project(found)
        records += batch
        reached(len(records) / len(listed))
    return records, points[: len(records)]


def _batches(
    retriever: Retriever, embedder: Embedder, listed: Sequence[Record]
) -> Iterator[tuple[list[Record], Points]]:
    """Yield images with their points, some at a time; those without a vector are left out."""
    for batch in batched(listed, BATCH):
        rows = retriever.rows(embedder, [record.id for record in batch])
        present = [record for record in batch if record.id in rows]
        if present:
            vectors = np.stack([rows[record.id] for record in present])
            yield present, euclidean(embedder.metric, vectors)
