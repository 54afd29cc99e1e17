"""The answers of different models to the same queries, and how far they agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from onnxsearch._internal.tables import Tabular, columns_of
from onnxsearch._internal.validation import choice, integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.rank_similarity import kendall_tau, overlap, rank_biased_overlap
from onnxsearch.reporting.rows import Section, TextTable
from onnxsearch.search.query import QueryInput, query_image, query_name
from onnxsearch.search.results import SearchResults, as_row
from onnxsearch.types import Hit, JSONValue

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from matplotlib.axes import Axes
    from PIL import Image

    from onnxsearch.embedders.base import Embedder
    from onnxsearch.images.reading import ReadPolicy
    from onnxsearch.search.searcher import Searcher
    from onnxsearch.search.selection import Selection


_PLOTTED = {
    "overlap": ("share of hits that both found", 0.0),
    "rank_biased_overlap": ("rank-biased overlap", 0.0),
    "kendall_tau": ("Kendall's tau of common hits", -1.0),
}
"""What the fields of `Agreement` show, and their least values."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of each model for one query."""

    query: QueryInput
    results: Mapping[str, SearchResults]
    """The hits by name of the model."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two models, as the mean over all queries."""

    models: tuple[str, str]
    overlap: float
    """Share of hits that both found, from 0 to 1."""
    rank_biased_overlap: float
    """The same with more weight for the first ranks, from 0 to 1; p = 0.9."""
    kendall_tau: float
    """Whether both order their common hits alike, from -1 to 1; NaN without such hits."""


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Tabular):
    """Result of `SearchEngine.compare`: the models' answers, side by side.

    Measures are means over all queries and all pairs of models; `agreements` has them
    for each pair.

    Example:
        >>> comparison = engine.compare("query.jpg", limit=10)
        >>> comparison.results["vgg16"].ids
        >>> comparison.overlap(5), comparison.rank_biased_overlap()
    """

    answers: tuple[Answer, ...]
    """One entry per query."""
    limit: int
    """Number of hits that each model was asked for."""

    _columns: ClassVar[Mapping[str, str]] = {"query": "int", "rank": "int", **columns_of(Hit)}

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return all hits as dictionaries with the fields of `Hit`.

        Before these come the number of the query, from 0, and the rank, from 1.
        """
        return [
            {"query": number, **hit}
            for number, answer in enumerate(self.answers)
            for results in answer.results.values()
            for hit in results.to_dicts()
        ]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the engine's order."""
        return tuple(self.answers[0].results)

    @property
    def results(self) -> Mapping[str, SearchResults]:
        """Results by name of the model.

        Raises:
            InvalidArgumentError: There were several queries: see `answers`.
        """
        first, *others = self.answers
        if others:
            raise InvalidArgumentError(
                f"this compares {len(self.answers)} queries: take one of them with "
                "comparison.answers[i].results"
            )
        return first.results

    @property
    def agreements(self) -> tuple[Agreement, ...]:
        """Agreement of each pair of models."""
        return tuple(
            Agreement(
                pair,
                self._mean(lambda a, b: overlap(a, b, self.limit), [pair]),
                self._mean(rank_biased_overlap, [pair]),
                self._mean(kendall_tau, [pair]),
            )
            for pair in self._pairs
        )

    def overlap(self, k: int | None = None) -> float:
        """Return the share of the first `k` hits that two models both found, from 0 to 1.

        Args:
            k: By default the limit of the comparison. Where the album is smaller, its
                size counts.

        Raises:
            InvalidArgumentError: `k` is below 1 or above the limit.
        """
        depth = self.limit if k is None else integer("k", k, least=0)
        if not 1 <= depth <= self.limit:
            raise InvalidArgumentError(
                f"k {depth}: expected 1 to {self.limit}, the limit of this comparison"
            )
        return self._mean(lambda a, b: overlap(a, b, depth), self._pairs)

    def rank_biased_overlap(self, p: float = 0.9) -> float:
        """Return the rank-biased overlap, from 0 to 1; the first ranks weigh most.

        See Webber, Moffat and Zobel, "A Similarity Measure for Indefinite Rankings"
        (ACM TOIS 28(4), 2010), equation 32.

        Args:
            p: Between 0 and 1; 0.9 gives the first ten ranks 86 % of the weight.

        Raises:
            InvalidArgumentError: `p` is not between 0 and 1.
        """
        return self._mean(lambda a, b: rank_biased_overlap(a, b, p), self._pairs)

    def kendall_tau(self) -> float:
        """Return Kendall's tau over the hits that two models have in common, from -1 to 1.

        Queries where fewer than two hits are common don't count; NaN if that holds
        for all.
        """
        return self._mean(kendall_tau, self._pairs)

    def contact_sheet(self, *, size: int = 160) -> Image.Image:
        """Return one image with a row of thumbnails for each model, query by query.

        Args:
            size: Pixels of a thumbnail, at least 16.
        """
        from onnxsearch.reporting.contact_sheet import comparison_sheet

        rows = [row for section in self._sections() for row in section.rows]
        return comparison_sheet(rows, size=size, reading=self._reading)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write an HTML page with the models side by side, and return its path.

        A column per model; lines join each image's ranks in neighbouring columns, and
        arrow keys move between hits. The page contains everything it needs, thumbnails
        included, and fetches nothing. An existing file is replaced when the new page is
        whole.

        Raises:
            InvalidArgumentError: The file cannot be written there.
        """
        from onnxsearch.reporting.html_page import comparison_page, write_page

        title = f"{len(self.models)} models compared"
        page = comparison_page(title, self._summary(), self._sections(), self._reading)
        return write_page(path, page)

    def plot(self, measure: str = "rank_biased_overlap", *, ax: Axes | None = None) -> Axes:
        """Draw how far each two models agree as a matrix; needs the extra `[plots]`.

        Args:
            measure: A field of `Agreement`: `"overlap"`, `"rank_biased_overlap"` or
                `"kendall_tau"`.
            ax: Where to draw; by default axes of a new figure, which is `axes.figure`.

        Raises:
            InvalidArgumentError: There is no such measure, or `ax` is not axes of matplotlib.
            MissingExtraError: matplotlib is not installed.

        Example:
            >>> engine.compare(["one.jpg", "two.jpg"]).plot().figure.savefig("agreement.png")
        """
        from onnxsearch.reporting.plots import draw_agreement

        title, least = _PLOTTED[choice("measure", measure, _PLOTTED.keys())]
        places = {model: place for place, model in enumerate(self.models)}
        values = np.eye(len(places))
        for each in self.agreements:
            one, other = (places[model] for model in each.models)
            values[one, other] = values[other, one] = getattr(each, measure)
        return draw_agreement(self.models, values, title, least, ax)

    def _repr_html_(self) -> str:
        from onnxsearch.reporting.notebook import sections_html

        return sections_html(repr(self), self._sections(), self._reading)

    @property
    def _reading(self) -> ReadPolicy:
        # All results come from one engine.
        return next(iter(self.answers[0].results.values())).reading

    def _sections(self) -> list[Section]:
        return [
            Section(
                query_name(answer.query),
                query_image(answer.query),
                tuple(as_row(results) for results in answer.results.values()),
            )
            for answer in self.answers
        ]

    def _summary(self) -> TextTable:
        means = f"means over {len(self)} queries" if len(self) > 1 else "one query"
        return TextTable(
            caption=f"How far the models agree ({means})",
            columns=("models", "overlap", "rank-biased", "Kendall's tau"),
            lines=tuple(
                (
                    " / ".join(each.models),
                    f"{each.overlap:.2f}",
                    f"{each.rank_biased_overlap:.2f}",
                    f"{each.kendall_tau:.2f}",
                )
                for each in self.agreements
            ),
        )

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return list(combinations(self.models, 2))

    def _mean(
        self,
        measure: Callable[[Sequence[str], Sequence[str]], float],
        pairs: Sequence[tuple[str, str]],
    ) -> float:
        values = [
            value
            for answer in self.answers
            for first, second in pairs
            if not math.isnan(
                value := measure(answer.results[first].ids, answer.results[second].ids)
            )
        ]
        return sum(values) / len(values) if values else math.nan

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)

    def __repr__(self) -> str:
        queries = f"{len(self)} queries" if len(self) > 1 else "1 query"
        lines = [f"<Comparison of {', '.join(self.models)}, {queries}, limit {self.limit}>"]
        for each in self.agreements:
            lines.append(
                f"  {' / '.join(each.models)}: overlap {each.overlap:.2f}, rank-biased "
                f"{each.rank_biased_overlap:.2f}, Kendall's tau {each.kendall_tau:.2f}"
            )
        return "\n".join(lines)


def compare(
    searcher: Searcher,
    query: QueryInput | Sequence[QueryInput],
    embedders: Sequence[Embedder],
    selection: Selection,
) -> Comparison:
    """Compare the answers of different models; see `SearchEngine.compare`."""
    # A text is a sequence too, of texts.
    queries = query if isinstance(query, list | tuple) else [cast("QueryInput", query)]
    if len(embedders) < 2 or not queries:
        raise InvalidArgumentError(
            f"compare was given {len(queries)} queries and {len(embedders)} models: expected at "
            "least one query, and two models to compare"
        )
    found = searcher.by_each(queries, embedders, selection)
    return Comparison(tuple(map(Answer, queries, found)), selection.limit)
