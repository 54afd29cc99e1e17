"""Models side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st
from scipy.stats import kendalltau

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Query,
    SearchEngine,
    UnknownModelError,
)
from onnxsearch.evaluation.rank_similarity import kendall_tau, overlap, rank_biased_overlap
from onnxsearch.testing import FakeEmbedder, picture, write_pictures

NAMES = ["ant", "bee", "cat", "dog", "eel"]


@pytest.fixture
def engine() -> SearchEngine:
    engine = SearchEngine(
        [
            FakeEmbedder("one", rankings={"query": ["ant", "bee", "cat"]}),
            FakeEmbedder("two", rankings={"query": ["bee", "ant", "dog"]}),
        ],
        InMemoryVectorStore(),
        InMemoryMetadataStore(),
    )
    for name in NAMES:
        engine.add(picture(name), id=name)
    return engine


def test_each_model_answers_as_it_does_alone(engine: SearchEngine) -> None:
    comparison = engine.compare(picture("query"), limit=3)
    assert comparison.models == ("one", "two")
    for name, results in comparison.results.items():
        assert results == engine.search(picture("query"), model=name, limit=3)
    assert comparison.overlap(2) == 1.0
    assert comparison.overlap(1) == 0.0
    assert comparison.overlap() == pytest.approx(2 / 3)
    assert comparison.kendall_tau() == -1.0
    assert comparison.rank_biased_overlap(0.9) == pytest.approx(
        0.1 * (0 + 2 / 2 * 0.9 + 2 / 3 * 0.81) + 2 / 3 * 0.9**3
    )
    (agreement,) = comparison.agreements
    assert agreement.models == ("one", "two")
    assert agreement.overlap == comparison.overlap()
    assert "overlap 0.67" in repr(comparison)


def test_a_picture_that_is_stored_comes_first_at_distance_zero(engine: SearchEngine) -> None:
    comparison = engine.compare(Query.id("ant"), limit=2)
    for results in comparison.results.values():
        assert results[0].id == "ant"
        assert results[0].distance == pytest.approx(0, abs=1e-6)


def test_several_queries_give_means(engine: SearchEngine) -> None:
    queries = [picture("query"), Query.id("ant"), Query.id("eel")]
    together = engine.compare(queries, limit=3)
    alone = [engine.compare(query, limit=3) for query in queries]
    assert [answer.results for answer in together] == [each.results for each in alone]
    assert together.overlap(2) == pytest.approx(sum(each.overlap(2) for each in alone) / 3)
    taus = [tau for each in alone if not math.isnan(tau := each.kendall_tau())]
    assert together.kendall_tau() == pytest.approx(sum(taus) / len(taus))
    with pytest.raises(InvalidArgumentError, match="3 queries"):
        _ = together.results


def test_a_limit_beyond_the_album_gives_the_album(engine: SearchEngine) -> None:
    comparison = engine.compare(picture("query"), limit=1000)
    assert all(sorted(found.ids) == NAMES for found in comparison.results.values())
    assert comparison.overlap() == 1.0


def test_a_file_is_decoded_once(engine: SearchEngine, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from onnxsearch.images import reading

    (path,) = write_pictures(tmp_path, ["query"])
    opened = []
    read = reading._read_path
    monkeypatch.setattr(reading, "_read_path", lambda p, m: (opened.append(p), read(p, m))[1])
    engine.compare(path)
    engine.search(path, models=["one", "two"])
    assert opened == [str(path)] * 2


def test_bad_input_is_told(engine: SearchEngine) -> None:
    with pytest.raises(UnknownModelError, match="'three'"):
        engine.compare(picture("query"), models=["one", "three"])
    with pytest.raises(InvalidArgumentError, match="two models"):
        engine.compare(picture("query"), models=["one"])
    with pytest.raises(InvalidArgumentError, match="0 queries"):
        engine.compare([])
    with pytest.raises(InvalidArgumentError, match="limit 0"):
        engine.compare(picture("query"), limit=0)
    comparison = engine.compare(picture("query"), limit=2)
    for k in (0, 3):
        with pytest.raises(InvalidArgumentError, match="expected 1 to 2"):
            comparison.overlap(k)
    with pytest.raises(InvalidArgumentError, match="p 1"):
        comparison.rank_biased_overlap(1)


def test_a_model_of_another_namespace_is_told() -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    SearchEngine([FakeEmbedder("far-away")], vectors, metadata, namespace="elsewhere")
    SearchEngine([FakeEmbedder("left")], vectors, metadata)
    here = SearchEngine([FakeEmbedder("one"), FakeEmbedder("two")], vectors, metadata)
    with pytest.raises(UnknownModelError, match="Namespace 'elsewhere'"):
        here.compare(picture("query"), models=["one", "far-away"])
    with pytest.raises(UnknownModelError, match="without its embedder"):
        here.compare(picture("query"), models=["one", "left"])


IDS = st.lists(st.sampled_from("abcdefghijkl"), unique=True)


@given(IDS, IDS)
def test_tau_is_scipys(first: list[str], second: list[str]) -> None:
    common = [id for id in first if id in second]
    ours = kendall_tau(first, second)
    if len(common) < 2:
        assert math.isnan(ours)
    else:
        ranks = [second.index(id) for id in common]
        assert ours == pytest.approx(kendalltau(range(len(ranks)), ranks).statistic, abs=1e-12)


def by_definition(first: Sequence[str], second: Sequence[str], p: float) -> float:
    """RBO_ext with sets built anew at every depth, as the paper writes it."""
    short, long = sorted((first, second), key=len)
    s, n = len(short), len(long)

    def x(depth: int) -> int:
        return len(set(long[:depth]) & set(short[:depth]))

    total = sum(x(d) / d * p**d for d in range(1, n + 1))
    total += sum(x(s) * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * total + ((x(n) - x(s)) / n + x(s) / s) * p**n


@given(IDS.filter(bool), IDS.filter(bool), st.floats(0.05, 0.95))
def test_rank_biased_overlap_is_the_papers(first: list[str], second: list[str], p: float) -> None:
    ours = rank_biased_overlap(first, second, p)
    assert ours == pytest.approx(by_definition(first, second, p), abs=1e-9)
    assert ours == pytest.approx(rank_biased_overlap(second, first, p), abs=1e-9)
    assert -1e-9 <= ours <= 1 + 1e-9
    assert rank_biased_overlap(first, first, p) == pytest.approx(1)


@given(IDS, IDS, st.integers(1, 15))
def test_overlap_is_a_symmetric_share(first: list[str], second: list[str], k: int) -> None:
    share = overlap(first, second, k)
    assert share == overlap(second, first, k)
    assert 0 <= share <= 1
    assert overlap(first, first, k) == 1


def test_empty_rankings() -> None:
    assert overlap([], [], 3) == 1
    assert rank_biased_overlap([], []) == 1
    assert rank_biased_overlap(["a"], []) == 0
