"""Reranking: the first hits of a search in the order of a second look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from onnxsearch import (
    AlphaQE,
    AsyncSearchEngine,
    F,
    Hit,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    MetadataStore,
    Metric,
    Query,
    QueryInput,
    Rerank,
    SearchEngine,
    SearchResults,
    UnknownModelError,
    VectorStore,
)
from onnxsearch.testing import picture, picture_bytes
from tests.engine.pixels import Pixels, filled, pixels

QUERY = pixels(250, 128, 128)


def backwards(query: QueryInput, hits: Sequence[Hit]) -> list[float]:
    """Score the furthest best."""
    return [hit.distance for hit in hits]


@pytest.fixture(scope="module")
def engine() -> Iterator[SearchEngine]:
    with filled() as engine:
        yield engine


def as_found(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits without what reranking adds."""
    return [replace(hit, rerank_score=None) for hit in hits]


def test_the_first_hits_come_in_the_order_of_another_model(
    stores: tuple[VectorStore, MetadataStore],
) -> None:
    with filled(stores) as engine:
        plain = engine.search(QUERY, model="one", limit=40)
        found = engine.search(QUERY, model="one", rerank=Rerank.by_model("two", first=15), limit=40)
        scores = {hit.id: hit.score for hit in engine.search(QUERY, model="two", limit=40)}
        expected = sorted(plain.ids[:15], key=lambda id: -scores[id])
        assert found.ids == expected + plain.ids[15:] != plain.ids
        assert [hit.rerank_score for hit in found] == [
            pytest.approx(scores[id]) for id in expected
        ] + [None] * 25
        assert {hit.id: hit for hit in as_found(found)} == {hit.id: hit for hit in plain}
        assert (found.model, found.metric) == (plain.model, plain.metric)


def test_an_image_that_is_replaced_meanwhile_has_its_new_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with filled() as engine:
        rule = Rerank.by_model("two")
        first = engine.search(QUERY, model="one", limit=1)[0].id
        scores = type(rule).scores

        def replaced_before(self: Any, context: Any, hits: Sequence[Hit]) -> Any:
            engine.add(QUERY, id=first)
            return scores(self, context, hits)

        monkeypatch.setattr(type(rule), "scores", replaced_before)
        (hit,) = engine.search(QUERY, model="one", rerank=rule, limit=1)
        assert hit.id == first
        assert hit.rerank_score == engine.search(QUERY, model="two", limit=1)[0].score


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "group_by": st.just("tens"),
        "group_size": st.integers(1, 3),
        "filter": st.just(F("half") == 0),
        "exclude": st.just(["000", "003"]),
        "min_score": st.floats(0.4, 0.5),
        "models": st.just(["one", "two"]),
        "expand": st.builds(AlphaQE, st.integers(0, 6), st.just(1.0)),
    },
).filter(lambda given: "group_by" in given or "group_size" not in given)
SECOND_LOOKS = st.one_of(
    st.builds(Rerank.by, st.just(backwards), first=st.integers(1, 50)).map(
        lambda rule: {"rerank": rule}
    ),
    st.just({"diversity": 0.4}),
    st.just({"max_distance": 1.2}),
)


@pytest.mark.integration
@given(st.integers(0, 45), st.integers(1, 45), OPTIONS, SECOND_LOOKS)
def test_a_page_is_a_slice_of_the_whole_ranking(
    engine: SearchEngine,
    start: int,
    length: int,
    options: dict[str, Any],
    second_look: dict[str, Any],
) -> None:
    given = {**options, **second_look}
    if "rerank" not in second_look:
        given.pop("models", None)
    whole = engine.search(QUERY, limit=100, **given)
    page = engine.search(QUERY, offset=start, limit=length, **given)
    assert page.hits == whole.hits[start : start + length]


