"""The abstraction of what images come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from onnxsearch.types import Item, Outcome


@runtime_checkable
class Source(Protocol):
    """Images to store, one after another: any iterable of items is a source.

    A source yields an `Outcome` for what it leaves out, so that the report names it. Items
    whose images are expensive (a download, a member of an archive) carry a function instead
    of the image; several threads call such functions at once.

    Example:
        >>> class Camera:
        ...     def __iter__(self):
        ...         for number in range(10):
        ...             yield Item(self.capture, id=f"frame {number}")
        >>> engine.add_many(Camera())
    """

    def __iter__(self) -> Iterator[Item | Outcome]:
        """Yield the items, in any order."""
        ...
