"""Which of two rankings is better, by the differences at each query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from onnxsearch import (
    Estimate,
    Evaluation,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    QueryTable,
    Scores,
    SearchEngine,
)
from onnxsearch.testing import FakeEmbedder, picture

NONE = Estimate(0, 0, 0)


def evaluation(**values: NDArray[np.float64]) -> Evaluation:
    """Return an evaluation whose only measure of each query is given, by model."""
    count = len(next(iter(values.values())))
    table = QueryTable(
        queries=tuple(f"image {number}" for number in range(count)),
        measures=("ndcg",),
        values={model: column[:, None] for model, column in values.items()},
    )
    scores = {model: Scores({1: NONE}, {1: NONE}, NONE, NONE, {}) for model in values}
    return Evaluation(scores, count, count, table)


columns = st.integers(2, 30).flatmap(
    lambda count: st.tuples(
        *[st.lists(st.floats(0, 1), min_size=count, max_size=count).map(np.array)] * 2
    )
)


@settings(max_examples=30)
@given(columns, st.floats(0.5, 0.99), st.integers(0, 9))
def test_a_difference_is_the_opposite_of_its_reverse(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], confidence: float, seed: int
) -> None:
    both = evaluation(a=pair[0], b=pair[1])
    settings = {"metric": "ndcg", "confidence": confidence, "resamples": 50, "seed": seed}
    forth = both.compare("a", "b", **settings)  # type: ignore[arg-type]
    back = both.compare("b", "a", **settings)  # type: ignore[arg-type]
    it, reverse = forth.difference, back.difference
    expected = (-reverse.value, -reverse.high, -reverse.low)
    assert (it.value, it.low, it.high) == pytest.approx(expected, abs=1e-12)
    assert it.value == pytest.approx(pair[0].mean() - pair[1].mean())
    assert it.low - 1e-12 <= it.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20).map(np.array))
def test_a_ranking_is_not_better_than_an_equal_one(column: NDArray[np.float64]) -> None:
    difference = evaluation(a=column, b=column).compare("a", "b", metric="ndcg", resamples=20)
    assert difference.difference == NONE
    assert difference.better is None
    assert "no difference of a and b is shown" in str(difference)


@pytest.mark.integration
def test_an_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        hard = random.normal(0.5, 0.3, 60)  # queries that are hard are so for both
        a = hard + random.normal(0.05, 0.1, 60)
        b = hard + random.normal(0.0, 0.1, 60)
        it = evaluation(a=a, b=b).compare(
            "a", "b", metric="ndcg", confidence=0.9, resamples=200, seed=trial
        )
        held += it.difference.low <= 0.05 <= it.difference.high
    assert 0.84 <= held / 200 <= 0.95


def test_pairs_decide_where_two_intervals_overlap() -> None:
    random = np.random.default_rng(1)
    hard = random.uniform(0, 0.9, 100)
    both = evaluation(good=hard + 0.05 + random.normal(0, 0.02, 100), poor=hard)
    difference = both.compare("poor", "good", metric="ndcg")
    assert difference.better == "good"
    assert str(difference).startswith("good is better than poor: ndcg -0.0")
    assert both.compare("good", "poor", metric="ndcg").better == "good"


@pytest.fixture(scope="module")
def engine() -> SearchEngine:
    models = [FakeEmbedder("one", 4), FakeEmbedder("two", 6)]
    engine = SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore())
    for number in range(12):
        engine.add(picture(f"{number}"), id=f"{number}", metadata={"label": number % 3})
    return engine


def test_models_and_their_fusion_are_compared(engine: SearchEngine) -> None:
    found = engine.evaluate("label")
    for metric in ("precision@1", "recall@5", "mean_average_precision", "ndcg"):
        difference = found.compare("one+two", "one", metric=metric)
        means = {
            name: np.mean(list(found.by_query(name, metric).values())) for name in found.scores
        }
        assert difference.difference.value == pytest.approx(means["one+two"] - means["one"])
        assert difference.queries == 12
    assert found.by_query("one").keys() == {f"{number}" for number in range(12)}
    assert np.mean(list(found.by_query("two").values())) == pytest.approx(
        found.scores["two"].mean_average_precision.value
    )


def test_settings_are_compared_side_by_side(engine: SearchEngine) -> None:
    ranks = engine.evaluate("label", fusion="rrf")
    alone = engine.evaluate("label", models=["one"])
    both = Evaluation.side_by_side({"ranks": ranks, "alone": alone})
    assert list(both.scores) == ["ranks/one", "ranks/two", "ranks/one+two", "alone"]
    assert both.compare("alone", "ranks/one").difference == NONE
    assert "ranks/one+two" in repr(both)
    assert both.scores["alone"] == alone.scores["one"]


@pytest.mark.parametrize(
    "other",
    [
        {"k": (1, 2)},
        {"labels": {str(number): number % 3 for number in range(10)}},
        {"labels": {str(number): number % 3 if number < 11 else 9 for number in range(12)}},
    ],
    ids=["measures", "images", "queries"],
)
def test_what_was_measured_differently_is_not_put_side_by_side(
    engine: SearchEngine, other: dict[str, object]
) -> None:
    others = engine.evaluate(**{"labels": "label", **other})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="same queries"):
        Evaluation.side_by_side({"a": engine.evaluate("label"), "b": others})


def test_mistakes_are_named(engine: SearchEngine) -> None:
    found = engine.evaluate("label")
    with pytest.raises(InvalidArgumentError, match="evaluations are empty"):
        Evaluation.side_by_side({})
    for wrong, name in (
        (lambda: found.compare("none", "one"), "first 'none': expected one of 'one'"),
        (lambda: found.compare("one", "none"), "second 'none'"),
        (lambda: found.compare("one", "two", metric="speed"), "metric 'speed': expected one of"),
        (lambda: found.compare("one", "two", metric="precision@7"), "metric 'precision@7'"),
        (lambda: found.by_query("none"), "model 'none'"),
        (lambda: found.compare("one", "two", confidence=1.0), "confidence 1.0"),
    ):
        with pytest.raises(InvalidArgumentError, match=name):
            wrong()


def test_equal_evaluations_are_equal(engine: SearchEngine) -> None:
    found = engine.evaluate("label")
    assert found == engine.evaluate("label")
    assert replace(found, queries=1) != found
