"""What the operating system reports of the files in a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping

from onnxsearch.errors import MissingExtraError, OnnxSearchError

TICK = 0.2
"""Seconds between two looks at what was reported."""
_GROUPED = 1000
_POLL = 1000
"""Milliseconds: for how long reports are collected at most, and between two passes of a poll."""


def check_events_available() -> None:
    """Raise unless folders can be watched.

    Raises:
        MissingExtraError: The package that watches them is missing.
    """
    try:
        import watchfiles  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.for_package("watchfiles", extra="watch") from error


def folder_events(
    folder: str, *, polling: bool, stop_event: threading.Event | None
) -> Generator[Mapping[str, bool], None, None]:
    """Yield which paths below a folder were reported, and whether as removed, every second.

    When the first mapping has been yielded, which may be empty, the folder is being watched. The
    iteration ends where a report cannot be read: the folder has to be looked through then.

    Args:
        folder: Absolute path of the folder.
        polling: Look at all files again and again, where the system reports nothing.
        stop_event: Ends the iteration.

    Raises:
        FileNotFoundError: The folder does not exist.
        OnnxSearchError: The system cannot watch the folder.
    """
    import watchfiles

    reported = watchfiles.watch(
        folder,
        watch_filter=None,
        debounce=_GROUPED,
        rust_timeout=round(TICK * 1000),
        yield_on_timeout=True,
        stop_event=stop_event,
        force_polling=polling or None,
        poll_delay_ms=_POLL,
        ignore_permission_denied=True,
    )
    try:
        for changes in reported:
            paths = {path: False for _, path in changes}
            yield paths | {p: True for change, p in changes if change == watchfiles.Change.deleted}
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError) as error:
        if "decode" in str(error):
            return  # a name that is not valid Unicode
        if not os.path.isdir(folder):
            raise FileNotFoundError(folder) from error
        raise OnnxSearchError(
            f"folder {folder!r} cannot be watched: {error}. If the limit of watched folders is "
            "reached, raise it (on Linux `sysctl fs.inotify.max_user_watches`); where the system "
            "reports no changes, as on a network share, pass polling=True"
        ) from error
    finally:
        reported.close()