@given(
    first=st.integers(1, 50),
    options=OPTIONS.filter(lambda given: "group_by" not in given),
    seed=st.integers(0, 99),
)
def test_the_first_hits_are_permuted_and_the_others_follow(
    engine: SearchEngine, first: int, options: dict[str, Any], seed: int
) -> None:
    plain = engine.search(QUERY, limit=100, **options)
    scores = np.random.default_rng(seed).integers(0, 9, 50)
    rule = Rerank.by(lambda query, hits: scores[: len(hits)], first=first)
    found = engine.search(QUERY, limit=100, rerank=rule, **options)
    assert sorted(found.ids[:first]) == sorted(plain.ids[:first])
    assert found.hits[first:] == plain.hits[first:]
    given = dict(zip(plain.ids[:first], scores, strict=False))
    assert {hit.id: hit.rerank_score for hit in found[:first]} == given
    # Of equal scores, the order stays.
    assert found.ids[:first] == sorted(given, key=lambda id: -given[id])


def test_groups_keep_the_first_of_the_new_order(engine: SearchEngine) -> None:
    found = engine.search(QUERY, rerank=backwards, group_by="tens")
    furthest = dict[object, str]()
    for hit in reversed(engine.search(QUERY, limit=40)):
        furthest.setdefault(hit.metadata["tens"], hit.id)
    assert found.ids == list(furthest.values())


def test_limits_of_distance_decide_before(engine: SearchEngine) -> None:
    near = engine.search(QUERY, limit=7)
    found = engine.search(QUERY, max_distance=near[-1].distance, rerank=backwards)
    assert found.ids == near.ids[::-1]


def test_looks_as_deep_as_it_has_to(engine: SearchEngine) -> None:
    seen: list[int] = []

    def count(query: QueryInput, hits: Sequence[Hit]) -> list[float]:
        seen.append(len(hits))
        return backwards(query, hits)

    for models in (None, ["one", "two"]):
        found = engine.search(QUERY, limit=1, models=models, rerank=Rerank.by(count, first=30))
        assert found.ids == [engine.search(QUERY, models=models, limit=30).ids[-1]]
    assert seen == [30, 30]


def test_fused_rankings_are_reranked_deeper_than_they_are_fused_at_first() -> None:
    with filled(count=230) as engine:
        fused = engine.search(QUERY, models=["one", "two"], limit=230)
        rule = Rerank.by(backwards, first=215)
        found = engine.search(QUERY, models=["one", "two"], limit=3, rerank=rule)
        by_distance = sorted(fused[:215], key=lambda hit: -hit.distance)
        assert found.ids == [hit.id for hit in by_distance[:3]]


def test_a_function_sees_the_query_and_whole_hits(engine: SearchEngine) -> None:
    seen: list[tuple[QueryInput, Sequence[Hit]]] = []

    def look(query: QueryInput, hits: Sequence[Hit]) -> list[float]:
        seen.append((query, hits))
        return [0.0] * len(hits)

    data = picture_bytes("a")
    engine.search(BytesIO(data), rerank=look, limit=3)
    ((query, hits),) = seen
    assert query == data
    assert list(hits) == list(engine.search(picture("a"), limit=100))


def test_what_finds_nothing_is_not_reranked() -> None:
    def never(query: QueryInput, hits: Sequence[Hit]) -> list[float]:
        raise AssertionError

    with filled(count=0) as empty:
        assert empty.search(QUERY, rerank=never).ids == []
        assert empty.search(QUERY, rerank=Rerank.by_model("two")).ids == []
        with pytest.raises(UnknownModelError, match="three"):
            empty.search(QUERY, rerank=Rerank.by_model("three"))


def test_images_without_a_vector_of_the_model_come_after_the_others() -> None:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    filled(stores)
    with SearchEngine([Pixels("one"), Pixels("late", (1, 3, -1))], *stores) as engine:
        rule = Rerank.by_model("late", first=5)
        plain = engine.search(QUERY).ids
        found = engine.search(QUERY, rerank=rule)
        assert found.ids == plain
        assert [hit.rerank_score for hit in found] == [None] * 10
        engine.add(pixels(240, 120, 128), id="new")
        plain = engine.search(QUERY).ids
        found = engine.search(QUERY, rerank=rule)
        assert found.ids == ["new", *(id for id in plain if id != "new")]
        assert [hit.rerank_score is None for hit in found] == [False] + [True] * 9


