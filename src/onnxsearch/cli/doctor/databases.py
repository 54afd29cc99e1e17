"""Checks of the SQLite files of an index; none of them is changed or locked."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from onnxsearch._internal.sqlite import open_unchanged
from onnxsearch.cli.doctor.checks import CheckResult, error, ok, warning
from onnxsearch.metadata import sqlite as records_file
from onnxsearch.vectors import local as vectors_file

_LARGE_LOG = 256 << 20
"""Bytes of a write-ahead log that no checkpoint has shortened for long: usually it has 4 MiB."""
_INTERVAL = 100_000
"""Steps of SQLite between two looks at the clock."""
_SHOWN_FAULTS = 3


class DatabaseKind(NamedTuple):
    """One of the two kinds of files that an index has."""

    check: str
    what: str
    application: int
    version: int


VECTORS = DatabaseKind("files.vectors", "vectors", vectors_file.APPLICATION, vectors_file.FORMAT)
RECORDS = DatabaseKind("files.records", "records", records_file.APPLICATION, records_file.FORMAT)


def database(path: Path, kind: DatabaseKind, patience: float) -> Iterator[CheckResult]:
    """Find a damaged file, one of something else, and a log that has grown.

    Args:
        path: The file, which exists.
        kind: What it should be.
        patience: Seconds that reading all of it may take.
    """
    log = path.with_name(f"{path.name}-wal")
    waiting = log.stat().st_size if log.exists() else 0
    if waiting and not path.with_name(f"{path.name}-shm").exists():
        yield warning(
            kind.check,
            f"{str(path)!r} was not closed: {waiting:,} bytes of its log are not in it yet",
            "open the index once, for example with `onnxsearch info`; nothing is lost",
        )
        return
    try:
        with closing(open_unchanged(path)) as connection:
            yield _examined(connection, path, kind, patience)
    except sqlite3.DatabaseError as problem:
        yield error(kind.check, f"{str(path)!r} cannot be read: {problem}", _RESTORE)
    if waiting > _LARGE_LOG:
        yield warning(
            kind.check,
            f"{str(log)!r} has {waiting / 1e6:.0f} MB",
            "end processes that keep a read of the index open for hours; the log then shrinks",
        )


_RESTORE = (
    "copy the file away, restore it from a backup, or index again; `onnxsearch verify` says what "
    "is missing"
)


def _examined(
    connection: sqlite3.Connection, path: Path, kind: DatabaseKind, patience: float
) -> CheckResult:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != kind.application:
        found = f"{str(path)!r} is a database of another application, not the {kind.what}"
        return error(kind.check, found, "name the index with its own folder")
    if version != kind.version:
        found = f"{str(path)!r} is of format {version}; this release has {kind.version}"
        return error(kind.check, found, "use the release of onnxsearch that wrote it")
    deadline = time.monotonic() + patience
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _INTERVAL)
    try:
        faults = [line for (line,) in connection.execute("PRAGMA quick_check(10)")]
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return ok(kind.check, f"{str(path)!r}: no fault found within {patience:.0f} s")
    if faults == ["ok"]:
        return ok(kind.check, f"{str(path)!r} is sound")
    shown = "; ".join(faults[:_SHOWN_FAULTS])
    return error(kind.check, f"{str(path)!r} is damaged: {shown}", _RESTORE)
