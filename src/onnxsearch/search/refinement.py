"""What improves the answer of a search, beyond the choice among the ranked images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch._internal.validation import instance
from onnxsearch.search.expansion import AlphaQE
from onnxsearch.search.search_context import SearchContext

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.vectors.base import Vectors

QueryTransform: TypeAlias = "Callable[[SearchContext, Embedder, Vectors], Vectors]"
"""Returns the vector that is searched for instead of another one, each of shape (columns,)."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """What improves the answer of a search. The fields are arguments of `search`.

    Each field takes part in one step of a search:

    1. The query is encoded.
    2. Transforms move its vectors, one after the other (`transformed`).
    3. The store ranks the images; several rankings are fused.

    A search without refinements has the same steps, and nothing in the second.
    """

    expand: AlphaQE | None = None

    def __post_init__(self) -> None:
        if self.expand is not None:
            instance("expand", self.expand, AlphaQE, "an AlphaQE, such as AlphaQE(n=5, alpha=3)")

    @property
    def is_nothing(self) -> bool:
        """Whether a search is not refined at all."""
        return self == Refinement()

    def transformed(
        self, context: SearchContext, embedders: Sequence[Embedder]
    ) -> Mapping[str, Vectors]:
        """Return by model the vector that is searched for, of shape (columns,)."""
        rows = {embedder.name: context.rows[embedder.name] for embedder in embedders}
        for transform in self._transforms():
            rows = {e.name: transform(context, e, rows[e.name]) for e in embedders}
        return rows

    def _transforms(self) -> Iterator[QueryTransform]:
        """Yield what moves the query's vectors, in this order."""
        if self.expand is not None:
            yield _expansion(self.expand)


def _expansion(rule: AlphaQE) -> QueryTransform:
    def expanded(context: SearchContext, embedder: Embedder, row: Vectors) -> Vectors:
        neighbours = context.neighbours(embedder, row, rule.n)
        return rule.expanded(embedder.metric, row, neighbours)

    return expanded
