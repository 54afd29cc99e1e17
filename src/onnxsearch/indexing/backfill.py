"""Models that come and go while pictures stay.

A picture's record lists the models whose vectors it has. `Catalog.drop` takes one out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.catalog.batching import record_batches
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.errors import ModelError
from onnxsearch.indexing.change_detection import Candidate
from onnxsearch.indexing.worker import BackfillWorker, PreparedImage
from onnxsearch.types import IndexReport, Outcome, Progress

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.images.reading import ReadPolicy

_COMMIT = 64
"""Pictures amended at once: as many as are indexed at once."""

_CHECKED = 256
"""Pictures whose vectors are looked up at once: 1.3 MB at 1280 numbers."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """Gives every picture the vector of one model, where it has none."""

    catalog: Catalog
    embedder: Embedder
    workers: int
    batch_size: int
    reading: ReadPolicy

    def run(self, progress: ProgressSink) -> IndexReport:
        """Embed what is missing, in commits: a run that is stopped goes on where it ended."""
        started = time.monotonic()
        report = reporter(progress)
        name = self.embedder.name
        lacking = list(
            dict.fromkeys(r.id for r in self.catalog.records.values() if name not in r.models)
        )
        outcomes: list[Outcome] = []
        waiting: list[NewImage] = []
        for result in self._results(lacking):
            if isinstance(result, PreparedImage):
                waiting.append(NewImage(result.record, result.vectors, amends=result.amends))
                if len(waiting) >= _COMMIT:
                    self._store(waiting)
                    waiting.clear()
                result = Outcome(result.record.id, result.status, id=result.record.id)
            outcomes.append(result)
            report(Progress(len(outcomes), len(lacking), result.uri))
        self._store(waiting)
        return IndexReport(tuple(outcomes), time.monotonic() - started)

    def _store(self, waiting: list[NewImage]) -> None:
        for items in record_batches(waiting):
            self.catalog.amend(items)

    def _results(self, ids: list[str]) -> Iterator[Outcome | PreparedImage]:
        worker = BackfillWorker(self.catalog, [self.embedder.parallel(self.workers)], self.reading)
        batches = batched(self._candidates(ids), self.batch_size)
        for results in ordered_map(worker, batches, workers=self.workers):
            yield from results

    def _candidates(self, ids: list[str]) -> Iterator[Candidate]:
        for batch in batched(ids, _CHECKED):
            stored = self.catalog.records.find(batch)
            for id in batch:
                yield Candidate(id, 0, 0, {}, stored.get(id))


def check_complete(catalog: Catalog, model: str) -> None:
    """Raise unless every picture has a vector of `model`, in its record and in the store.

    Raises:
        ModelError: One lacks it.
    """
    for batch in batched(catalog.records.images(), _CHECKED):
        found = catalog.vectors.fetch(catalog.collection(model), [each.key for each in batch])
        for stored in batch:
            if model not in stored.record.models or stored.key not in found:
                # It may have been replaced since it was listed, with the vector.
                again = catalog.records.find([stored.record.id]).get(stored.record.id)
                if again is None or (again.key != stored.key and model in again.record.models):
                    continue
                raise ModelError(
                    f"picture {stored.record.id!r} has no vector of model {model!r}. Index it "
                    "again or remove it, and call this again; the old model serves until then"
                )
