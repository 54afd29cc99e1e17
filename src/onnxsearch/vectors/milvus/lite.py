"""Milvus Lite files, each shared by all stores of the process that have it open."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from onnxsearch._internal.open_files import FolderFiles
from onnxsearch._internal.paths import target_path
from onnxsearch._internal.process import HomeProcess
from onnxsearch.errors import (
    InvalidArgumentError,
    MissingExtraError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
    may_hold_password,
)
from onnxsearch.vectors.collection import CollectionSpec

_open_files: dict[str, LiteFile] = {}
_opening = threading.Lock()


class LiteFile:
    """A `.db` path and the server in this process that serves it.

    Milvus Lite loses acknowledged rows when two threads write at once, and does not
    find them while it flushes. So all stores of the process take turns. That costs
    nothing: Milvus Lite works in Python, on one core.
    """

    def __init__(self, path: str) -> None:
        """Start the server.

        Raises:
            StoreLockedError: Another process has the file open.
            StoreError: It cannot be opened.
        """
        self.path = path
        self.process = HomeProcess()
        self._files = FolderFiles(path)
        try:
            self.uri = _start(path)
            """Address of the server, on the loopback interface."""
        except BaseException:
            self._files.release()
            raise
        self.specs: defaultdict[str, dict[str, CollectionSpec]] = defaultdict(dict)
        """Collections that are loaded, by database and name."""
        self.unflushed: Counter[tuple[str, str]] = Counter()
        """Rows written since the last flush, by database and collection."""
        self.users = 0
        self._lock = threading.RLock()
        self._failure: str | None = None

    @contextmanager
    def use(self) -> Iterator[None]:
        """Reserve the file for one call, or for several calls that belong together.

        Raises:
            StoreUnavailableError: A write has failed.
        """
        with self._lock:
            self.check()
            yield

    def check(self) -> None:
        """Raise if a write has failed.

        After a flush that failed, Milvus Lite loses the rows that it had in memory, and
        its next flush deletes the log that holds them. So no call may reach it until it
        is opened again.

        Raises:
            StoreUnavailableError: A write has failed.
        """
        if self._failure is not None:
            raise StoreUnavailableError(self._failure)

    def spoilt(self, reason: str) -> StoreUnavailableError:
        """Record that a write failed, and return the error that `check` raises from now on."""
        self._failure = (
            f"Milvus Lite failed to write to {self.path} ({reason}). The disk may be full. Close "
            "every store on the file, make room, and open it again: all acknowledged rows are "
            "then there"
        )
        return StoreUnavailableError(self._failure)

    def wait_for_index(self, name: str, database: str, timeout: float) -> None:
        """Wait until the index of a collection holds all rows that are flushed.

        Raises:
            StoreUnavailableError: The index was not complete in that time.
        """
        from milvus_lite.server_manager import server_manager_instance

        # The public interface reports every index as finished from the start.
        _, files, _ = server_manager_instance._servers[self.path]  # noqa: SLF001
        collection = files.get_collection(name, database_name=database)
        try:
            collection._wait_for_bg(timeout)  # noqa: SLF001
        except TimeoutError as error:
            raise StoreUnavailableError(
                f"the index of collection {name!r} is not built after {timeout:g} seconds"
            ) from error

    def release(self) -> None:
        """End one use; the last one stops the server and frees the file."""
        with _opening:
            self.users -= 1
            if not self.users:
                from milvus_lite.server_manager import server_manager_instance

                del _open_files[self.path]
                server_manager_instance.release_server(self.path)
                self._files.release()


def open_lite(path: str | os.PathLike[str]) -> LiteFile:
    """Open the Milvus Lite file at `path`, or create it, with the folders above.

    Raises:
        MissingExtraError: Milvus Lite is not installed.
        InvalidArgumentError: The path does not end in `.db`, or is not a path.
        StoreCorruptError: Milvus Lite 2 or another application wrote the file.
        StoreLockedError: Another process has it open.
        StoreUnavailableError: A store that has it open failed to write to it.
        StoreError: It cannot be opened.
    """
    if find_spec("milvus_lite") is None:
        raise MissingExtraError.for_package("milvus-lite", extra="lite")
    if may_hold_password(os.fspath(path)):
        raise InvalidArgumentError(
            "uri is not shown, since it may hold a password. It is not a URL: expected "
            "http://host:port. If it is the path of a Milvus Lite file, write ./ before it"
        )
    real = os.path.realpath(target_path(path, "uri"))
    if not real.endswith(".db"):
        raise InvalidArgumentError(f"{real}: expected the path of a Milvus Lite file, *.db")
    if Path(real).is_file():
        raise StoreCorruptError(
            f"{real} is a single file: Milvus Lite 2 wrote it, or another application. Milvus "
            "Lite 3 keeps folders. Choose another path and index again, or move the data with "
            "the milvus-lite 2 that wrote it"
        )
    with _opening:
        file = _open_files.get(real)
        if file is None:
            file = _open_files[real] = LiteFile(real)
        if not file.process.is_here:
            raise StoreLockedError(
                f"{real} was open in process {file.process.id} when this one was forked from it, "
                "and Milvus Lite serves one process at a time. Open it after the fork only, or "
                "use a Milvus server"
            )
        file.check()
        file.users += 1
        return file


def _start(path: str) -> str:
    from milvus_lite.exceptions import DataDirLockedError
    from milvus_lite.server_manager import server_manager_instance

    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create the folder of {path}: {error}") from error
    # Lite logs the reason for which it could not start, and returns None.
    reason = _LastError()
    logger = logging.getLogger("milvus_lite.server_manager")
    logger.addFilter(reason)
    try:
        uri = server_manager_instance.start_and_get_uri(path)
    finally:
        logger.removeFilter(reason)
    if uri is not None:
        return str(uri)
    if isinstance(reason.error, DataDirLockedError):
        raise StoreLockedError(
            f"another process has {path} open, and Milvus Lite serves one at a time. Close it "
            "there, or use a Milvus server"
        ) from reason.error
    raise StoreError(f"Milvus Lite cannot open {path}: {reason.error}") from reason.error


class _LastError(logging.Filter):
    """Keeps the error of a log record, and drops the record."""

    error: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info is None:
            return True
        self.error = record.exc_info[1]
        return False
