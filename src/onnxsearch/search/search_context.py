"""One search under way, as its refinements see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.embedders.registry import EmbedderRegistry
    from onnxsearch.filters import Filter
    from onnxsearch.search.found_records import FoundRecords
    from onnxsearch.search.fusion import Fusion
    from onnxsearch.search.omission import Omission
    from onnxsearch.search.query import QueryInput
    from onnxsearch.search.retriever import Ranker, Retriever
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
    records: FoundRecords
    """What the search has read of records."""
    fusion: Fusion
    """How several rankings are fused."""
    others: Mapping[str, Ranker] = field(default_factory=dict[str, "Ranker"])
    """What ranks the images without a vector, by name: the keywords."""
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """Keys that images had when they were found, by id."""

    def rankers(
        self, embedders: Sequence[Embedder], rows: Mapping[str, Vectors]
    ) -> dict[str, Ranker]:
        """Return by name what ranks the images for vectors of shape (columns,), and without one."""
        ranked = {
            each.name: self.retriever.ranker(each, rows[each.name][np.newaxis], self.filter)
            for each in embedders
        }
        return {**ranked, **self.others}

    def neighbours(
        self, embedders: Sequence[Embedder], rows: Mapping[str, Vectors], count: int
    ) -> dict[str, Vectors]:
        """Return by model the vectors of the nearest images, of shape (n, columns), n <= count.

        They are the first images that the search finds with `rows`: by the fusion, where there
        are several rankings, and the same ones for all models.
        """
        rankers = self.rankers(embedders, rows)
        keys = self.retriever.nearest(rankers, self.fusion, count, self.omission, self.records)
        return {each.name: self.retriever.present_rows(each, keys) for each in embedders}

    def vectors(self, embedder: Embedder, ids: Sequence[str]) -> dict[str, Vectors]:
        """Return the stored vectors of images by id, each of shape (columns,), where there are."""
        return self.retriever.rows(embedder, ids, self.keys)
