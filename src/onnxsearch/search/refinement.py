"""What improves the answer of a search, beyond the choice among the ranked images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from onnxsearch._internal.validation import boolean, instance
from onnxsearch.catalog.augmented_spaces import augmented_name, is_augmented
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.expansion import AlphaQE
from onnxsearch.search.keywords import Keywords, as_keywords
from onnxsearch.search.query_part import Box, check_box
from onnxsearch.search.reordering import AS_RANKED, Reordering
from onnxsearch.search.rerank import RerankChoice, as_rerank, reordering_by
from onnxsearch.search.search_context import SearchContext

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.rerank import Rerank
    from onnxsearch.search.selection import Selection
    from onnxsearch.vectors.base import Vectors

QueryTransform: TypeAlias = (
    "Callable[[SearchContext, Sequence[Embedder], Mapping[str, Vectors]], Mapping[str, Vectors]]"
)
"""Returns by model the vectors that are searched for instead of others, of shape (columns,)."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """What improves the answer of a search. The fields are arguments of `search`.

    Each field takes part in one step of a search:

    1. The query, or its part in `box`, is encoded, with further models too (`models`).
    2. Transforms move its vectors, one after the other (`transformed`).
    3. The store ranks the images; several rankings are fused, that by `keywords` among them.
    4. The first hits are reordered (`reordering`); what `Selection` says follows.

    A search without refinements has the same steps, and nothing in the second and the fourth.
    """

    expand: AlphaQE | None = None
    rerank: RerankChoice | None = None
    keywords: Keywords | str | None = None
    augmented: bool = False
    box: Sequence[int] | None = None

    def __post_init__(self) -> None:
        boolean("augmented", self.augmented)
        if self.box is not None:
            object.__setattr__(self, "box", check_box(self.box))
        if self.expand is not None:
            instance("expand", self.expand, AlphaQE, "an AlphaQE, such as AlphaQE(n=2, alpha=3)")
        if self.rerank is not None:
            object.__setattr__(self, "rerank", as_rerank(self.rerank))
        if self.keywords is not None:
            object.__setattr__(self, "keywords", as_keywords(self.keywords))

    @property
    def part(self) -> Box | None:
        """The part of the query's image that is searched for."""
        return cast("Box | None", self.box)

    @property
    def words(self) -> Keywords | None:
        """The keywords that are searched for."""
        return cast("Keywords | None", self.keywords)

    @property
    def is_nothing(self) -> bool:
        """Whether a search is not refined at all."""
        return self == Refinement()

    @property
    def models(self) -> Sequence[str]:
        """Names of the models that the query is encoded with, in addition to those that search."""
        return () if self._rerank is None else self._rerank.models

    @property
    def reordered(self) -> int:
        """How many of the first hits are reordered."""
        return 0 if self._rerank is None else self._rerank.first

    @property
    def _rerank(self) -> Rerank | None:
        return cast("Rerank | None", self.rerank)

    def check_with(self, selection: Selection) -> None:
        """Check what does not go together.

        Raises:
            InvalidArgumentError: There is such a thing.
        """
        if self.rerank is not None and selection.diversity:
            raise InvalidArgumentError(
                "rerank does not go with diversity: each puts the hits into an order of its own"
            )

    def searched(self, names: Sequence[str]) -> list[str]:
        """Return the names of the models that are searched instead of these."""
        if not self.augmented:
            return list(names)
        return [name if is_augmented(name) else augmented_name(name) for name in names]

    def transformed(
        self, context: SearchContext, embedders: Sequence[Embedder]
    ) -> Mapping[str, Vectors]:
        """Return by model the vector that is searched for, of shape (columns,)."""
        rows: Mapping[str, Vectors] = {e.name: context.rows[e.name] for e in embedders}
        for transform in self._transforms():
            rows = transform(context, embedders, rows)
        return rows

    def reordering(self, context: SearchContext) -> Reordering:
        """Return how the first hits are reordered."""
        return AS_RANKED if self._rerank is None else reordering_by(self._rerank, context)

    def _transforms(self) -> Iterator[QueryTransform]:
        """Yield what moves the query's vectors, in this order."""
        if self.expand is not None:
            yield _expansion(self.expand)


def _expansion(rule: AlphaQE) -> QueryTransform:
    def expanded(
        context: SearchContext, embedders: Sequence[Embedder], rows: Mapping[str, Vectors]
    ) -> Mapping[str, Vectors]:
        near = context.neighbours(embedders, rows, rule.n)
        return {e.name: rule.expanded(e.metric, rows[e.name], near[e.name]) for e in embedders}

    return expanded
