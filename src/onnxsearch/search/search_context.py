"""One search under way, as its refinements see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.embedders.registry import EmbedderRegistry
    from onnxsearch.filters import Filter
    from onnxsearch.search.omission import Omission
    from onnxsearch.search.query import QueryInput
    from onnxsearch.search.retriever import Retriever
    from onnxsearch.vectors.base import Vectors


@dataclass(frozen=True, slots=True)
class SearchContext:
    """One search under way, as its refinements see it."""

    query: QueryInput
    """The query; an open file has been read into bytes."""
    rows: Mapping[str, Vectors]
    """The query's vector as it was encoded, of shape (columns,), by model: of the models that
    search, and of those that a refinement needs."""
    filter: Filter | None
    omission: Omission
    """The images that the results leave out."""
    embedders: EmbedderRegistry
    retriever: Retriever
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """Keys that images had when they were found, by id."""

    def neighbours(self, embedder: Embedder, row: Vectors, count: int) -> Vectors:
        """Return the vectors of the images nearest to `row`, of shape (n, columns), n <= count.

        Only images take part that the search may find: those that match the filter, and are not
        left out.
        """
        return self.retriever.neighbours(embedder, row, count, self.filter, self.omission)

    def vectors(self, embedder: Embedder, ids: Sequence[str]) -> dict[str, Vectors]:
        """Return the stored vectors of images by id, each of shape (columns,), where there are."""
        return self.retriever.rows(embedder, ids, self.keys)
