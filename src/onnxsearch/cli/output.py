"""Output of the command line: results to standard output, remarks to standard error."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from onnxsearch import Hit, IndexReport, JSONValue, Progress as Moment, SearchResults
from onnxsearch.errors import without_secrets
from onnxsearch.search.results import measured

SHOWN_FAILURES = 20


class OutputError(Exception):
    """Standard output cannot be written."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"the output cannot be written: {cause.strerror or cause}")
        self.reader_has_left = isinstance(cause, BrokenPipeError)


def printable(text: str) -> str:
    """Return `text` with whatever a terminal may act on, or cannot show, escaped.

    File names may hold escape sequences, line breaks, marks that reverse the
    direction of writing, and bytes that are no text.
    """
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def short_path(uri: str) -> str:
    """Return the path relative to the current folder, where that is shorter."""
    if not os.path.isabs(uri):
        return uri
    try:
        relative = os.path.relpath(uri)
    except ValueError:  # on Windows, a path on another drive
        return uri
    return min(relative, uri, key=len)


def image_name(id: str, path: str | None) -> str:
    """Return what an image is called: the path of its file, or its id if it has none."""
    return id if path is None else short_path(path)


@contextmanager
def interruption_noted() -> Iterator[None]:
    """Tell whoever presses Ctrl-C while images are indexed what becomes of them."""
    try:
        yield
    except KeyboardInterrupt:
        print_note("interrupted; what was indexed is kept. The same command indexes the rest")
        raise


@contextmanager
def progress_bar(title: str = "Indexing") -> Iterator[Callable[[Moment], None]]:
    """Show a bar on standard error, if that is a terminal; yield what moves it."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[file]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=None, file="")

    def move(now: Moment) -> None:
        file = printable(os.path.basename(now.current))
        bar.update(task, completed=now.done, total=now.total, file=file)

    with bar:
        yield move


@contextmanager
def download_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on standard error, if that is a terminal; yield what moves it."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.fields[file]}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=None, file="")

    def move(name: str, done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, file=printable(name))

    with bar:
        yield move


def print_error(message: str) -> None:
    """Print an error to standard error."""
    _print_aside(Text.assemble(("error: ", "bold red"), printable(message)))


def print_results(results: SearchResults, *, first: int = 1, is_empty: bool = False) -> None:
    """Print a table: rank, distance, file; and where in it the region is that was found.

    Where no metric measures distances, as with several models or keywords, it has scores instead.

    Args:
        results: What a search found.
        first: The rank of the first hit.
        is_empty: Whether the index holds no image.
    """
    if not results:
        print_note(
            "nothing is indexed here yet: run `onnxsearch index DIR` first"
            if is_empty
            else "no image matches"
        )
        return
    width = len(str(first + len(results) - 1))
    regions = [_edges(hit) for hit in results]
    title = f"{'left,top,right,bottom':<{_EDGES}}  " if any(regions) else ""
    measure = "distance" if results.metric else "score"
    print_line(f"{'#':>{width}}  {measure:>8}  {title}file", style="bold")
    for rank, (hit, region) in enumerate(zip(results, regions, strict=True), first):
        file = image_name(hit.id, hit.uri)
        place = f"{region:<{_EDGES}}  " if title else ""
        print_line(f"{rank:>{width}}  {measured(results, hit):8.4f}  {place}{file}")


_EDGES = 21
"""Columns for the edges of a region."""


def _edges(hit: Hit) -> str:
    """Return where a hit's region is, in percent of the sides; nothing if it has none."""
    return "" if hit.region is None else ",".join(f"{100 * edge:.0f}%" for edge in hit.region)


def print_report(report: IndexReport, location: str) -> None:
    """Print how many files had each status, then the failures."""
    counts = [f"{count} {status}" for status, count in report.counts.items() if count]
    print_line(
        f"{', '.join(counts)} in {report.seconds:.1f} s, index at {without_secrets(location)}"
    )
    for outcome in report.failures[:SHOWN_FAILURES]:
        print_line(f"  {outcome.status.value:<11}  {short_path(outcome.uri)}: {outcome.error}")
    hidden = len(report.failures) - SHOWN_FAILURES
    if hidden > 0:
        print_line(f"  and {hidden} more: --json lists them all")


def print_note(message: str) -> None:
    """Print a remark to standard error."""
    _print_aside(Text(printable(message)))


def print_json(document: Mapping[str, JSONValue], *, indent: int | None = 2) -> None:
    """Print one JSON document, in ASCII: names of files need not be valid Unicode."""
    with _writing():
        json.dump(document, sys.stdout, indent=indent)
        sys.stdout.write("\n")


def results_as_json(results: SearchResults) -> Mapping[str, JSONValue]:
    """Return what `search --json` prints."""
    return {
        "model": results.model,
        "metric": results.metric.value if results.metric else None,
        "hits": [asdict(hit) for hit in results],
    }


def report_as_json(report: IndexReport, location: str) -> Mapping[str, JSONValue]:
    """Return what `index --json` prints."""
    return {
        "location": without_secrets(location),
        "seconds": report.seconds,
        "counts": report.counts,
        "outcomes": [asdict(outcome) for outcome in report.outcomes],
    }


def print_line(line: str, style: str = "") -> None:
    """Print one line to standard output, never folded where that is a file."""
    with _writing():
        _console().print(Text(printable(line), style))


def flush() -> None:
    """Write out what standard output still holds back.

    Raises:
        OutputError: It cannot be written.
    """
    with _writing():
        sys.stdout.flush()


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to `_writing`, instead of ending the process with 1."""
        raise BrokenPipeError


def _console(*, stderr: bool = False) -> Console:
    console = _Console(stderr=stderr, soft_wrap=True)
    if not console.is_terminal:
        # What goes to a file or another program is not folded.
        console.width = 10_000
    return console


def _print_aside(text: Text) -> None:
    # That a remark cannot be shown does not change the result.
    with suppress(OSError):
        _console(stderr=True).print(text)


@contextmanager
def _writing() -> Iterator[None]:
    """Turn what fails while standard output is written into an `OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(error) from error
