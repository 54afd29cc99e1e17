"""Plots, and measures in notebooks."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from onnxsearch import (
    Comparison,
    Evaluation,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Query,
    SearchEngine,
    Threshold,
    Tuning,
)
from onnxsearch.testing import FakeEmbedder, picture
from tests.reporting.test_reports import parsed

# No formula, no tag, no private name, and longer than an axis has room for.
LABELS = ["$\\frac{", "<script>alert(1)</script>", "_hidden", "line\nbreak\x07", "long " * 20]


@pytest.fixture(scope="module")
def engine() -> SearchEngine:
    models = [FakeEmbedder("one", 4), FakeEmbedder("two", 6), FakeEmbedder("three", 8)]
    engine = SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore())
    for label in LABELS:
        for number in range(4):
            id = f"{LABELS.index(label)}-{number}"
            engine.add(picture(id), id=id, metadata={"label": label})
    return engine


@pytest.fixture(scope="module")
def evaluation(engine: SearchEngine) -> Evaluation:
    return engine.evaluate("label", k=(1, 3))


@pytest.fixture(scope="module")
def comparison(engine: SearchEngine) -> Comparison:
    return engine.compare([Query.id("0-0"), Query.id("1-1")], limit=5)


@pytest.fixture(scope="module")
def threshold(engine: SearchEngine) -> Threshold:
    return engine.duplicate_threshold([("0-0", "0-1"), ("1-0", "1-1"), ("2-0", "2-3")])


def drawn(axes: Axes) -> Image.Image:
    """Return the pixels of a plot: nothing in it fails only when it is drawn."""
    file = io.BytesIO()
    axes.figure.savefig(file, format="png")  # type: ignore[union-attr]
    image = Image.open(file)
    image.load()
    return image


def test_curves_are_those_of_the_scores(evaluation: Evaluation) -> None:
    axes = evaluation.plot()
    assert isinstance(axes, Axes)
    for line, scores in zip(axes.lines, evaluation.scores.values(), strict=True):
        points = scores.precision_at_recall
        assert line.get_xdata().tolist() == list(points)  # type: ignore[union-attr]
        assert line.get_ydata().tolist() == [each.value for each in points.values()]  # type: ignore[union-attr]
    bands = [each for each in axes.collections if isinstance(each, PolyCollection)]
    assert len(bands) == len(evaluation.scores)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(evaluation.scores)
    assert drawn(axes).width > 100


def test_curves_differ_without_colour(evaluation: Evaluation) -> None:
    looks = {(line.get_linestyle(), line.get_marker()) for line in evaluation.plot().lines}
    dashes = {str(line._dash_pattern) for line in evaluation.plot().lines}  # type: ignore[attr-defined]
    assert len(looks) == len(dashes) == len(evaluation.scores)


def test_a_matrix_of_classes(evaluation: Evaluation) -> None:
    confusion = evaluation.confusions["one"]
    axes = confusion.plot()
    (image,) = (each for each in axes.images if isinstance(each, AxesImage))
    names, matrix = confusion.matrix()
    assert np.allclose(image.get_array(), matrix / matrix.sum(axis=1, keepdims=True))  # type: ignore[arg-type]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert len(labels) == len(names) == 5
    assert {"$\\frac{", "_hidden", "line break "} <= set(labels)
    assert max(map(len, labels)) == 28
    assert drawn(axes).width > 100
    assert len(confusion.plot(classes=2).get_yticklabels()) == 3


@pytest.mark.parametrize("measure", ["overlap", "rank_biased_overlap", "kendall_tau"])
def test_agreement_of_models(comparison: Comparison, measure: str) -> None:
    axes = comparison.plot(measure)
    values = np.asarray(axes.images[0].get_array())
    assert np.allclose(values, values.T, equal_nan=True)
    assert np.allclose(np.diag(values), 1)
    for each in comparison.agreements:
        one, other = (comparison.models.index(model) for model in each.models)
        assert values[one, other] == pytest.approx(getattr(each, measure), nan_ok=True)
    assert drawn(axes).width > 100


def test_distances_and_the_threshold_between(threshold: Threshold) -> None:
    axes = threshold.plot()
    (border,) = axes.lines
    assert border.get_xdata() == [threshold.max_distance] * 2
    stairs = [patch.get_data() for patch in axes.patches]  # type: ignore[attr-defined]
    assert [data.values.sum() for data in stairs] == [6, 3]
    assert drawn(axes).width > 100


def test_distances_need_a_bounded_number_of_bins() -> None:
    apart = tuple(np.linspace(0, 1e-9, 5000).tolist())
    axes = Threshold(0.5, 1.0, 1.0, apart, (*apart, 1e6)).plot()
    assert len(axes.patches[0].get_data().values) <= 60  # type: ignore[attr-defined]


def test_plots_go_where_they_are_told(
    evaluation: Evaluation, comparison: Comparison, threshold: Threshold
) -> None:
    figure = Figure()
    places = figure.subplots(2, 2).ravel()
    given = [evaluation.plot, comparison.plot, threshold.plot, evaluation.confusions["one"].plot]
    assert [plot(ax=ax) is ax for plot, ax in zip(given, places, strict=True)] == [True] * 4
    assert drawn(places[0]).width > 100


def test_bad_arguments_are_told(evaluation: Evaluation, comparison: Comparison) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^ax .* expected axes of matplotlib"):
        evaluation.plot(ax=Figure())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="measure 'agreement': expected one of"):
        comparison.plot("agreement")
    with pytest.raises(InvalidArgumentError, match="duplicate_threshold"):
        Threshold(0.5, 1.0, 1.0).plot()


def test_a_notebook_shows_measures_with_intervals(evaluation: Evaluation) -> None:
    page = evaluation._repr_html_()
    shown = "".join(parsed(page).text)
    for name, scores in evaluation.scores.items():
        estimate = scores.mean_average_precision
        assert name in shown
        assert f"{estimate.value:.3f}" in shown
        assert f"{estimate.low:.3f} to {estimate.high:.3f}" in shown
    assert shown.count("★") >= 6, "one for each measure at least"
    assert page.count("<title>") == len(evaluation.scores), "a curve for each model"
    alone = Evaluation({"one": evaluation.scores["one"]}, 1, 2, evaluation.table)
    assert "★" not in alone._repr_html_()


def test_evaluations_side_by_side_keep_what_is_drawn(evaluation: Evaluation) -> None:
    joined = Evaluation.side_by_side({"before": evaluation, "after": evaluation})
    assert len(joined.plot().lines) == 2 * len(evaluation.scores)
    assert joined.confusions["after/one"] == evaluation.confusions["one"]


def test_a_notebook_shows_thresholds_and_tunings(
    engine: SearchEngine, threshold: Threshold
) -> None:
    assert f"{threshold.max_distance:.4g}" in threshold._repr_html_()
    tuning: Tuning = engine.tune(0.9)
    assert "Target 0.9: reached" in tuning._repr_html_()
    assert "proposed" in tuning._repr_html_()
    assert "1.000" in engine.recall()._repr_html_()


@pytest.mark.integration
def test_a_plot_leaves_pyplot_alone() -> None:
    program = (
        "import sys; from onnxsearch import Threshold\n"
        "assert 'matplotlib' not in sys.modules\n"
        "Threshold(0.5, 1.0, 1.0, (0.1,), (0.9,)).plot().figure.savefig(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, "/dev/null"], check=True)
