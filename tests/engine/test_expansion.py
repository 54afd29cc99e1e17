"""Query expansion: what is searched for when a query is moved towards its nearest images."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnxsearch import (
    AlphaQE,
    AsyncSearchEngine,
    F,
    Fusion,
    InvalidArgumentError,
    Keywords,
    MetadataStore,
    Metric,
    Query,
    RankFusion,
    ScoreFusion,
    SearchEngine,
    SearchResults,
    VectorStore,
)
from tests.engine.pixels import filled, pixels

QUERY = pixels(250, 128, 128)


@pytest.fixture(scope="module")
def engine() -> Iterator[SearchEngine]:
    with filled() as engine:
        yield engine


def moved(engine: SearchEngine, ids: list[str], alpha: float, model: str = "one") -> Query:
    """Return the query that an expansion of QUERY by these images has to search for."""
    (query,) = engine._embedders[model].embed([QUERY])
    total = query.astype(float)
    for row in engine.vectors(ids, model).astype(float) if ids else ():
        total += max(0.0, float(row @ query)) ** alpha * row
    return Query.vector((total / np.linalg.norm(total)).astype(np.float32))


def assert_same(found: SearchResults, expected: SearchResults) -> None:
    assert found.ids == expected.ids
    assert [hit.distance for hit in found] == pytest.approx([hit.distance for hit in expected])


def test_searches_for_the_moved_vector(stores: tuple[VectorStore, MetadataStore]) -> None:
    with filled(stores) as engine:
        for n, alpha in [(1, 0.0), (3, 1.0), (5, 3.0), (1000, 0.5)]:
            near = engine.search(QUERY, limit=n).ids
            expected = engine.search(moved(engine, near, alpha), limit=40)
            assert_same(engine.search(QUERY, expand=AlphaQE(n, alpha), limit=40), expected)
            assert expected.ids != engine.search(QUERY, limit=40).ids


def test_only_what_may_be_found_takes_part(engine: SearchEngine) -> None:
    rule = AlphaQE(4, 1.0)
    half = F("half") == 1
    near = engine.search(QUERY, filter=half, limit=4).ids
    expected = engine.search(moved(engine, near, 1.0), filter=half, limit=40)
    assert_same(engine.search(QUERY, expand=rule, filter=half, limit=40), expected)
    out = engine.search(QUERY, limit=3).ids
    near = engine.search(QUERY, exclude=out, limit=4).ids
    expected = engine.search(moved(engine, near, 1.0), exclude=out, limit=40)
    assert_same(engine.search(QUERY, expand=rule, exclude=out, limit=40), expected)


def test_a_query_that_is_left_out_does_not_see_itself(engine: SearchEngine) -> None:
    found = engine.search(Query.id("007"), exclude_query=True, expand=AlphaQE(3), limit=39)
    query = Query.vector(engine.vectors("007", "one")[0])
    expected = engine.search(query, exclude=["007"], expand=AlphaQE(3), limit=39)
    assert_same(found, expected)
    assert "007" not in found.ids


@pytest.mark.parametrize("fusion", [RankFusion(), ScoreFusion(weights={"two": 0.2})])
@pytest.mark.parametrize("n", [3, 1000])
def test_models_are_moved_by_what_they_find_together(
    engine: SearchEngine, fusion: Fusion, n: int
) -> None:
    models = ["one", "two"]
    near = engine.search(QUERY, models=models, fusion=fusion, limit=n).ids
    if n == 3:
        assert any(
            set(engine.search(QUERY, model=each, limit=n).ids) != set(near) for each in models
        )
    alone = {
        each: engine.search(moved(engine, near, 1.0, each), model=each, limit=40) for each in models
    }
    expanded = engine.search(QUERY, models=models, fusion=fusion, expand=AlphaQE(n, 1.0), limit=40)
    assert expanded.ids == fusion.fuse(alone).ids


def test_words_help_to_find_what_moves_the_query() -> None:
    words = Keywords("gnu", fields=["name"])
    with filled(count=12) as engine:
        sixth = engine.search(QUERY, limit=6).ids[-1]
        engine.update(sixth, metadata={"name": "gnu"})
        near = engine.search(QUERY, keywords=words, limit=1).ids
        assert near != engine.search(QUERY, limit=1).ids
        found = engine.search(QUERY, keywords=words, expand=AlphaQE(1, 1.0), limit=12)
        assert_same(found, engine.search(moved(engine, near, 1.0), keywords=words, limit=12))


def test_without_neighbours_the_query_stays(engine: SearchEngine) -> None:
    plain = engine.search(QUERY)
    assert engine.search(QUERY, expand=AlphaQE(n=0)) == plain
    nothing = F("half") == 7
    assert len(engine.search(QUERY, expand=AlphaQE(), filter=nothing)) == 0
    with filled(count=0) as empty:
        assert len(empty.search(QUERY, expand=AlphaQE())) == 0


def test_a_query_without_direction_stays() -> None:
    zeros = np.zeros(4, np.float32)
    assert AlphaQE().expanded(Metric.IP, zeros, np.eye(4, dtype=np.float32)) is zeros


def test_images_at_right_angles_have_no_weight() -> None:
    query = np.array([2, 0, 0], np.float32)
    others = np.array([[0, 1, 0], [-1, 0, 0]], np.float32)
    for alpha in (0.0, 3.0):
        found = AlphaQE(2, alpha).expanded(Metric.COSINE, query, others)
        assert found == pytest.approx([1, 0, 0])


def test_bits_are_moved_by_votes() -> None:
    query = np.array([0b11110000], np.uint8)
    one, other = np.array([0b11110011], np.uint8), np.array([0b11100011], np.uint8)
    # Of the bits of which both differ, each alone does not outvote the query, and both do.
    alone = AlphaQE(1, 0).expanded(Metric.HAMMING, query, np.array([one]))
    assert alone.tolist() == query.tolist()
    both = AlphaQE(2, 0).expanded(Metric.HAMMING, query, np.array([one, other]))
    assert both.tolist() == [0b11110011]


def test_expands_bits() -> None:
    with filled(metric=Metric.HAMMING) as engine:
        found = engine.search(QUERY, expand=AlphaQE(5, 1.0), limit=40)
        assert sorted(found.ids) == sorted(engine.search(QUERY, limit=40).ids)


def test_asynchronous_searches_expand_alike(engine: SearchEngine) -> None:
    async def main() -> list[SearchResults]:
        async with AsyncSearchEngine(engine) as ours:
            plain = [ours.search(QUERY, limit=40) for _ in range(3)]
            return await asyncio.gather(*plain, ours.search(QUERY, expand=AlphaQE(3), limit=40))

    *plain, expanded = asyncio.run(main())
    assert all(each == engine.search(QUERY, limit=40) for each in plain)
    assert expanded == engine.search(QUERY, expand=AlphaQE(3), limit=40)


@pytest.mark.parametrize(
    "arguments", [{"n": -1}, {"n": 1001}, {"alpha": -0.1}, {"alpha": float("nan")}, {"alpha": 101}]
)
def test_refuses_other_numbers(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        AlphaQE(**arguments)
