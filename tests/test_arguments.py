"""Arguments that a type checker would have refused: ours refuses them too, or takes them right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis.asyncio

from onnxsearch import (
    CollectionSpec,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    LocalVectorStore,
    Metric,
    RedisMetadataStore,
    SearchEngine,
    SQLiteMetadataStore,
)
from onnxsearch.metadata.base import Cell
from onnxsearch.testing import FakeEmbedder, picture
from onnxsearch.testing.vector_samples import key, random_vectors

SPEC = CollectionSpec("photos", 4, "model-1")
WRONG: Any = object()


@pytest.fixture
def store(tmp_path: Path) -> LocalVectorStore:
    store = LocalVectorStore(tmp_path / "vectors.sqlite")
    store.ensure_collection(SPEC)
    store.upsert("photos", [key(1), key(2)], random_vectors(SPEC, 2))
    return store


def test_keys_may_come_from_an_iterator(store: LocalVectorStore) -> None:
    assert set(store.fetch("photos", store.ids("photos"))) == {key(1), key(2)}
    store.delete("photos", store.ids("photos"))
    assert store.count("photos") == 0
    records = InMemoryMetadataStore()
    records.commit({Cell("pets", "a"): b"cat"})
    assert records.get_many("pets", iter(["a", "b"])) == [b"cat", None]


@pytest.mark.parametrize("wrong", [None, 1, b"0" * 32, "0" * 31])
def test_refuses_what_is_no_key(store: LocalVectorStore, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"key .*: expected 32"):
        store.fetch("photos", [wrong])
    with pytest.raises(InvalidArgumentError, match=r"expected 1 to 200|expected a Cell"):
        InMemoryMetadataStore().commit({wrong and Cell("t" * 201, wrong): b""})


@pytest.mark.parametrize("wrong", ["5", None, 2.5, 2.0, True, 0, -1])
def test_refuses_what_is_no_number_of_things(store: LocalVectorStore, wrong: Any) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    engine.add(picture("a"), id="a")
    for call in (
        lambda: store.search("photos", random_vectors(SPEC, 1), wrong),
        lambda: engine.search(picture("a"), limit=wrong),
        lambda: next(engine.search_many([picture("a")], limit=wrong)),
        lambda: CollectionSpec("photos", wrong, "model-1"),
        lambda: RedisMetadataStore(replicas=wrong or -1),
    ):
        with pytest.raises(InvalidArgumentError, match="expected an integer, at least"):
            call()


@pytest.mark.parametrize("argument", ["offset", "max_distance", "diversity", "group_by", "filter"])
def test_search_says_which_argument_is_wrong(argument: str) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    wrong: dict[str, Any] = {argument: [1.5]}
    with pytest.raises(InvalidArgumentError, match=argument):
        engine.search(picture("a"), **wrong)


def test_takes_the_integers_of_numpy(tmp_path: Path) -> None:
    number: Any = np.int64(4)
    spec = CollectionSpec("photos", number, "model-1")
    assert (spec, type(spec.dimension)) == (SPEC, int)
    with LocalVectorStore(tmp_path / "vectors.sqlite") as store:
        store.ensure_collection(spec)
        store.upsert("photos", [key(1)], random_vectors(SPEC, 1))
        assert len(store.search("photos", random_vectors(SPEC, 1), number)[0]) == 1
    with LocalVectorStore(tmp_path / "vectors.sqlite") as store:
        assert store.describe("photos") == SPEC


def test_a_metric_is_no_text() -> None:
    text: Any = "l2"
    with pytest.raises(InvalidArgumentError, match=r"'l2': expected Metric\.L2"):
        CollectionSpec("photos", 4, "model-1", metric=text)

    class Mistaken(FakeEmbedder):
        metric = text

    with pytest.raises(InvalidArgumentError, match=r"expected Metric\.L2"):
        SearchEngine(Mistaken(), InMemoryVectorStore(), InMemoryMetadataStore())
    assert CollectionSpec("photos", 8, "model-1", Metric.HAMMING).columns == 1


@pytest.mark.parametrize("wrong", [None, "5", float("nan"), float("inf"), -1])
def test_refuses_what_is_no_time(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"timeout .*: expected seconds"):
        SQLiteMetadataStore(tmp_path / "records.sqlite", timeout=wrong)
    with pytest.raises(InvalidArgumentError, match=r"timeout .*: expected seconds"):
        RedisMetadataStore(timeout=wrong)


def test_refuses_a_client_that_is_none() -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected redis\.Redis"):
        RedisMetadataStore(client=WRONG)
    asynchronous: Any = redis.asyncio.Redis()
    with pytest.raises(InvalidArgumentError, match="asynchronous"):
        RedisMetadataStore(client=asynchronous)


def test_refuses_a_path_with_a_nul(tmp_path: Path) -> None:
    for open_store in (LocalVectorStore, SQLiteMetadataStore):
        with pytest.raises(InvalidArgumentError, match="NUL"):
            open_store(tmp_path / "a\0b")


def test_an_embedder_is_named_as_collections_can_be() -> None:
    with pytest.raises(InvalidArgumentError, match="model name 'my model'"):
        SearchEngine(FakeEmbedder("my model"), InMemoryVectorStore(), InMemoryMetadataStore())


def test_remove_takes_all_ids_or_none() -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    ids = [f"{n}" for n in range(300)]
    engine.add(picture("a"), id="0")
    wrong: Any = 5
    for given in ([*ids, wrong], wrong, None):
        with pytest.raises(InvalidArgumentError, match="id"):
            engine.remove(given)
    assert engine.count() == 1
