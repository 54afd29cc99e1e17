"""Changed metadata and removal by filter: nothing is lost, and nothing half done."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings

from onnxsearch import (
    F,
    Filter,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metadata,
    MetadataStore,
    SearchEngine,
    StoreError,
    VectorStore,
)
from onnxsearch.testing import FakeEmbedder, Faults, ProcessDied, picture
from onnxsearch.testing.faults import Moment
from tests.engine.stores import assert_consistent, faulty_engine
from tests.vectors.strategies import FILTERS, ROWS

Stores = tuple[VectorStore, MetadataStore]


def engine_with(metadata: Metadata, *stores: VectorStore | MetadataStore) -> SearchEngine:
    """Return an engine of two models with the image `cat`."""
    vectors, records = stores or (InMemoryVectorStore(), InMemoryMetadataStore())
    models = [FakeEmbedder("one"), FakeEmbedder("two", dimension=8)]
    engine = SearchEngine(models, vectors, records)  # type: ignore[arg-type]
    engine.add(picture("cat"), id="cat", metadata=metadata)
    return engine


def test_an_update_is_what_filters_find_from_then_on(stores: Stores) -> None:
    engine = engine_with({"rating": 1, "name": "Tom"}, *stores)
    before = {model: engine.vectors("cat", model) for model in engine.models}
    record = engine.update("cat", metadata={"rating": 5})
    assert record == engine.get("cat")
    assert record.metadata == {"rating": 5, "name": "Tom"}
    for model in engine.models:
        assert engine.search(picture("cat"), model=model, filter=F("rating") == 5).ids == ["cat"]
        assert engine.search(picture("cat"), model=model, filter=F("rating") == 1).ids == []
        np.testing.assert_array_equal(engine.vectors("cat", model), before[model])
    assert engine.update("cat", metadata={"a": [1]}, merge=False).metadata == {"a": [1]}
    assert engine.verify().ok
    assert_consistent(*stores)


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [  # the examples of RFC 7396, appendix A, whose results metadata can be
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_metadata_are_merged_as_the_standard_says(
    before: Metadata, patch: Metadata, after: Metadata
) -> None:
    assert engine_with(before).update("cat", metadata=patch).metadata == after


@given(before=ROWS, after=ROWS)
@settings(max_examples=50)
def test_metadata_that_replace_are_what_is_stored(before: Metadata, after: Metadata) -> None:
    engine = engine_with(before)
    record = engine.update("cat", metadata=after, merge=False)
    # As JSON, because Python finds 1, 1.0 and True equal.
    assert json.dumps(record.metadata) == json.dumps(after)
    stored = engine.get("cat")
    assert stored is not None
    assert json.dumps(stored.metadata) == json.dumps(after)


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    faults = Faults()
    engine = faulty_engine(InMemoryVectorStore(), InMemoryMetadataStore(), faults)
    engine.add(picture("cat"), id="cat", metadata={"a": 1})
    faults.revive()
    engine.update("cat", metadata={"a": 1})
    assert faults.writes == []
    engine.update("cat", metadata={"a": True})
    assert faults.writes != []


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": float("nan")}, "metadata"),
        ({1: 2}, "key 1"),
        ([("a", 1)], "expected a mapping"),
        ({"a": "x" * 2**20}, "expected at most 1,048,576"),
        ({"b": "x" * 2**19}, "expected at most 1,048,576"),
    ],
)
def test_metadata_that_cannot_be_stored_change_nothing(metadata: Metadata, message: str) -> None:
    before = {"a": "x" * 2**19}
    engine = engine_with(before)
    with pytest.raises(InvalidArgumentError, match=message):
        engine.update("cat", metadata=metadata)
    assert [record.metadata for record in engine.records()] == [before]


def test_only_a_stored_image_is_updated() -> None:
    engine = engine_with({})
    with pytest.raises(InvalidArgumentError, match="no image of id 'dog' is stored"):
        engine.update("dog", metadata={"a": 1})
    assert len(engine) == 1


def test_no_update_of_concurrent_writers_is_lost(stores: Stores) -> None:
    engine, writers, rounds = engine_with({}, *stores), 4, 8

    def write(writer: int) -> None:
        for number in range(rounds):
            engine.update("cat", metadata={f"{writer} {number}": number})

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    record = engine.get("cat")
    assert record is not None
    assert record.metadata == {f"{w} {n}": n for w in range(writers) for n in range(rounds)}
    assert_consistent(*stores)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("error", [None, ProcessDied()])
def test_an_update_that_is_cut_off_anywhere_is_done_or_not(
    moment: Moment, error: ProcessDied | None
) -> None:
    at = 0
    while True:
        vectors, metadata, faults = InMemoryVectorStore(), InMemoryMetadataStore(), Faults()
        engine = faulty_engine(vectors, metadata, faults)
        engine.add(picture("cat"), id="cat", metadata={"n": 1, "kept": True})
        faults.fail(at=at, moment=moment, error=error)
        done = False
        with suppress(StoreError, ProcessDied):
            engine.update("cat", metadata={"n": 2})
            done = True
        if not faults.struck:
            assert at >= 5, "an update is several writes"
            return
        faults.revive()
        engine = faulty_engine(vectors, metadata, Faults())
        record = engine.get("cat")
        assert record is not None
        assert record.metadata in (
            [{"n": 2, "kept": True}] if done else [{"n": 1, "kept": True}, {"n": 2, "kept": True}]
        )
        found = engine.search(picture("cat"), filter=F("n") == record.metadata["n"])
        assert [(hit.id, hit.metadata) for hit in found] == [("cat", record.metadata)]
        assert_consistent(vectors, metadata)
        at += 1


def test_a_filter_removes_what_it_matches(stores: Stores) -> None:
    filled = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    for number in range(300):
        filled.add(picture(str(number)), id=str(number), metadata={"odd": number % 2 == 1})
    engine = SearchEngine(FakeEmbedder(), *stores)
    filled.copy_to(engine)
    removed = engine.remove(filter=F("odd") == True)  # noqa: E712
    assert sorted(removed, key=int) == [str(n) for n in range(1, 300, 2)]
    assert len(engine) == 150
    assert engine.search(picture("1"), limit=300, filter=F("odd") == True).ids == []  # noqa: E712
    assert engine.remove(filter=F("odd") == True) == []  # noqa: E712
    assert_consistent(*stores)


@given(filter=FILTERS)
@settings(max_examples=30)
def test_a_filter_removes_what_a_search_would_find(filter: Filter) -> None:
    rows: list[Metadata] = [{}, {"a": 1}, {"a": "a", "b": True}, {"a": [1], "b": 0}, {"b": ""}]
    engine = engine_with({})
    for number, row in enumerate(rows):
        engine.add(picture(str(number)), id=str(number), metadata=row)
    found = engine.search(picture("0"), filter=filter).ids
    left = set(engine.search(picture("0")).ids) - set(found)
    assert sorted(engine.remove(filter=filter)) == sorted(found)
    assert {record.id for record in engine.records()} == left


def test_an_image_that_no_longer_matches_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer changes it after the filter was evaluated."""
    engine = engine_with({"old": True})
    remove = engine._catalog.remove

    def late(ids: list[str], filter: Filter | None) -> list[str]:
        engine.update("cat", metadata={"old": False})
        return remove(ids, filter)

    monkeypatch.setattr(engine._catalog, "remove", late)
    assert engine.remove(filter=F("old") == True) == []  # noqa: E712
    assert len(engine) == 1


@pytest.mark.parametrize("arguments", [{}, {"id": "cat", "filter": F("a") == 1}])
def test_remove_takes_ids_or_a_filter(arguments: dict[str, object]) -> None:
    engine = engine_with({"a": 1})
    with pytest.raises(InvalidArgumentError, match="expected one of the two"):
        engine.remove(**arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="is not a filter"):
        engine.remove(filter=F("a"))  # type: ignore[arg-type]
    assert len(engine) == 1
