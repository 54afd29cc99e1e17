"""Results of a search."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, overload

from onnxsearch._internal.tables import Tabular, columns_of, row
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.reporting.rows import Card, Row
from onnxsearch.types import Hit, JSONValue, Metric

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True, repr=False)
class SearchResults(Sequence[Hit], Tabular):
    """The hits of one search, nearest first."""

    hits: tuple[Hit, ...]
    model: str
    """Name of the model that searched; of several models all names, separated by "+"."""
    metric: Metric | None
    """How the distances are measured; None where the hits of several models were fused, and for
    keywords alone."""
    reading: ReadPolicy = field(default=READ_STRICTLY, compare=False)
    """How reports open image files for their thumbnails: the engine's policy."""

    _columns: ClassVar[Mapping[str, str]] = {"rank": "int", **columns_of(Hit)}

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @property
    def ids(self) -> list[str]:
        """The ids of the hits, nearest first."""
        return [hit.id for hit in self.hits]

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return the hits as dictionaries: the rank, from 1, and the fields of `Hit`."""
        return [{"rank": rank, **row(hit)} for rank, hit in enumerate(self.hits, 1)]

    def contact_sheet(self, *, columns: int = 5, size: int = 160) -> Image.Image:
        """Return the hits as one image: thumbnails with rank, distance (or score) and name.

        Args:
            columns: Thumbnails in a row, at least 1.
            size: Pixels of a thumbnail, at least 16.

        Raises:
            InvalidArgumentError: `columns` or `size` is out of its range.
        """
        from onnxsearch.reporting.contact_sheet import contact_sheet

        return contact_sheet(as_row(self), columns=columns, size=size, reading=self.reading)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write an HTML page that shows the hits, and return its path.

        The page contains everything it needs, thumbnails included, and fetches nothing.
        An existing file is replaced when the new page is whole.

        Raises:
            InvalidArgumentError: The file cannot be written there.
        """
        from onnxsearch.reporting.html_page import row_page, write_page

        return write_page(path, row_page(as_row(self), self.reading))

    def _repr_html_(self) -> str:
        from onnxsearch.reporting.notebook import row_html

        return row_html(as_row(self), self.reading)

    def __repr__(self) -> str:
        lines = [f"  {measured(self, hit):8.4f}  {hit.uri or hit.id}" for hit in self.hits[:20]]
        if len(self.hits) > 20:
            lines.append(f"  ... {len(self.hits) - 20} more")
        head = f"<SearchResults {len(self.hits)} hits, model {self.model!r}, {measure_of(self)}>"
        return "\n".join([head, *lines])


def measure_of(results: SearchResults) -> str:
    """Return the name of the metric, as reports show it."""
    if results.metric:
        return results.metric.value
    # Of one ranking without a metric, which is that by keywords, the scores are BM25.
    return "fused" if "+" in results.model else "BM25"


def measured(results: SearchResults, hit: Hit) -> float:
    """Return the number that reports show of a hit: its distance, or its score without a metric."""
    return hit.distance if results.metric else hit.score


def as_row(results: SearchResults) -> Row:
    """Return the results as a row of a report."""
    cards = (
        Card(hit.id, rank, measured(results, hit), _short_name(hit), hit.uri)
        for rank, hit in enumerate(results, 1)
    )
    return Row(results.model, measure_of(results), tuple(cards))


def _short_name(hit: Hit) -> str:
    """Return the name of the hit's file without folders; without a file, the id."""
    return hit.id if hit.uri is None else os.path.basename(hit.uri) or hit.uri
