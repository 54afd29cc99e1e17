"""Addition of many images, through the bulk pipeline, one outcome after the other."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from datetime import timedelta
from typing import cast

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.expiry import check_ttl
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.indexing.discovery import read_source
from onnxsearch.indexing.entries import Entry, ItemEntry
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.indexing.file_metadata import FileMetadata, ItemMetadata
from onnxsearch.indexing.intake import check_items, entries_of
from onnxsearch.indexing.pipeline import Pipeline
from onnxsearch.indexing.worker import Duplicate, PreparedImage, Result
from onnxsearch.types import IndexReport, Outcome, Progress

MOST_BYTES = 2**30
"""Bytes of images in memory that wait to be embedded, at most. Two workers have some 100 MB
under way; many workers with large batches, of uncompressed images, would have more."""


def add_images(
    pipeline: Pipeline,
    items: object,
    metadata: ItemMetadata,
    ttl: float | timedelta | None,
    progress: ProgressSink,
) -> IndexReport:
    """Store many images; see `SearchEngine.add_many`."""
    started = time.monotonic()
    given = FileMetadata(metadata, None if ttl is None else check_ttl(ttl))
    addition = BulkAddition(pipeline, check_items("items", items), given, reporter(progress))
    return IndexReport(tuple(addition.stream()), time.monotonic() - started)


def stream_images(pipeline: Pipeline, source: object, metadata: ItemMetadata) -> Iterator[Outcome]:
    """Store the images of a folder, a file or items; see `SearchEngine.index_iter`."""
    if isinstance(source, str | os.PathLike):
        files = read_source(cast("os.PathLike[str]", source), Exclusion())
        return pipeline.stream(files, metadata)
    given = FileMetadata(metadata)
    return BulkAddition(pipeline, check_items("source", source), given, reporter(False)).stream()


class BulkAddition:
    """One run over items, which are read only a few ahead of their outcomes.

    Args:
        pipeline: Embeds and stores the images.
        items: Items, images and outcomes.
        metadata: What the caller says of all of them.
        report: Is called after each item.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        items: Iterable[object],
        metadata: FileMetadata,
        report: Callable[[Progress], None],
    ) -> None:
        self._pipeline = pipeline
        self._metadata = metadata
        self._report = report
        self._done = 0
        self._worker = pipeline.worker(self._metadata)
        self._writer = pipeline.writer(self._metadata)
        self._entries = entries_of(items)
        self._root = pipeline.catalog.records.root.read()
        self._under_way = _UnderWay()
        self._held: Entry | Outcome | None = None
        """An entry that waits until those under way are stored."""
        self._error: BaseException | None = None
        self._taken = 0
        self._ended = False
        self._size = len(items) if isinstance(items, Sized) else None

    def stream(self) -> Iterator[Outcome]:
        """Yield the outcome of each item, in order, as soon as its image is stored.

        An error of the iterable is raised when all that came before it is stored.

        Raises:
            StoreError: A store failed; images that were stored before stay.
        """
        while self._held is not None or not self._ended:
            found = self._pipeline.detect(
                self._until_full(), self._metadata, self._pipeline.batch_size
            )
            for result in self._pipeline.results(found, self._worker):
                outcome = self._accept(result)
                self._count(outcome)
                if self._under_way.finish(outcome) >= BATCH:
                    self._writer.flush()
                if self._writer.is_done:
                    yield from self._settled()
            self._writer.flush()
            yield from self._settled()
        if self._error is not None:
            raise self._error

    def _until_full(self) -> Iterator[Entry | Outcome]:
        """Yield entries up to one for which there is no room, or whose id is under way.

        The latter is looked up when the image with this id is stored, so that the last one
        counts.
        """
        while (entry := self._next()) is not None:
            size = entry.size if isinstance(entry, ItemEntry) else 0
            if not self._under_way.begin(self._id(entry), size):
                self._held = entry
                return
            yield entry

    def _id(self, entry: Entry | Outcome) -> str | None:
        return None if isinstance(entry, Outcome) else entry.id_below(self._root)

    def _next(self) -> Entry | Outcome | None:
        held, self._held = self._held, None
        if held is not None:
            return held
        try:
            entry = next(self._entries)
        except StopIteration:
            self._ended = True
        except BaseException as error:  # noqa: BLE001, raised again by `stream`
            self._ended, self._error = True, error
        else:
            self._taken += 1
            return entry
        return None

    def _count(self, outcome: Outcome | None) -> None:
        self._done += 1
        name = self._writer.again[-1].name if outcome is None else outcome.uri
        self._report(Progress(self._done, self._taken if self._ended else self._size, name))

    def _accept(self, result: Result) -> Outcome | None:
        # Only the passes of `index` leave files that changed for later.
        return self._writer.accept(cast("Outcome | PreparedImage | Duplicate", result))

    def _settled(self) -> list[Outcome]:
        """Return what is final, once what has to be looked at again is stored too."""
        again = list(self._writer.again)
        self._writer.again.clear()
        return self._under_way.settle({self._id(entry): self._look_again(entry) for entry in again})

    def _look_again(self, entry: Entry) -> Outcome:
        for _ in attempts():
            (result,) = self._pipeline.results(
                self._pipeline.detect([entry], self._metadata), self._worker
            )
            outcome = self._accept(result)
            self._writer.flush()
            if not self._writer.again and outcome is not None:
                return outcome
            self._writer.again.clear()
        raise contended()


class _UnderWay:
    """The entries whose outcomes are not final yet, in order."""

    def __init__(self) -> None:
        self._begun: deque[str | None] = deque()
        """The id of each entry; None for an outcome of the caller."""
        self._ids: set[str] = set()
        self._sizes: deque[int] = deque()
        """Bytes of each image that is not embedded yet."""
        self._bytes = 0
        self._finished: list[Outcome | None] = []
        """The outcome of each of the first entries; None if it is looked at again."""

    def begin(self, id: str | None, size: int) -> bool:
        """Add an entry; return False if its id is under way, or too many bytes are."""
        if id in self._ids or (self._bytes and self._bytes + size > MOST_BYTES):
            return False
        self._begun.append(id)
        self._sizes.append(size)
        self._bytes += size
        if id is not None:
            self._ids.add(id)
        return True

    def finish(self, outcome: Outcome | None) -> int:
        """Note the outcome of the next entry; return how many wait to be stored."""
        self._bytes -= self._sizes.popleft()
        self._finished.append(outcome)
        return len(self._finished)

    def settle(self, again: Mapping[str | None, Outcome]) -> list[Outcome]:
        """Return the outcomes noted so far, those of `again`, by id, in place of others."""
        outcomes: list[Outcome] = []
        for noted in self._finished:
            id = self._begun.popleft()
            self._ids.discard(id or "")
            outcome = again.get(id, noted)
            if outcome is not None:
                outcomes.append(outcome)
        self._finished.clear()
        return outcomes
