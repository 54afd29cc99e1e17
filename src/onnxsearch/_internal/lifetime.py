"""When an object may be used, and what is closed with it."""

from __future__ import annotations

from collections.abc import Iterable

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.process import HomeProcess
from onnxsearch.errors import ClosedError


class Lifetime:
    """The time from the making of an object to its end, in the process that made it.

    Args:
        what: The object, at the beginning of messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._process = HomeProcess()
        self._owned: list[Closeable] = []
        self.is_over = False

    def own(self, things: Iterable[Closeable]) -> None:
        """Close these with the object."""
        self._owned += things

    def check(self) -> None:
        """Raise unless the object can be used.

        Raises:
            ClosedError: The object was closed, or belongs to another process.
        """
        self._process.check(self._what)
        if self.is_over:
            raise ClosedError(f"{self._what} was closed: open a new one")

    def end(self) -> None:
        """Close what the object owns; a second call does nothing."""
        self.is_over = True
        owned, self._owned = self._owned, []
        close_all(owned)


def close_all(things: Iterable[Closeable]) -> None:
    """Close each of `things`."""
    for each in things:
        each.close()
