"""What a vector store may offer so that its approximate searches can be tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeVar

    from onnxsearch.vectors.base import Match, Vectors

    # Where the type of the store is not known, neither is that of its indexes.
    Index = TypeVar("Index", covariant=True, default=Any)
else:
    from typing import TypeVar

    Index = TypeVar("Index", covariant=True)


@dataclass(frozen=True, slots=True)
class Variant(Generic[Index]):
    """One way to search a collection as it is."""

    index: Index
    """What to give the store so that it always searches like this."""
    search: Callable[[Vectors, int], list[list[Match]]]
    """Searches for queries of shape (n, columns), with a limit, as `VectorStore.search`."""


@runtime_checkable
class Tunable(Protocol[Index]):
    """A store whose searches can be made quicker or more exact without a new index.

    To offer it, a `VectorStore` has this method; it need not name this class.
    """

    def variants(self, collection: str, limit: int) -> Sequence[Variant[Index]]:
        """Return the ways to search `collection` for `limit` rows, cheapest first.

        At least one. Nothing of the collection changes, nor how the store itself searches.

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        ...
