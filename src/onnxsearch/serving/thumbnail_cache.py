"""Thumbnails in memory, the least recently used ones discarded first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple


class ThumbnailKey(NamedTuple):
    """What a thumbnail is made of; a file that changes has another one."""

    path: str
    modified_ns: int
    length: int
    """Bytes of the file."""
    size: int
    """Pixels of the longer side, at most."""


class ThumbnailCache:
    """Encoded thumbnails, whose bytes together stay below a limit.

    Args:
        capacity: Bytes, at most.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[ThumbnailKey, bytes] = OrderedDict()
        self._bytes = 0

    @property
    def used(self) -> int:
        """Bytes of all thumbnails that are kept."""
        return self._bytes

    def get(self, key: ThumbnailKey) -> bytes | None:
        """Return a thumbnail, None if it is not kept."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: ThumbnailKey, data: bytes) -> None:
        """Keep a thumbnail, in place of others if need be."""
        with self._lock:
            if key in self._entries or len(data) > self._capacity:
                return
            self._entries[key] = data
            self._bytes += len(data)
            while self._bytes > self._capacity:
                self._bytes -= len(self._entries.popitem(last=False)[1])
