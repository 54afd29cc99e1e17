"""The bulk pipeline: files -> decode -> embed -> store, each file with an outcome.

The calling thread looks up what is stored already, hands what is left to worker
threads in small batches, and stores their results in order. N workers that share a
session computing with one thread each keep N cores busy, with no queue between
decoding and inference; on a CPU that is as fast as the cores allow.

A run begins with new files, and with images that were moved to them. Files that changed
come after it, since what their paths hold may have been moved away: first those to which
a stored image was moved, as long as there are some, and last all others.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import AHEAD, batched, ordered_map
from onnxsearch._internal.validation import boolean
from onnxsearch.catalog.batching import BATCH, MOVED
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.embedders.regions import spaces_of
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.indexing.change_detection import Candidate, detect_changes
from onnxsearch.indexing.discovery import FileSet
from onnxsearch.indexing.entries import Entry, file_entry
from onnxsearch.indexing.file_metadata import FileMetadata, MetadataSource
from onnxsearch.indexing.placement import place_files
from onnxsearch.indexing.pruning import prune
from onnxsearch.indexing.recent import RecentImages
from onnxsearch.indexing.twins import still_shows
from onnxsearch.indexing.worker import (
    ChangedFile,
    IndexingWorker,
    PreparedImage,
    Result,
    Settle,
)
from onnxsearch.indexing.writer import Writer
from onnxsearch.types import IndexReport, Outcome, Progress, Status

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder


_READ = 32
"""Files that a worker takes at once where none is embedded: what is stored of all is looked up
at once."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Indexes files into a catalog."""

    catalog: Catalog
    embedders: Sequence[Embedder]
    workers: int
    batch_size: int
    reading: ReadPolicy

    def run(
        self,
        source: FileSet,
        metadata: MetadataSource,
        progress: ProgressSink,
        *,
        root: str | os.PathLike[str] | None = None,
        prune: bool = False,
        allow_empty: bool = False,
    ) -> IndexReport:
        """Index the files of `source`, and optionally remove the images of files that are gone.

        Args:
            source: The files.
            metadata: What the caller says of them.
            progress: See `onnxsearch._internal.progress.reporter`.
            root: Folder that the paths of the files are stored relative to.
            prune: Remove the images below the folder whose files are gone.
            allow_empty: Also if no file is left in a folder.

        Raises:
            InvalidArgumentError: `prune` without a folder, metadata that cannot be stored, a
                file outside the root, or a folder that was emptied.
            StoreError: A store failed.
        """
        boolean("prune", prune)
        if boolean("allow_empty", allow_empty) and not prune:
            raise InvalidArgumentError(
                "allow_empty=True does nothing without prune=True: pass both, or neither"
            )
        if prune and source.folder is None:
            raise InvalidArgumentError(
                "prune=True needs a folder: only there it is known which files are gone"
            )
        started = time.monotonic()
        writer, report = self.writer(FileMetadata(metadata)), reporter(progress)
        source = place_files(self.catalog, source, root)
        run = _Run(self, source, writer, report)
        outcomes = run.outcomes()
        if prune and source.folder is not None:
            outcomes += run.prune(source.folder, outcomes, allow_empty=allow_empty)
        return IndexReport(tuple(outcomes), time.monotonic() - started)

    def stream(self, source: FileSet, metadata: MetadataSource) -> Iterator[Outcome]:
        """Index the files of `source`; yield the outcome of each when its image is stored.

        Raises:
            InvalidArgumentError: Metadata that cannot be stored.
            StoreError: A store failed.
        """
        given = FileMetadata(metadata)
        source = place_files(self.catalog, source, None)
        return _Run(self, source, self.writer(given), reporter(False)).stream()

    def worker(self, metadata: FileMetadata, *, named: bool = True) -> IndexingWorker:
        """Return what several threads call with batches of candidates."""
        views = [embedder.parallel(self.workers) for embedder in self.embedders]
        return IndexingWorker(
            self.catalog, views, self.reading, self.batch_size, metadata, named=named
        )

    def writer(self, metadata: FileMetadata) -> Writer:
        """Return what stores the results of a run."""
        under_way = AHEAD * self.workers * max(self.batch_size, _READ)
        return Writer(self.catalog, metadata, RecentImages(under_way + MOVED))

    def detect(
        self, entries: Iterable[Entry | Outcome], metadata: FileMetadata, size: int = BATCH
    ) -> Iterator[Outcome | Candidate]:
        """Look up what is stored of each entry; see `detect_changes`."""
        models = frozenset(name for embedder in self.embedders for name in spaces_of(embedder))
        return detect_changes(entries, self.catalog.records, models, metadata, size)

    def results(
        self,
        found: Iterable[Outcome | Candidate],
        worker: IndexingWorker,
        *,
        read: int = 0,
        most: int = 0,
        total: int = sys.maxsize,
    ) -> Iterator[Result]:
        """Yield a result for each candidate, in order, computed by the worker threads.

        Args:
            found: Candidates; outcomes pass through.
            worker: Computes the results.
            read: Candidates in a batch as long as none is embedded, if that is more than a
                worker embeds at once.
            most: Entries in a batch, if few of them are candidates. A batch never has fewer
                than a worker takes.
            total: Number of entries, where it is known. The last ones are shared out.
        """
        pace = _Pace(self.batch_size, max(read, self.batch_size), self.workers, total)
        batches = _batches(found, pace, max(read, most, self.batch_size))
        for results in ordered_map(worker, batches, workers=self.workers):
            pace.note(results)
            yield from results


