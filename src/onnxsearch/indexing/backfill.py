"""Backfill: vectors of a model for images that were stored before it came."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.records import StoredImage
from onnxsearch.embedders.regions import spaces_of
from onnxsearch.errors import ModelError
from onnxsearch.indexing.change_detection import Candidate
from onnxsearch.indexing.entries import FileEntry
from onnxsearch.indexing.file_metadata import FileMetadata
from onnxsearch.indexing.recent import RecentImages
from onnxsearch.indexing.worker import BackfillWorker, ChangedFile, Result
from onnxsearch.indexing.writer import Writer
from onnxsearch.types import IndexReport, Outcome, Progress, Status

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.images.reading import ReadPolicy


@dataclass(frozen=True, slots=True)
class Backfill:
    """Gives every image the vector of one model, where it has none."""

    catalog: Catalog
    embedder: Embedder
    workers: int
    batch_size: int
    reading: ReadPolicy

    def run(self, progress: ProgressSink) -> IndexReport:
        """Embed what is missing, in commits: a run that is stopped continues where it ended."""
        started = time.monotonic()
        report = reporter(progress)
        wanted = set(spaces_of(self.embedder))
        lacking = list(
            dict.fromkeys(r.id for r in self.catalog.records.values() if wanted - {*r.models})
        )
        outcomes: list[Outcome] = []
        writer = Writer(self.catalog, FileMetadata(None), RecentImages(0))
        for result in self._results(lacking):
            outcome = None if isinstance(result, ChangedFile) else writer.accept(result)
            if outcome is not None:
                outcomes.append(outcome)
                report(Progress(len(outcomes), len(lacking), outcome.uri))
        writer.flush()
        return IndexReport(tuple(outcomes), time.monotonic() - started)

    def _results(self, ids: list[str]) -> Iterator[Result]:
        views = [self.embedder.parallel(self.workers)]
        worker = BackfillWorker(self.catalog, views, self.reading, self.batch_size)
        batches = batched(self._candidates(ids), self.batch_size)
        for results in ordered_map(worker, batches, workers=self.workers):
            yield from results

    def _candidates(self, ids: list[str]) -> Iterator[Candidate | Outcome]:
        for batch in batched(ids, BATCH):
            stored = self.catalog.records.find(batch)
            yield from (_candidate(id, stored.get(id)) for id in batch)


def _candidate(id: str, stored: StoredImage | None) -> Candidate | Outcome:
    if stored is None:
        return Outcome(id, Status.MISSING, error=f"{id!r} is not stored any more")
    if stored.record.file is None:
        error = f"image {id!r} did not come from a file: add it again"
        return Outcome(id, Status.MISSING, error=error)
    return Candidate(FileEntry(stored.record.file, name=id, id=id), id, stored)


def check_complete(catalog: Catalog, model: str) -> None:
    """Raise unless every image has a vector of `model`, in its record and in the store.

    Raises:
        ModelError: One lacks it.
    """
    for batch in batched(catalog.records.images(), BATCH):
        found = catalog.vectors.fetch(catalog.collection(model), [each.key for each in batch])
        for stored in batch:
            if model not in stored.record.models or stored.key not in found:
                # It may have been replaced since it was listed, with the vector.
                again = catalog.records.find([stored.record.id]).get(stored.record.id)
                if again is None or (again.key != stored.key and model in again.record.models):
                    continue
                raise ModelError(
                    f"image {stored.record.id!r} has no vector of model {model!r}. Index it "
                    "again or remove it, and call this again; the old model serves until then"
                )
