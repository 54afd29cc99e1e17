"""Which classes of images a model takes for each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.tables import Tabular
from onnxsearch._internal.validation import integer
from onnxsearch.types import JSONValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, repr=False)
class Confusion(Tabular):
    """How often the nearest image of a query belongs to each class.

    A value of `Evaluation.confusions`. Only what occurs is stored: at most one entry per query,
    however many classes there are.

    Example:
        >>> confusion = engine.evaluate("label").confusions["vgg16"]
        >>> for query, nearest, queries in confusion.mistakes[:5]:
        ...     print(queries, query, "taken for", nearest)
    """

    labels: tuple[str, ...]
    """The classes, in order, as text."""
    counts: Mapping[tuple[int, int], int]
    """Number of queries by positions in `labels`: of the query's class, and of the class of the
    image that was found first."""

    _columns: ClassVar[Mapping[str, str]] = {"label": "str", "nearest": "str", "queries": "int"}

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return a dictionary for each two classes that occur: `label`, `nearest`, `queries`."""
        return [
            {"label": self.labels[one], "nearest": self.labels[other], "queries": count}
            for (one, other), count in sorted(self.counts.items())
        ]

    @property
    def mistakes(self) -> list[tuple[str, str, int]]:
        """Classes of queries, the other classes they were taken for, and how often.

        The most frequent mistake is the first.
        """
        wrong = [(pair, count) for pair, count in self.counts.items() if pair[0] != pair[1]]
        ordered = sorted(wrong, key=lambda each: (-each[1], each[0]))
        return [(self.labels[one], self.labels[other], count) for (one, other), count in ordered]

    def matrix(self, classes: int = 25) -> tuple[list[str], NDArray[np.int64]]:
        """Return the numbers of queries as a matrix of the classes that are confused most.

        Args:
            classes: Classes in the matrix, at most: those with the most mistakes. The rest is
                added up as the last one, "other".

        Returns:
            The names of the classes, and the matrix, of shape (n, n) and type int64. It has a
            row for each class of queries, and a column for each class of the image found first.

        Raises:
            InvalidArgumentError: `classes` is below 1.
        """
        most = integer("classes", classes, least=1)
        mistakes: Counter[int] = Counter()
        for (one, other), count in self.counts.items():
            if one != other:
                mistakes.update({one: count, other: count})
        ranked = sorted(range(len(self.labels)), key=lambda label: (-mistakes[label], label))
        places = {label: place for place, label in enumerate(sorted(ranked[:most]))}
        names = [self.labels[label] for label in places]
        names += ["other"] if len(ranked) > most else []
        matrix = np.zeros((len(names), len(names)), np.int64)
        for (one, other), count in self.counts.items():
            matrix[places.get(one, most), places.get(other, most)] += count
        return names, matrix

    def plot(self, *, classes: int = 25, ax: Axes | None = None) -> Axes:
        """Draw the matrix as shares of the queries of each class; needs the extra `[plots]`.

        Args:
            classes: As for `matrix`.
            ax: Where to draw; by default axes of a new figure, which is `axes.figure`.

        Raises:
            InvalidArgumentError: `classes` is below 1, or `ax` is not axes of matplotlib.
            MissingExtraError: matplotlib is not installed.
        """
        from onnxsearch.reporting.plots import draw_confusion

        return draw_confusion(*self.matrix(classes), ax)

    def __repr__(self) -> str:
        right = sum(count for (one, other), count in self.counts.items() if one == other)
        return (
            f"<Confusion of {len(self.labels)} classes: the nearest image of {right} of "
            f"{sum(self.counts.values())} queries is of their class>"
        )