def test_bits_rerank_and_are_reranked() -> None:
    with filled(metric=Metric.HAMMING) as engine:
        found = engine.search(QUERY, rerank=Rerank.by_model("two"), limit=40)
        scores = {hit.id: hit.score for hit in engine.search(QUERY, model="two", limit=40)}
        assert [hit.rerank_score for hit in found] == sorted(scores.values(), reverse=True)


def test_queries_of_every_kind(engine: SearchEngine) -> None:
    rule = Rerank.by_model("two")
    examples = Query.examples([QUERY, Query.id("003")])
    for query in (Query.id("003"), examples):
        best = engine.search(query, model="two", limit=1).ids
        assert engine.search(query, rerank=rule, limit=1).ids == best
    vector = Query.vector(engine.vectors("003", "one")[0])
    with pytest.raises(InvalidArgumentError, match="rerank by no other model"):
        engine.search(vector, rerank=rule)
    assert engine.search(vector, rerank=Rerank.by_model("one"), limit=1).ids == ["003"]


def test_asynchronous_searches_are_reranked(engine: SearchEngine) -> None:
    async def main() -> list[SearchResults]:
        async with AsyncSearchEngine(engine) as ours:
            plain = [ours.search(QUERY, limit=9) for _ in range(3)]
            return await asyncio.gather(*plain, ours.search(QUERY, rerank=backwards, limit=9))

    *plain, reranked = asyncio.run(main())
    assert all(each == engine.search(QUERY, limit=9) for each in plain)
    assert reranked == engine.search(QUERY, rerank=backwards, limit=9)


def test_does_not_go_with_diversity(engine: SearchEngine) -> None:
    with pytest.raises(InvalidArgumentError, match="rerank does not go with diversity"):
        engine.search(QUERY, rerank=backwards, diversity=0.5)


async def coroutine(query: QueryInput, hits: Sequence[Hit]) -> list[float]:
    return [1.0 for _ in hits]


@pytest.mark.parametrize("wrong", ["two", 3, Rerank, coroutine])
def test_refuses_what_is_no_function(engine: SearchEngine, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"rerank .*: expected a Rerank"):
        engine.search(QUERY, rerank=wrong)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda query, hits: None, "returned None: expected a number for each"),
        (lambda query, hits: "0123456789", "returned '0123456789'"),
        (lambda query, hits: [1.0] * 9, "returned 9 numbers"),
        (lambda query, hits: iter(lambda: 1.0, None), "returned more than 10 numbers"),
        (lambda query, hits: [float("nan")] * 10, "nan: expected a finite number"),
        (lambda query, hits: [np.inf] * 10, "inf: expected a finite number"),
        (lambda query, hits: ["high"] * 10, "'high': expected a finite number"),
        (lambda query, hits: [True] * 10, "True: expected a finite number"),
        (lambda query, hits: np.ones((10, 2)), "expected a finite number"),
    ],
)
def test_refuses_what_is_no_score(
    engine: SearchEngine, function: Callable[..., Any], complaint: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint) as caught:
        engine.search(QUERY, rerank=Rerank.by(function, first=10))
    assert str(caught.value).startswith("rerank: ")


def test_an_error_of_a_function_is_raised_as_it_is(engine: SearchEngine) -> None:
    def fail(query: QueryInput, hits: Sequence[Hit]) -> list[float]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.search(QUERY, rerank=fail)


@pytest.mark.parametrize("first", [0, -1, 10_001])
def test_refuses_other_numbers(first: int) -> None:
    with pytest.raises(InvalidArgumentError, match="first"):
        Rerank.by_model("two", first=first)
    with pytest.raises(InvalidArgumentError, match="first"):
        Rerank.by(backwards, first=first)
