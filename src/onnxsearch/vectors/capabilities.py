"""Optional capabilities of vector stores: searches that can be tuned, and range joins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """One way to search an existing collection."""

    index: Index
    """Argument for the store with which every search is like this one."""
    search: Callable[[Vectors, int], list[list[Match]]]
    """Function of queries of shape (n, columns) and a limit, like `VectorStore.search`."""


@runtime_checkable
class Tunable(Protocol[Index]):
    """Protocol of stores whose searches can be faster or more exact without a new index.

    A `VectorStore` offers it by having this method; it need not inherit from this class.
    """

    def variants(self, collection: str, limit: int) -> Sequence[Variant[Index]]:
        """Return the ways to search `collection` for `limit` rows, cheapest first.

        There is at least one way. The collection and the searches of the store itself do not
        change.

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        ...


@runtime_checkable
class RangeJoin(Protocol):
    """Protocol of stores that find all pairs of near rows without a search for each row.

    A `VectorStore` offers it by having this method; it need not inherit from this class.
    """

    def pairs_within(
        self,
        collection: str,
        max_distance: float,
        *,
        compared: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[str, str]] | None:
        """Return the keys of all pairs of rows that are at most `max_distance` apart.

        The distances are those that `search` returns. Each pair comes at least once, its keys
        in any order. None if there is no faster way than to search for each row.

        Args:
            collection: Name of an existing collection.
            max_distance: The greatest distance of a pair.
            compared: A function that is called now and then, while the pairs are read, with
                the number of rows that have been compared with all others, and that of all rows.

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        ...
