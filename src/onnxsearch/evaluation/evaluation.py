"""The quality of rankings: what was measured of each query, and the means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.tables import Tabular, columns_of, row
from onnxsearch._internal.validation import choice, instance
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.bootstrap import Bootstrap, Estimate
from onnxsearch.evaluation.confusion import Confusion
from onnxsearch.evaluation.paired_difference import PairedDifference
from onnxsearch.reporting.curves import Curve
from onnxsearch.types import JSONValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Scores:
    """The quality of one model's rankings, as means over all queries."""

    precision: Mapping[int, Estimate]
    """By k, the share of right answers among the first k."""
    recall: Mapping[int, Estimate]
    """By k, the share of all right answers that are among the first k."""
    mean_average_precision: Estimate
    """The mean, over all right answers, of the precision at their ranks."""
    ndcg: Estimate
    """Normalised discounted cumulative gain, over the whole ranking."""
    precision_at_recall: Mapping[float, Estimate]
    """The precision/recall curve: by recall, from 0 to 1 in tenths, the interpolated precision,
    which is the best one at this recall or a greater one."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryTable:
    """What was measured of each query."""

    queries: tuple[str, ...]
    """Their ids."""
    measures: tuple[str, ...]
    """Names of the columns."""
    values: Mapping[str, NDArray[np.float64]]
    """By model, of shape (queries, measures)."""

    def column(self, model: str, metric: str) -> NDArray[np.float64]:
        """Return one measure of each query, of shape (queries,)."""
        place = self.measures.index(choice("metric", metric, self.measures))
        return self.values[model][:, place]


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Tabular):
    """Result of `SearchEngine.evaluate`.

    Example:
        >>> evaluation = engine.evaluate("label")
        >>> evaluation.scores["vgg16"].mean_average_precision.value
        >>> print(evaluation.compare("resnet50", "vgg16"))
    """

    scores: Mapping[str, Scores]
    """By model; the fusion's name is that of all models, separated by "+"."""
    queries: int
    """Number of images that were searched for."""
    pictures: int
    """Number of images that were ranked for each of them."""
    table: QueryTable = field(compare=False)
    """What was measured of each query."""
    confusions: Mapping[str, Confusion] = field(
        default_factory=dict[str, "Confusion"], compare=False
    )
    """By model, the classes of the images that were found first. Empty where pairs were given."""

    _columns: ClassVar[Mapping[str, str]] = {
        "model": "str",
        "measure": "str",
        **columns_of(Estimate),
    }

    @classmethod
    def side_by_side(cls, evaluations: Mapping[str, Evaluation]) -> Self:
        """Join evaluations of the same queries, such as those of different settings.

        Args:
            evaluations: The evaluations by a name of your own. It replaces the name of the
                model; of an evaluation that has several, the model's follows, after a "/".

        Raises:
            InvalidArgumentError: There is none, or they have different queries, numbers of
                ranked images, or measures.

        Example:
            >>> both = Evaluation.side_by_side({"before": before, "after": after})
            >>> print(both.compare("after", "before"))
        """
        named = _checked(evaluations)
        first = next(iter(named.values()))
        scores: dict[str, Scores] = {}
        values: dict[str, NDArray[np.float64]] = {}
        confusions: dict[str, Confusion] = {}
        for name, evaluation in named.items():
            for model in evaluation.scores:
                joined = name if len(evaluation.scores) == 1 else f"{name}/{model}"
                scores[joined] = evaluation.scores[model]
                values[joined] = evaluation.table.values[model]
                if model in evaluation.confusions:
                    confusions[joined] = evaluation.confusions[model]
        table = QueryTable(first.table.queries, first.table.measures, values)
        return cls(scores, first.queries, first.pictures, table, confusions)

    def compare(
        self,
        first: str,
        second: str,
        *,
        metric: str = "mean_average_precision",
        confidence: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> PairedDifference:
        """Say which of two models, or other rankings of this evaluation, is better.

        Their intervals may overlap although one is better at nearly every query. This looks at
        the difference at each query instead (paired bootstrap), so it shows smaller differences.

        Args:
            first: Name of a model, of a fusion, or given to `side_by_side`.
            second: Another one.
            metric: One of those of `to_dicts`, such as `precision@1` or `ndcg`.
            confidence: Confidence level of the interval. Who compares many pairs finds some
                that differ by chance: raise it.
            resamples: Number of bootstrap samples.
            seed: Seed of the bootstrap samples.

        Raises:
            InvalidArgumentError: There is no such model or metric, `confidence` is not between
                0 and 1, `resamples` is below 1 or `seed` below 0.

        Example:
            >>> print(evaluation.compare("resnet50", "vgg16", metric="precision@1"))
            resnet50 is better than vgg16: precision@1 +0.031 (+0.012 to +0.050), ...
        """
        for name, model in (("first", first), ("second", second)):
            choice(name, model, self.scores)
        differences = self.table.column(first, metric) - self.table.column(second, metric)
        bootstrap = Bootstrap(confidence, resamples, seed)
        (difference,) = bootstrap.estimates(differences[:, np.newaxis])
        return PairedDifference(first, second, metric, difference, confidence, self.queries)

    def by_query(self, model: str, metric: str = "mean_average_precision") -> dict[str, float]:
        """Return one measure of each query, by its id: which images are searched for in vain?

        Args:
            model: As `first` in `compare`.
            metric: One of those of `to_dicts`; of a single query, the mean average precision is
                its average precision.

        Raises:
            InvalidArgumentError: There is no such model or metric.

        Example:
            >>> found = evaluation.by_query("vgg16")
            >>> worst = sorted(found, key=found.get)[:10]
        """
        column = self.table.column(choice("model", model, self.scores), metric)
        return dict(zip(self.table.queries, column.tolist(), strict=True))

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return a dictionary for each model and measure, with the fields of `Estimate`.

        The measures are `precision@k` and `recall@k` for each k, `mean_average_precision` and
        `ndcg`.
        """
        return [
            {"model": model, "measure": measure, **row(estimate)}
            for model, scores in self.scores.items()
            for measure, estimate in _by_measure(scores)
        ]

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the precision/recall curve of each model; needs the extra `[plots]`.

        The curves are `Scores.precision_at_recall`, with their intervals as bands.

        Args:
            ax: Where to draw; by default axes of a new figure, which is `axes.figure`.

        Raises:
            InvalidArgumentError: `ax` is not axes of matplotlib.
            MissingExtraError: matplotlib is not installed.

        Example:
            >>> engine.evaluate("label").plot().figure.savefig("curves.png")
        """
        from onnxsearch.reporting.plots import draw_curves

        return draw_curves(self._curves(), "recall", "precision", ax)

    def _repr_html_(self) -> str:
        from onnxsearch.reporting.notebook_tables import Measured, measures_html

        caption = f"{self.queries} queries among {self.pictures} images"
        lines = [
            (name, [Measured(each.value, each.low, each.high) for _, each in _by_measure(scores)])
            for name, scores in self.scores.items()
        ]
        axes = ("recall", "precision")
        return measures_html(caption, self._titles(), lines, self._curves(), axes)

    def _titles(self) -> list[str]:
        ks = list(next(iter(self.scores.values())).precision)
        return [*(f"P@{k}" for k in ks), *(f"R@{k}" for k in ks), "mAP", "nDCG"]

    def _curves(self) -> list[Curve]:
        return [_curve(name, scores.precision_at_recall) for name, scores in self.scores.items()]

    def __repr__(self) -> str:
        head = f"<Evaluation of {self.queries} queries among {self.pictures} images>"
        width = max(len("model"), *map(len, self.scores))
        titles = "".join(f"  {title:>6}" for title in self._titles())
        lines = [head, f"  {'model':{width}}{titles}"]
        for name, scores in self.scores.items():
            numbers = "".join(f"  {estimate.value:6.3f}" for _, estimate in _by_measure(scores))
            lines.append(f"  {name:{width}}{numbers}")
        return "\n".join(lines)


def _by_measure(scores: Scores) -> Iterator[tuple[str, Estimate]]:
    yield from ((f"precision@{k}", estimate) for k, estimate in scores.precision.items())
    yield from ((f"recall@{k}", estimate) for k, estimate in scores.recall.items())
    yield "mean_average_precision", scores.mean_average_precision
    yield "ndcg", scores.ndcg


def _curve(name: str, points: Mapping[float, Estimate]) -> Curve:
    estimates = points.values()
    return Curve(
        name,
        tuple(points),
        tuple(each.value for each in estimates),
        tuple(each.low for each in estimates),
        tuple(each.high for each in estimates),
    )


def _checked(evaluations: Mapping[str, Evaluation]) -> Mapping[str, Evaluation]:
    expected = "a mapping from names to evaluations, at least one"
    instance("evaluations", evaluations, Mapping, expected)
    for name, evaluation in evaluations.items():
        instance("evaluations", name, str, expected)
        instance("evaluations", evaluation, Evaluation, expected)
    kinds = {(e.table.queries, e.pictures, e.table.measures) for e in evaluations.values()}
    if len(kinds) != 1:
        raise InvalidArgumentError(
            f"evaluations {', '.join(evaluations) or 'are empty'}: expected at least one, all of "
            "the same queries, the same number of ranked images and the same k"
        )
    return evaluations
