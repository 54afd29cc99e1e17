"""Which process an object belongs to."""

from __future__ import annotations

import os

from onnxsearch.errors import ClosedError


class HomeProcess:
    """The process that made an object, and the only one that may use it.

    A forked process inherits connections, locks and thread pools, and none of them
    works there: a file's locks stay with the process that took them, and a pool's
    threads are gone.
    """

    def __init__(self) -> None:
        self.id = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self.id

    def check(self, what: str) -> None:
        """Raise if this process was forked from the one that made the object.

        Args:
            what: The object, at the beginning of the message.

        Raises:
            ClosedError: It was.
        """
        if not self.is_here:
            raise ClosedError(
                f"{what} was opened by process {self.id}, of which this one, {os.getpid()}, is a "
                "fork: open a new one here, after the fork"
            )
