"""Choosing how an approximate index is searched."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    FlatIndex,
    HNSWIndex,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    IVFFlatIndex,
    Match,
    MilvusIndex,
    SCANNIndex,
    SearchEngine,
    Tunable,
    UnknownModelError,
    Variant,
    Vectors,
    VectorStore,
)
from onnxsearch.testing import FakeEmbedder, picture
from onnxsearch.testing.vector_samples import key

ROWS = 3_000


class Careless(InMemoryVectorStore):
    """Looks at the first shares of the answer only, as it is told to."""

    shares = (0.2, 0.5, 0.9, 0.8)

    def variants(self, collection: str, limit: int) -> list[Variant]:
        self.describe(collection)
        return [Variant(share, partial(self._partly, share, collection)) for share in self.shares]

    def _partly(
        self, share: float, collection: str, queries: Vectors, limit: int
    ) -> list[list[Match]]:
        found = self.search(collection, queries, limit)
        return [matches[: round(share * limit)] for matches in found]


def engine_over(store: VectorStore, pictures: int = 30) -> SearchEngine:
    engine = SearchEngine([FakeEmbedder()], store, InMemoryMetadataStore())
    for number in range(pictures):
        engine.add(picture(f"{number}"), id=f"{number}")
    return engine


def test_the_cheapest_that_reaches_the_target_is_proposed() -> None:
    store = Careless()
    assert isinstance(store, Tunable)
    tuning = engine_over(store).tune(0.5, limit=10, sample=20)
    assert [trial.index for trial in tuning.trials] == [0.2, 0.5]
    # Two and six rows, the image that is searched for among them.
    assert [trial.recall.value for trial in tuning.trials] == pytest.approx([0.1, 0.5])
    assert (tuning.index, tuning.reached) == (0.5, True)
    assert tuning.recall.low <= tuning.recall.value <= tuning.recall.high
    assert all(trial.milliseconds > 0 for trial in tuning.trials)
    assert "0.5 reached: 0.5" in str(tuning)


def test_what_none_reaches_is_told_with_the_best_there_is() -> None:
    tuning = engine_over(Careless()).tune(0.95, limit=10, sample=20)
    assert len(tuning.trials) == len(Careless.shares)
    assert (tuning.index, tuning.reached) == (0.9, False)
    assert "not reached" in str(tuning)


def test_an_exact_store_has_nothing_to_choose() -> None:
    tuning = engine_over(InMemoryVectorStore()).tune(1.0)
    assert (tuning.index, tuning.reached, len(tuning.trials)) == (None, True, 1)
    assert (tuning.recall.low, tuning.recall.value) == (1.0, 1.0)


@pytest.mark.parametrize("target", [0.0, -1.0, 1.5, float("nan")])
def test_targets_that_are_no_shares_are_refused(target: float) -> None:
    with pytest.raises(InvalidArgumentError, match="target_recall"):
        engine_over(InMemoryVectorStore(), 1).tune(target)


def test_other_bad_input_is_told() -> None:
    with pytest.raises(InvalidArgumentError, match="nothing is stored"):
        engine_over(InMemoryVectorStore(), 0).tune(0.9)
    engine = engine_over(InMemoryVectorStore(), 1)
    with pytest.raises(InvalidArgumentError, match="limit 0"):
        engine.tune(0.9, limit=0)
    with pytest.raises(UnknownModelError):
        engine.tune(0.9, model="nobody")


def test_the_variants_of_an_index_differ_in_the_search_only() -> None:
    graph = HNSWIndex(links=8, effort=50, search_effort=77).variants(10)
    assert [index.search(10)["ef"] for index in graph[:5]] == [16, 24, 32, 48, 64]
    assert graph[-1].search(10) == {"ef": 2_048}
    assert {tuple(index.build.items()) for index in graph} == {(("M", 8), ("efConstruction", 50))}
    assert HNSWIndex().variants(5_000) == [HNSWIndex(search_effort=5_000)]
    lists = SCANNIndex(lists=10, probes=2, candidates=300).variants(10)
    assert [index.search(10)["nprobe"] for index in lists] == [1, 2, 3, 4, 6, 8, 10]
    assert {index.search(10)["reorder_k"] for index in lists} == {300}
    assert IVFFlatIndex(lists=1, probes=1).variants(10) == [IVFFlatIndex(lists=1, probes=1)]
    assert FlatIndex().variants(10) == [FlatIndex()]


@pytest.fixture(scope="module")
def clustered() -> Vectors:
    """ROWS unit vectors of 32 numbers around 100 centres."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(100, 32))
    rows = centres[random.integers(0, 100, ROWS)] + random.normal(size=(ROWS, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.integration
@pytest.mark.parametrize(
    "index",
    [HNSWIndex(links=4, effort=16), IVFFlatIndex(lists=64, probes=1)],
    ids=lambda index: index.kind,
)
def test_indexes_of_milvus_lite_reach_the_target(
    index: MilvusIndex, clustered: Vectors, tmp_path: Path
) -> None:
    pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
    from onnxsearch import MilvusVectorStore

    path = tmp_path / "vectors.db"
    with MilvusVectorStore(path, index=index) as store:
        engine = SearchEngine([FakeEmbedder(dimension=32)], store, InMemoryMetadataStore())
        (collection,) = store.collections()
        store.upsert(collection, [key(number) for number in range(ROWS)], clustered)
        store.wait_until_indexed(collection)
        before = engine.recall(sample=50)
        tuning = engine.tune(0.95, sample=50)
        assert engine.recall(sample=50) == before
    assert tuning.reached
    assert len(tuning.trials) > 1
    assert tuning.trials[0].recall.value < 0.95 <= tuning.recall.value
    assert isinstance(tuning.index, MilvusIndex)
    with MilvusVectorStore(path, index=tuning.index) as store:
        engine = SearchEngine([FakeEmbedder(dimension=32)], store, InMemoryMetadataStore())
        store.wait_until_indexed(collection)
        assert engine.recall(sample=50) == tuning.recall