class _Pace:
    """How many candidates a worker takes: few that are embedded, or many that are only read.

    Args:
        few: Candidates of which some are embedded.
        many: Candidates if of the last `BATCH` none was.
        workers: Number of workers.
        left: Entries that were not taken yet.
    """

    def __init__(self, few: int, many: int, workers: int, left: int) -> None:
        self._few, self._many = few, many
        self._workers, self._left = workers, left
        self._read = 0

    @property
    def size(self) -> int:
        """Candidates of the next batch.

        Twice as many batches as there are workers are left in the end, smaller and smaller, so
        that all workers have some, and none works long after the others have nothing to do.
        """
        share = -(-self._left // (2 * self._workers))
        return max(1, min(share, self._many if self._read >= BATCH else self._few))

    def take(self, entries: int) -> None:
        """Note that a batch of so many entries was taken."""
        self._left -= entries

    def note(self, results: Sequence[Result]) -> None:
        """Learn from the results of a batch."""
        if any(isinstance(result, PreparedImage) and result.vectors for result in results):
            self._read = 0
        else:
            self._read += sum(not isinstance(result, Outcome) for result in results)


def _batches(
    found: Iterable[Outcome | Candidate], pace: _Pace, most: int
) -> Iterator[list[Outcome | Candidate]]:
    """Yield consecutive entries in lists of so many candidates, or so many entries."""
    batch: list[Outcome | Candidate] = []
    room = pace.size
    for entry in found:
        batch.append(entry)
        room -= isinstance(entry, Candidate)
        if not room or len(batch) == most:
            pace.take(len(batch))
            yield batch
            batch, room = [], pace.size
    if batch:
        yield batch


class _Run:
    """One run over the files of a source."""

    def __init__(
        self,
        pipeline: Pipeline,
        source: FileSet,
        writer: Writer,
        report: Callable[[Progress], None],
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._writer = writer
        self._report = report
        self._outcomes: dict[str, Outcome | None] = {}
        """By path, in the order in which the files were met; None while a file waits."""
        self._done = 0
        self._worker = pipeline.worker(writer.metadata, named=source.folder is None)

    def outcomes(self) -> list[Outcome]:
        """Index the files; return the outcome of each, in the order of the files."""
        for _ in self.stream():
            pass
        return [outcome for outcome in self._outcomes.values() if outcome is not None]

    def stream(self) -> Iterator[Outcome]:
        """Index the files; yield the outcome of each as soon as its image is stored."""
        waiting = yield from self._pass(self._source.entries, Settle.NONE)
        yield from self._settle_moves(waiting)
        paths = list(waiting)
        for _ in attempts():
            if not paths:
                return
            yield from self._pass(paths, Settle.ALL)
            paths = self._again()
        raise contended()

    def _settle_moves(self, waiting: dict[str, ChangedFile]) -> Iterator[Outcome]:
        """Move stored images to the files that show them now, and take these from `waiting`."""
        for _ in attempts():
            moved, again = self._moved(waiting), self._again()
            for path in moved:
                del waiting[path]
            changed = yield from self._pass([*moved, *again], Settle.MOVED)
            waiting |= changed
            if changed.keys() >= {*moved, *again}:
                return
        raise contended()

    def prune(self, folder: str, met: Sequence[Outcome], *, allow_empty: bool) -> list[Outcome]:
        """Remove the images of files that are gone; return an outcome for each."""
        removed = prune(self._pipeline.catalog, folder, met, allow_empty=allow_empty)
        moved = [Outcome(str(r.uri), Status.REMOVED, id=r.id) for r in self._writer.moved]
        return list({o.uri: o for o in moved + removed if o.uri not in self._outcomes}.values())

    def _pass(
        self, entries: Collection[str | Outcome], settle: Settle
    ) -> Generator[Outcome, None, dict[str, ChangedFile]]:
        """Index files, yield the final outcomes, and return those that wait, by path."""
        changed: dict[str, ChangedFile] = {}
        noted: list[Outcome] = []
        files = (e if isinstance(e, Outcome) else file_entry(e) for e in entries)
        found = self._pipeline.detect(files, self._writer.metadata)
        worker = replace(self._worker, settle=settle)
        # Files that have not changed take less time than to hand them to a thread.
        results = self._pipeline.results(found, worker, read=_READ, most=BATCH, total=len(entries))
        for result in results:
            if isinstance(result, ChangedFile):
                self._outcomes.setdefault(result.uri, None)
                changed[result.uri] = result
            elif (outcome := self._writer.accept(result)) is not None:
                self._note(outcome)
                noted.append(outcome)
            if self._writer.is_done:
                yield from self._final(noted)
        self._writer.flush()
        yield from self._final(noted)
        return changed

    def _final(self, noted: list[Outcome]) -> Iterator[Outcome]:
        """Yield outcomes, except those of files that are looked at again; forget them."""
        again = {entry.name for entry in self._writer.again}
        final = [outcome for outcome in noted if outcome.uri not in again]
        noted.clear()
        yield from final

    def _again(self) -> list[str]:
        """Return the files whose stored state changed meanwhile, each once, and forget them."""
        again = list(dict.fromkeys(entry.name for entry in self._writer.again))
        self._writer.again.clear()
        return again

    def _note(self, outcome: Outcome) -> None:
        if self._outcomes.get(outcome.uri) is None:
            self._done += 1
        self._outcomes[outcome.uri] = outcome
        self._report(Progress(self._done, len(self._source.entries), outcome.uri))

    def _moved(self, changed: Mapping[str, ChangedFile]) -> list[str]:
        """Return the paths of files to which a stored image was moved."""
        records = self._pipeline.catalog.records
        moved: list[str] = []
        for batch in batched(changed.values(), BATCH):
            stored = records.with_contents(file.content for file in batch)
            moved += [
                file.uri
                for file in batch
                if any(
                    each.record.uri != file.uri and not still_shows(each.record)
                    for each in stored[file.content]
                )
            ]
        return moved
