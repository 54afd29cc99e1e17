"""Moving house: pictures from one catalog into another one, without any model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from onnxsearch.consistency import Catalog, Item
from onnxsearch.parallel import batched
from onnxsearch.progress import ProgressSink, reporter
from onnxsearch.types import Progress

if TYPE_CHECKING:
    from onnxsearch.vectors.base import CollectionSpec, Vectors

BATCH = 256
"""Pictures moved at once: a few MB of vectors, and one commit."""


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What `SearchEngine.copy_to` or `SearchEngine.load_snapshot` did."""

    copied: int
    """Pictures that were stored."""
    unchanged: int
    """Pictures that were there already, with the same record and the same vectors."""
    seconds: float
    """How long it took."""


class Source(Protocol):
    """Where pictures come from."""

    def count(self) -> int:
        """Return how many pictures there are."""
        ...

    def space(self, model: str) -> CollectionSpec:
        """Return what a collection for this model's vectors must hold; its name is free."""
        ...

    def batches(self) -> Iterator[Sequence[Item]]:
        """Yield all pictures, `BATCH` at a time."""
        ...


class CatalogSource:
    """The pictures of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def count(self) -> int:
        """Return how many pictures there are."""
        return self._catalog.ledger.count()

    def space(self, model: str) -> CollectionSpec:
        """Return what the collection of this model holds."""
        return self._catalog.vectors.describe(self._catalog.collection(model))

    def batches(self) -> Iterator[list[Item]]:
        """Yield all pictures, with the vectors that are there."""
        for batch in batched(self._catalog.ledger.pictures(), BATCH):
            vectors = self._catalog.vectors_of(batch)
            # One that was replaced since its record was read comes as it is now.
            torn = [s.record.id for s in batch if len(vectors[s.key]) < len(s.record.models)]
            now = self._catalog.ledger.find(torn)
            vectors |= self._catalog.vectors_of(now.values())
            current = [now.get(stored.record.id, stored) for stored in batch]
            yield [
                Item(replace(s.record, models=tuple(vectors[s.key])), vectors[s.key])
                for s in current
                if s.record.id in now or s.record.id not in torn
            ]


def transfer(source: Source, target: Catalog, progress: ProgressSink) -> TransferReport:
    """Store the pictures of `source` in `target`, but for those that are there already.

    Each batch is one write of the protocol, so a transfer that was stopped, however,
    goes on where it ended.

    Raises:
        SpaceMismatchError: `target` holds vectors of another space under the name of
            one of the models.
        StoreError: A store failed; what was copied until then stays.
    """
    started, report, total = time.monotonic(), reporter(progress), source.count()
    known: set[str] = set()
    copied = unchanged = 0
    for batch in source.batches():
        for model in {model for item in batch for model in item.vectors} - known:
            space = replace(source.space(model), name=target.collection(model))
            target.vectors.ensure_collection(space)
            known.add(model)
        new = _without_equal(batch, target)
        target.put(new)
        copied += len(new)
        unchanged += len(batch) - len(new)
        if batch:
            report(Progress(copied + unchanged, total, batch[-1].record.id))
    return TransferReport(copied, unchanged, time.monotonic() - started)


def _without_equal(batch: Sequence[Item], target: Catalog) -> list[Item]:
    stored = target.ledger.find(item.record.id for item in batch)
    candidates = {
        item.record.id: stored[item.record.id]
        for item in batch
        if item.record.id in stored and stored[item.record.id].record == item.record
    }
    vectors = target.vectors_of(candidates.values())
    return [
        item
        for item in batch
        if item.record.id not in candidates
        or not _equal(item, vectors[candidates[item.record.id].key])
    ]


def _equal(item: Item, vectors: Mapping[str, Vectors]) -> bool:
    return vectors.keys() == item.vectors.keys() and all(
        np.array_equal(vector, vectors[model]) for model, vector in item.vectors.items()
    )
