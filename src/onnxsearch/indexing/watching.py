"""A folder whose index is kept up to date while its files change.

Files are indexed when nothing was reported of them for a while, so that a file which is
still being written is not read half. The whole folder is looked through at first, after a
folder in it is gone, and after very many reports, of which some may have been lost.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.validation import boolean, instance, seconds
from onnxsearch.errors import ImageNotFoundError, InvalidArgumentError
from onnxsearch.indexing.discovery import is_left_out, read_some, read_source
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.indexing.file_metadata import FileMetadata, MetadataSource
from onnxsearch.indexing.folder_events import TICK, check_events_available, folder_events
from onnxsearch.indexing.pipeline import Pipeline
from onnxsearch.indexing.placement import root_path
from onnxsearch.indexing.pruning import remove_gone
from onnxsearch.indexing.twins import is_gone
from onnxsearch.types import IndexReport, Outcome, Status

_MANY = 4096
"""Paths after which the whole folder is looked through. Linux drops reports if 16,384 wait."""

_STORED = frozenset({Status.INDEXED, Status.MOVED, Status.REMOVED})

Reports: TypeAlias = "Generator[IndexReport, None, None]"


@dataclass(frozen=True, slots=True)
class FolderWatch:
    """Keeps the index of a folder up to date; see `SearchEngine.watch`.

    Raises:
        ImageNotFoundError: The folder does not exist.
        InvalidArgumentError: It is not a folder, or an argument has a wrong type or value.
        MissingExtraError: The package that watches folders is missing.
    """

    pipeline: Pipeline
    folder: str | os.PathLike[str]
    exclusion: Exclusion
    metadata: MetadataSource = None
    progress: ProgressSink = False
    root: str | os.PathLike[str] | None = None
    prune: bool = True
    quiet: float = 1.0
    polling: bool = False
    stop_event: threading.Event | None = None

    def __post_init__(self) -> None:
        path = absolute_path(self.folder, "folder")
        if not os.path.lexists(path):
            raise ImageNotFoundError(f"there is no folder {path!r}")
        if not os.path.isdir(path):
            raise InvalidArgumentError(f"folder {path!r} is a file: expected a folder to watch")
        FileMetadata(self.metadata)
        reporter(self.progress)
        if self.root is not None:
            root_path(self.root)
        boolean("prune", self.prune)
        boolean("polling", self.polling)
        seconds("quiet", self.quiet)
        if self.stop_event is not None:
            instance("stop_event", self.stop_event, threading.Event, "a threading.Event")
        check_events_available()

    def reports(self) -> Reports:
        """Yield a report of the whole folder, then one whenever something has changed."""
        return _Watching(self, absolute_path(self.folder, "folder")).reports()


class _Waiting(NamedTuple):
    """A path that was reported."""

    since: float
    removed: bool


class _Watching:
    """One iteration over the reports."""

    def __init__(self, watch: FolderWatch, folder: str) -> None:
        self._watch, self._folder = watch, folder
        self._stop = watch.stop_event or threading.Event()
        self._first = True
        self._known: dict[str, tuple[Status, str | None]] = {}
        """What was reported of files that are not stored."""

    def reports(self) -> Reports:
        gone = False
        while not self._stop.is_set():
            identity = self._identity()
            if identity is not None:
                gone = False
                yield from self._keep_up(identity)
                self._stop.wait(self._watch.quiet)
            elif gone:
                self._stop.wait(TICK)
            else:
                gone = True
                error = f"folder {self._folder!r} is gone, as if a drive were not mounted: "
                yield self._refusal(f"{error}nothing was removed, and watching goes on")

    def _keep_up(self, identity: tuple[int, int]) -> Reports:
        """Yield reports until another folder is at the path, or a drive is mounted there."""
        watch = self._watch
        events = folder_events(self._folder, polling=watch.polling, stop_event=self._stop)
        with closing(events), suppress(FileNotFoundError):
            next(events, None)  # from here on no change is missed
            yield from self._look_through()
            waiting: dict[str, _Waiting] = {}
            for paths in events:
                if self._identity() != identity:
                    return
                now = time.monotonic()
                for path in filter(self._counts, paths):
                    removed = paths[path] or (path in waiting and waiting[path].removed)
                    waiting[path] = _Waiting(now, removed)
                due = {p: w.removed for p, w in waiting.items() if now - w.since >= watch.quiet}
                for path in due:
                    del waiting[path]
                if due:
                    yield from self._settle(due)

    def _identity(self) -> tuple[int, int] | None:
        """Return which folder is at the path; None if there is none."""
        try:
            status = os.stat(self._folder)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _counts(self, path: str) -> bool:
        return path != self._folder and not is_left_out(self._folder, path, self._watch.exclusion)

    def _settle(self, paths: Mapping[str, bool]) -> Reports:
        """Index files that were reported, and remove the images of those that are gone.

        Args:
            paths: Whether each path was reported as removed.
        """
        watch, started = self._watch, time.monotonic()
        if len(paths) > _MANY:
            yield from self._look_through()
            return
        files = read_some(self._folder, paths, watch.exclusion)
        outcomes: list[Outcome] = []
        if files.entries:
            outcomes += watch.pipeline.run(files, watch.metadata, False, root=watch.root).outcomes
        gone = [path for path in paths if is_gone(path)] if watch.prune else []
        removed = self._remove(gone) if all(paths[path] for path in gone) else None
        outcomes += removed or ()
        # A file that is missing by now was reported as gone, or will be.
        left_out = (Status.UNCHANGED, Status.MISSING)
        if changed := tuple(o for o in outcomes if o.status not in left_out):
            self._news(changed)
            yield IndexReport(changed, time.monotonic() - started)
        if removed is None:
            yield from self._look_through()

    def _remove(self, gone: Sequence[str]) -> list[Outcome] | None:
        """Remove the images of files; None if the whole folder has to be looked through."""
        # What the system reports as removed was: a drive that is unmounted has no such reports
        # of files. Polling sees no difference.
        if self._watch.polling and gone:
            return None
        return remove_gone(self._watch.pipeline.catalog, gone)

    def _look_through(self) -> Reports:
        """Index the whole folder; after the first time, report only what is new."""
        watch, first, self._first = self._watch, self._first, False
        files = read_source(self._folder, watch.exclusion, allow_empty=True)
        progress = watch.progress if first else False
        run = partial(watch.pipeline.run, files, watch.metadata, progress, root=watch.root)
        try:
            report = run(prune=watch.prune)
            self._known.pop(self._folder, None)
        except InvalidArgumentError as error:
            if not watch.prune:
                raise
            report, refusal = run(), self._refusal(str(error))
            report = replace(report, outcomes=(*report.outcomes, *refusal.outcomes))
        news = self._news(report.outcomes)
        if first or news:
            yield report if first else replace(report, outcomes=news)

    def _refusal(self, error: str) -> IndexReport:
        return IndexReport((Outcome(self._folder, Status.MISSING, error=error),))

    def _news(self, outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
        """Return the outcomes that were not reported before."""
        news: list[Outcome] = []
        for outcome in outcomes:
            found = outcome.status, outcome.error
            if outcome.status in _STORED or outcome.status is Status.UNCHANGED:
                self._known.pop(outcome.uri, None)
            elif self._known.get(outcome.uri) == found:
                continue
            else:
                self._known[outcome.uri] = found
            if outcome.status is not Status.UNCHANGED:
                news.append(outcome)
        return tuple(news)
