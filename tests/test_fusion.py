"""Rankings of several models made into one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from onnxsearch import (
    Fusion,
    Hit,
    InvalidArgumentError,
    Metric,
    RankFusion,
    ScoreFusion,
    SearchResults,
)
from onnxsearch.vectors.base import Match


def ranking(**distances: float) -> list[Match]:
    return [Match(key, distance) for key, distance in distances.items()]


def test_reciprocal_ranks_are_those_of_the_paper() -> None:
    rankings = {"one": ranking(a=0.1, b=0.2, c=0.3), "two": ranking(b=5, d=6, a=7)}
    fused = RankFusion().merge(rankings)
    plain = {
        "a": 1 / 61 + 1 / 63,
        "b": 1 / 62 + 1 / 61,
        "c": 1 / 63,
        "d": 1 / 62,
    }
    assert [match.key for match in fused] == sorted(plain, key=lambda key: -plain[key])
    for match in fused:
        assert 1 - match.distance == pytest.approx(plain[match.key] * 61 / 2)


def test_scores_are_normalised_by_model() -> None:
    rankings = {"one": ranking(a=0.0, b=0.5, c=2.0), "two": ranking(c=100, b=150, a=300)}
    fused = {match.key: 1 - match.distance for match in ScoreFusion().merge(rankings)}
    assert fused == {
        "a": pytest.approx((1 + 0) / 2),
        "b": pytest.approx((0.75 + 0.75) / 2),
        "c": pytest.approx((0 + 1) / 2),
    }


def test_weights_decide() -> None:
    rankings = {"one": ranking(a=0, b=1), "two": ranking(b=0, a=1)}
    for fusion in (RankFusion, ScoreFusion):
        first = fusion(weights={"one": 3}).merge(rankings)
        assert [match.key for match in first] == ["a", "b"]
        second = fusion(weights={"two": 3}).merge(rankings)
        assert [match.key for match in second] == ["b", "a"]
        alone = fusion(weights={"one": 0}).merge(rankings)
        assert [match.key for match in alone] == ["b", "a"]


@pytest.mark.parametrize("weights", [{"one": -1.0}, {"one": float("nan")}, {"one": 0, "two": 0}])
def test_weights_that_make_no_sense_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="weights"):
        RankFusion(weights=weights).merge({"one": ranking(a=0), "two": ranking(a=0)})


def test_fused_hits_score_what_they_lack_in_distance() -> None:
    one = [Hit(id, f"{id}.png", 0.1 * place, 0.9, {}, "one") for place, id in enumerate("abc")]
    two = [Hit(id, f"{id}.png", 7.0 + place, -6.0, {}, "two") for place, id in enumerate("bd")]
    found = {
        "one": SearchResults(tuple(one), "one", Metric.COSINE),
        "two": SearchResults(tuple(two), "two", Metric.L2),
    }
    fused = ScoreFusion().fuse(found)
    assert [(hit.id, hit.score) for hit in fused] == [
        ("b", 0.75),
        ("a", 0.5),
        ("c", 0.0),
        ("d", 0.0),
    ]
    assert [hit.distance for hit in fused] == [0.25, 0.5, 1.0, 1.0]
    assert {hit.model for hit in fused} == {fused.model} == {"one+two"}
    assert [hit.uri for hit in fused] == ["b.png", "a.png", "c.png", "d.png"]


def test_weights_of_models_that_were_not_asked_are_refused() -> None:
    hit = Hit("a", None, 0.0, 1.0, {}, "one")
    with pytest.raises(InvalidArgumentError, match="vgg16"):
        RankFusion(weights={"vgg16": 2}).fuse({"one": SearchResults((hit,), "one", Metric.L2)})


@pytest.mark.parametrize("k", [-1, float("nan"), float("inf")])
def test_a_k_that_makes_no_sense_is_refused(k: float) -> None:
    with pytest.raises(InvalidArgumentError, match="k "):
        RankFusion(k=k)


RANKINGS = st.dictionaries(
    st.sampled_from(["one", "two", "three"]),
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 10)).map(
        lambda found: [Match(k, d) for k, d in sorted(found.items(), key=lambda item: item[1])]
    ),
    min_size=1,
)


@given(RANKINGS, st.sampled_from([RankFusion(), RankFusion(k=0), ScoreFusion()]))
def test_a_fused_ranking_holds_everything_once_in_order(
    rankings: dict[str, list[Match]], fusion: Fusion
) -> None:
    fused = fusion.merge(rankings)
    keys = [match.key for match in fused]
    assert sorted(keys) == sorted({match.key for found in rankings.values() for match in found})
    distances = [match.distance for match in fused]
    assert distances == sorted(distances)
    assert all(-1e-9 <= distance <= 1 + 1e-9 for distance in distances)


@given(RANKINGS.filter(lambda rankings: any(rankings.values())))
def test_one_model_keeps_its_order(rankings: dict[str, list[Match]]) -> None:
    name, found = next((name, found) for name, found in rankings.items() if found)
    assert [m.key for m in RankFusion().merge({name: found})] == [m.key for m in found]


@pytest.mark.parametrize("points", [[1.0], [1.0, float("nan")], [1.0, 1.0, 1.0]])
def test_points_that_do_not_fit_the_hits_are_refused(points: list[float]) -> None:
    class Odd(Fusion):
        def points(self, distances: Sequence[float]) -> Sequence[float]:
            return points

    with pytest.raises(InvalidArgumentError, match=r"Odd: points\(\) .* each hit"):
        Odd().merge({"one": ranking(a=0, b=1)})


@given(st.permutations(range(1, 9)))
def test_equal_ranks_at_different_models_are_equal_scores(ranks: list[int]) -> None:
    first, second, third = ranks[:3]
    orders = {"one": (first, second), "two": (second, third), "three": (third, first)}
    rankings = {}
    for model, (x, y) in orders.items():
        names = [f"{model} {rank}" for rank in range(1, 9)]
        names[x - 1], names[y - 1] = "x", "y"
        rankings[model] = [Match(name, rank) for rank, name in enumerate(names, 1)]
    fused = RankFusion().merge(rankings)
    at = {match.key: match.distance for match in fused}
    assert at["x"] == at["y"]
    # Of equals, the one that the first model ranks higher comes first.
    order = [match.key for match in fused if match.key in ("x", "y")]
    assert order == (["x", "y"] if first < second else ["y", "x"])
