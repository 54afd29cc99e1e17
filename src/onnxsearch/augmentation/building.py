"""Making an augmented space, and bringing it up to date."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.validation import integer, number
from onnxsearch.augmentation.album import Album, Changes
from onnxsearch.augmentation.filling import Filling
from onnxsearch.augmentation.transform import mean_of
from onnxsearch.catalog.augmented_spaces import (
    MOST_ALPHA,
    MOST_NEIGHBOURS,
    AugmentedSpace,
    augmented_name,
    is_augmented,
    most_changes,
)
from onnxsearch.errors import InvalidArgumentError, SpaceMismatchError, StoreError
from onnxsearch.types import Metric
from onnxsearch.vectors.collection import CollectionSpec

if TYPE_CHECKING:
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.embedders.base import Embedder

_ROUNDS = 3
"""How often another engine that augments the same model may come in between."""


@dataclass(frozen=True, slots=True)
class AugmentReport:
    """What `SearchEngine.augment` did."""

    model: str
    """The name by which the space is searched: that of the model, and `:augmented`."""
    images: int
    """Images that the space holds."""
    added: int
    """Images that were new to it."""
    removed: int
    """Images that were gone since the call before."""
    written: int
    """Vectors that were computed: of the new images, and of those whose neighbours changed."""
    rebuilt: bool
    """Whether the space was made anew, with the mean of the album as it is now."""
    seconds: float
    """How long it took."""


def augment(
    catalog: Catalog, embedder: Embedder, neighbours: int, alpha: float, progress: ProgressSink
) -> AugmentReport:
    """Make or refresh the augmented space of a model; see `SearchEngine.augment`."""
    neighbours = integer("neighbours", neighbours, least=1, most=MOST_NEIGHBOURS)
    alpha = number("alpha", alpha, least=0.0, most=MOST_ALPHA)
    report, started = reporter(progress), time.monotonic()
    if embedder.metric is Metric.HAMMING or is_augmented(embedder.name):
        what = "has vectors of bits" if embedder.metric is Metric.HAMMING else "is augmented itself"
        raise InvalidArgumentError(
            f"model {embedder.name!r} {what}: expected a model with vectors of numbers"
        )
    catalog.identity.confirm()
    for _ in range(_ROUNDS):
        for filling, rebuilt in _fillings(catalog, embedder, neighbours, alpha):
            written = filling.run(report)
            if written is not None:
                return AugmentReport(
                    model=filling.space.name,
                    images=len(filling.album),
                    added=filling.changes.added,
                    removed=filling.changes.removed,
                    written=written,
                    rebuilt=rebuilt,
                    seconds=time.monotonic() - started,
                )
    raise StoreError(
        f"other engines augmented model {embedder.name!r} at the same time, {_ROUNDS} times: let "
        "one of them do it"
    )


def _fillings(
    catalog: Catalog, embedder: Embedder, neighbours: int, alpha: float
) -> Iterator[tuple[Filling, bool]]:
    """Yield how to fill the space, and whether it is new; nothing if another engine began one."""
    album = Album.read(catalog, embedder.name)
    if not len(album):
        raise InvalidArgumentError(
            f"no image has a vector of model {embedder.name!r}: index images first"
        )
    below = catalog.vectors.describe(catalog.collection(embedder.name)).fingerprint
    wanted = AugmentedSpace(
        model=embedder.name,
        below=below,
        metric=embedder.metric,
        neighbours=neighbours,
        alpha=alpha,
        mean=mean_of(album.vectors),
        images=len(album),
    )
    for space in catalog.spaces.of([embedder.name]):
        # What a call that was cut off had written is written again.
        graph = catalog.spaces.graph(space) if space.writer is None else None
        changes = Changes.since(graph, album, space.neighbours)
        if space.is_made_like(wanted) and _is_like(space, album, changes):
            yield Filling(catalog, space, album, changes), False
            return
    if _begin(catalog, wanted):
        album = replace(album, listed=np.zeros(len(album), bool))
        yield Filling(catalog, wanted, album, Changes.since(None, album, neighbours)), True


def _is_like(space: AugmentedSpace, album: Album, changes: Changes) -> bool:
    """Return whether an album is still much like the one whose mean a space has."""
    number = abs(len(album) - space.images) if changes.is_all else changes.added + changes.removed
    return space.changes + number <= most_changes(space.images)


def _begin(catalog: Catalog, space: AugmentedSpace) -> bool:
    """Begin a space in place of what there is; return False if another engine was faster."""
    collection = catalog.collection(space.name)
    if catalog.spaces.of([space.model]) or collection in catalog.collections():
        catalog.drop(augmented_name(space.model))
    columns = len(space.mean)
    try:
        catalog.ensure_collection(
            space.name, CollectionSpec(collection, columns, space.fingerprint, space.metric)
        )
    except SpaceMismatchError:
        return False
    # From now on, images that are stored get an augmented vector.
    return catalog.spaces.replace(None, space)
