"""Optional capabilities of stores: tuned and rough searches, range joins, late interaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeVar

    from onnxsearch.filters import Filter
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


class Candidates(NamedTuple):
    """Rows among which the nearest ones of a query most likely are, in any order."""

    keys: Sequence[str]
    vectors: Vectors
    """Their vectors, (n, columns)."""


@runtime_checkable
class CandidateSearch(Protocol):
    """Protocol of stores that find roughly the nearest rows, with their vectors, in less time.

    It is for a caller that compares the vectors itself, such as by another distance. A
    `VectorStore` offers it by having this method; it need not inherit from this class.
    """

    def candidates(self, collection: str, queries: Vectors, limit: int) -> list[Candidates]:
        """Return for each query at least `limit` rows, or all, that are roughly the nearest.

        Args:
            collection: Name of an existing collection.
            queries: Matrix with the `columns` and `dtype` of the `CollectionSpec`.
            limit: Rows per query, at least 1.

        Raises:
            CollectionNotFoundError: There is no such collection.
            InvalidArgumentError: `limit` or `queries` is not valid.
        """
        ...


class Parts(NamedTuple):
    """Vectors that lie one after another in the row of a collection."""

    number: int
    """Vectors of a row that are compared: the first ones."""
    dimension: int
    """Numbers in each; the columns of the collection are a multiple of it."""


@runtime_checkable
class LateInteraction(Protocol):
    """Protocol of stores that compare a query with several vectors of each row.

    An image whose parts have vectors of their own is one row, so that all of them are stored,
    replaced and removed at once. A `VectorStore` offers it by having this method; it need not
    inherit from this class.
    """

    def search_parts(
        self,
        collection: str,
        queries: Vectors,
        parts: Parts,
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[list[Match]]:
        """Return the `limit` nearest rows of each query, nearest first.

        The distance of a row is that of its nearest part (the operator MaxSim of Khattab and
        Zaharia, ColBERT, 2020, for one query vector), by the metric of the collection. Rows at
        equal distances are in the order of their keys.

        Args:
            collection: Name of an existing collection of float32 vectors.
            queries: Matrix (n, `parts.dimension`) float32.
            parts: How the vectors lie in a row.
            limit: Rows per query, at least 1.
            filter: Keeps only rows whose metadata match.

        Raises:
            CollectionNotFoundError: There is no such collection.
            InvalidArgumentError: An argument does not fit the collection, or has a wrong type or
                value.
        """
        ...
