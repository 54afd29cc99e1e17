"""The bulk pipeline: files -> decode -> embed -> store, each file with an outcome.

The calling thread looks up what is stored already, hands what is left to worker
threads in small batches, and stores their results in order. N workers that share a
session computing with one thread each keep N cores busy, with no queue between
decoding and inference; on a CPU that is as fast as the cores allow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.catalog.batching import record_batches
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.indexing.change_detection import MetadataSource, Survey
from onnxsearch.indexing.discovery import FileSet
from onnxsearch.indexing.worker import IndexingWorker, PreparedImage
from onnxsearch.types import IndexReport, Outcome, Progress, Status

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder

_COMMIT = 64
"""Pictures stored at once, in several commits if their records are large. A commit waits
for the disk a few times; with 64 that is below 1 % of the time it takes to embed them, and
a crash costs little work."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Indexes files into a catalog."""

    catalog: Catalog
    embedders: Sequence[Embedder]
    workers: int
    batch_size: int
    reading: ReadPolicy

    def run(
        self, source: FileSet, metadata: MetadataSource, progress: ProgressSink, *, prune: bool
    ) -> IndexReport:
        """Index the files of `source`; with `prune`, forget those that are gone."""
        if prune and source.folder is None:
            raise InvalidArgumentError(
                "prune=True needs a folder: only there it is known which files are gone"
            )
        started = time.monotonic()
        report = reporter(progress)
        outcomes: list[Outcome] = []
        writer = Writer(self.catalog)
        for result in self._results(source.paths, metadata):
            outcome = writer.take(result)
            outcomes.append(outcome)
            report(Progress(len(outcomes), len(source.paths), outcome.uri))
        writer.flush()
        if prune and source.folder is not None:
            outcomes += self._prune(source.folder)
        return IndexReport(tuple(outcomes), time.monotonic() - started)

    def _results(
        self, paths: Iterable[str], metadata: MetadataSource
    ) -> Iterator[Outcome | PreparedImage]:
        models = frozenset(embedder.name for embedder in self.embedders)
        entries = Survey(self.catalog.records, models, metadata)(paths)
        views = [embedder.parallel(self.workers) for embedder in self.embedders]
        worker = IndexingWorker(self.catalog, views, self.reading)
        batches = batched(entries, self.batch_size)
        for results in ordered_map(worker, batches, workers=self.workers):
            yield from results

    def _prune(self, folder: str) -> list[Outcome]:
        inside = os.path.join(folder, "")
        gone = [
            record.id
            for record in self.catalog.records.values()
            if record.uri is not None and record.uri.startswith(inside) and _is_gone(record.uri)
        ]
        removed = [id for batch in batched(gone, _COMMIT) for id in self.catalog.remove(batch)]
        return [Outcome(id, Status.REMOVED, id=id) for id in removed]


def _is_gone(path: str) -> bool:
    # Not `os.path.lexists`: to that, a folder that may not be read just now (a right
    # that was taken away, a share that does not answer) is as good as an empty one.
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


@dataclass(slots=True)
class Writer:
    """Stores pictures in commits of a useful size."""

    catalog: Catalog
    _waiting: list[PreparedImage] = field(default_factory=list[PreparedImage])
    _ids: dict[str, str] = field(default_factory=dict[str, str])
    """Id by content of what this run stored: a worker that looked before a commit
    could not see the twin."""

    def take(self, result: Outcome | PreparedImage) -> Outcome:
        """Store what there is to store, sooner or later; return what to tell."""
        if isinstance(result, PreparedImage):
            result = self._enqueue(result)
        if result.status is Status.DUPLICATE:
            # What the path held before, if anything, is no longer in the file.
            self.catalog.remove([result.uri])
        return result

    def flush(self) -> None:
        """Store what is waiting."""
        for amends, group in groupby(self._waiting, lambda p: p.amends is not None):
            store = self.catalog.amend if amends else self.catalog.put
            for items in record_batches(
                NewImage(p.record, p.vectors, amends=p.amends) for p in group
            ):
                store(items)
        self._waiting.clear()

    def _enqueue(self, picture: PreparedImage) -> Outcome:
        record = picture.record
        twin = self._ids.setdefault(record.content or record.id, record.id)
        if twin != record.id:
            return Outcome(record.id, Status.DUPLICATE, id=twin)
        self._waiting.append(picture)
        if len(self._waiting) >= _COMMIT:
            self.flush()
        return Outcome(record.id, picture.status, id=record.id)
