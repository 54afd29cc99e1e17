"""A search by several rankings finds what searches by single ones find, composed by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from onnxsearch import (
    AlphaQE,
    CollectionSpec,
    F,
    Fusion,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Match,
    Metric,
    Query,
    RankFusion,
    ScoreFusion,
    SearchEngine,
    SearchResults,
    Vectors,
)
from onnxsearch.filters import Filter
from tests.engine.pixels import filled, pixels

RANKS = 100
"""As many ranks of each model are fused at first."""
IMAGES = 150


@pytest.fixture(scope="module")
def album() -> Iterator[SearchEngine]:
    with filled(count=IMAGES) as engine:
        for model in ("one", "two"):
            engine.augment(model)
        yield engine


def composed(
    engine: SearchEngine, id: str, models: list[str], fusion: Fusion, rule: AlphaQE, **options: Any
) -> SearchResults:
    """Return what is found by a search with each model, their fusion, and both once more."""

    def fused(queries: Mapping[str, Vectors]) -> SearchResults:
        rankings = {
            model: engine.search(Query.vector(row), model=model, limit=RANKS, **options)
            for model, row in queries.items()
        }
        return fusion.fuse(rankings)

    queries = {model: engine.vectors([id], model)[0] for model in models}
    near = fused(queries).ids[: rule.n]
    for model, row in queries.items():
        queries[model] = rule.expanded(Metric.L2, row, engine.vectors(near, model))
    return fused(queries)


@given(
    id=st.integers(0, IMAGES - 1).map("{:03}".format),
    suffix=st.sampled_from(["", ":augmented"]),
    fusion=st.sampled_from([RankFusion(), ScoreFusion()]),
    rule=st.builds(AlphaQE, st.sampled_from([0, 1, 2, 7]), st.sampled_from([0.0, 3.0])),
    filter=st.sampled_from([None, F("half") == 1, F("tens") >= 13]),
    leaves_out=st.booleans(),
    limit=st.integers(1, 40),
    offset=st.integers(0, 40),
)
def test_fuses_and_expands_by_id(
    album: SearchEngine,
    id: str,
    suffix: str,
    fusion: Fusion,
    rule: AlphaQE,
    filter: Filter | None,
    leaves_out: bool,
    limit: int,
    offset: int,
) -> None:
    models = [f"one{suffix}", f"two{suffix}"]
    exclude = [id] if leaves_out else []
    expected = composed(album, id, models, fusion, rule, filter=filter, exclude=exclude)
    found = album.search(
        Query.id(id),
        models=["one", "two"],
        augmented=bool(suffix),
        fusion=fusion,
        expand=rule,
        filter=filter,
        exclude_query=leaves_out,
        limit=limit,
        offset=offset,
    )
    some = expected[offset : offset + limit]
    assert [(h.id, h.distance, h.uri, h.metadata) for h in found] == [
        (h.id, h.distance, h.uri, h.metadata) for h in some
    ]


class WatchedStore(InMemoryVectorStore):
    """A store that calls functions before each search and before vectors are fetched."""

    before_search: Callable[[], object] = staticmethod(lambda: None)
    before_fetch: Callable[[], object] = staticmethod(lambda: None)

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> Sequence[list[Match]]:
        self.before_search()
        return super()._search(spec, queries, limit, filter)

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        self.before_fetch()
        return super()._fetch(spec, keys)


@pytest.mark.parametrize("change", ["removes", "replaces", "updates"])
def test_the_second_look_sees_what_has_changed_since_the_first(change: str) -> None:
    store = WatchedStore()
    with filled((store, InMemoryMetadataStore())) as engine:
        first, *_ = engine.search(Query.id("007"), models=["one", "two"], exclude_query=True).ids
        changes: dict[str, Callable[[], object]] = {
            "removes": lambda: engine.remove([first]),
            "replaces": lambda: engine.add(pixels(90), id=first, metadata={"new": 1}),
            "updates": lambda: engine.update(first, metadata={"new": 1}),
        }
        searches = iter(range(10))
        store.before_search = lambda: changes[change]() if next(searches) == 2 else None
        found = engine.search(Query.id("007"), models=["one", "two"], expand=AlphaQE(), limit=40)
        assert next(searches) == 4
        hits = [hit for hit in found if hit.id == first]
        assert len(found) == len({*found.ids}) == (39 if change == "removes" else 40)
        assert [hit.metadata.get("new") for hit in hits] == ([] if change == "removes" else [1])


def test_the_vectors_of_a_query_are_of_one_image() -> None:
    store = WatchedStore()
    with filled((store, InMemoryMetadataStore())) as engine:
        fetches = iter(range(10))
        store.before_fetch = lambda: (
            engine.add(pixels(90), id="007") if next(fetches) == 1 else None
        )
        found = engine.search(Query.id("007"), models=["one", "two"])
        assert next(fetches) == 4
        assert found == engine.search(Query.id("007"), models=["one", "two"])
        assert found == engine.search(pixels(90), models=["one", "two"])
