"""Vectors are opened with the records that they were stored with, and with no others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from onnxsearch import (
    CollectionSpec,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    LocalVectorStore,
    MetadataStore,
    MilvusVectorStore,
    SearchEngine,
    SQLiteMetadataStore,
    StoreError,
    StoreMismatchError,
    VectorStore,
)
from onnxsearch.metadata.base import Cell
from onnxsearch.testing import FakeEmbedder, picture
from onnxsearch.testing.faults import Faults, ProcessDied
from onnxsearch.testing.faulty_stores import FaultyMetadataStore, FaultyVectorStore

COLLECTION = "onnxsearch__fake"
IDENTITY = Cell("onnxsearch:identity", "identity")


class Forgetful(InMemoryVectorStore):
    """A store as authors wrote them before collections had owners."""

    def _describe(self, name: str) -> CollectionSpec | None:
        found = super()._describe(name)
        return None if found is None else replace(found, owner=None)


def engine(vectors: VectorStore, metadata: MetadataStore, *names: str) -> SearchEngine:
    made = SearchEngine(FakeEmbedder(), vectors, metadata, workers=1)
    for name in names:
        made.add(picture(name), id=name)
    return made


@pytest.fixture(params=["memory", "forgetful", "local", "lite"])
def vectors(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param == "lite":
        pytest.importorskip("milvus_lite")
    make: dict[str, Callable[[], VectorStore]] = {
        "memory": InMemoryVectorStore,
        "forgetful": Forgetful,
        "local": lambda: LocalVectorStore(tmp_path / "v.sqlite"),
        "lite": lambda: MilvusVectorStore(tmp_path / "v.db"),
    }
    with make[request.param]() as store:
        yield store


def test_records_of_another_index_are_refused_before_anything_is_deleted(
    vectors: VectorStore, tmp_path: Path
):
    right, wrong = SQLiteMetadataStore(tmp_path / "right"), SQLiteMetadataStore(tmp_path / "wrong")
    engine(vectors, right, "a", "b")
    engine(InMemoryVectorStore(), wrong, "c")
    with pytest.raises(StoreMismatchError) as refused:
        engine(vectors, wrong)
    assert repr(vectors) in str(refused.value)
    assert repr(wrong) in str(refused.value)
    assert vectors.count(COLLECTION) == 2
    assert engine(vectors, right).verify().ok


def test_both_identities_are_named():
    vectors, right, wrong = InMemoryVectorStore(), InMemoryMetadataStore(), InMemoryMetadataStore()
    engine(vectors, right)
    engine(InMemoryVectorStore(), wrong)
    with pytest.raises(StoreMismatchError) as refused:
        engine(vectors, wrong)
    for store in (right, wrong):
        assert (store.get(*IDENTITY) or b"?").decode() in str(refused.value)


def test_empty_records_beside_vectors_are_of_no_use_and_do_no_harm(vectors: VectorStore):
    right, empty = InMemoryMetadataStore(), InMemoryMetadataStore()
    engine(vectors, right, "a", "b")
    lost = engine(vectors, empty)
    for use in (
        lost.verify,
        lambda: lost.verify(repair=True),
        lambda: lost.search(picture("a")),
        lambda: lost.add(picture("c")),
        lambda: lost.remove(["a"]),
    ):
        with pytest.raises(StoreMismatchError, match="2 vectors"):
            use()
    assert empty.get(*IDENTITY) is None
    assert vectors.count(COLLECTION) == 2
    assert engine(vectors, right).verify().ok


def test_an_engine_that_is_open_notices_that_its_records_were_exchanged():
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    here = engine(vectors, metadata, "a")
    metadata.commit({IDENTITY: b"0" * 32})
    with pytest.raises(StoreMismatchError):
        here.verify(repair=True)
    assert vectors.count(COLLECTION) == 1


def test_the_journal_of_other_records_drops_no_collection():
    vectors, right, wrong = InMemoryVectorStore(), InMemoryMetadataStore(), InMemoryMetadataStore()
    engine(vectors, right, "a")
    faults = Faults()
    models = [FakeEmbedder(name="kept"), FakeEmbedder()]
    other = SearchEngine(models, FaultyVectorStore(InMemoryVectorStore(), faults), wrong)
    faults.fail(on="drop")
    with pytest.raises(StoreError):
        other.drop_model("fake")
    assert faults.struck
    with pytest.raises(StoreMismatchError):
        SearchEngine(FakeEmbedder(name="kept"), vectors, wrong)
    assert vectors.count(COLLECTION) == 1


def test_an_index_of_before_gets_an_identity(tmp_path: Path):
    place = tmp_path / "album"

    def open_album() -> SearchEngine:
        return SearchEngine.open(place, embedders=FakeEmbedder(), workers=1)

    with open_album() as album:
        album.add(picture("a"), id="a")
    forget(place)
    with open_album() as album:
        assert album.get("a") is not None
        assert album.verify().ok
    other = SQLiteMetadataStore(tmp_path / "other")
    engine(InMemoryVectorStore(), other, "a")
    other.close()
    with pytest.raises(StoreMismatchError, match="belongs to records with the identity"):
        SearchEngine.open(place, embedders=FakeEmbedder(), records=tmp_path / "other")


def forget(place: Path) -> None:
    """Make of an index what an earlier release wrote."""
    for file, statement in (
        ("records.sqlite", "DELETE FROM cell WHERE tab = 'onnxsearch:identity'"),
        ("vectors.sqlite", "DROP TABLE owners"),
    ):
        connection = sqlite3.connect(place / file)
        connection.execute(statement)
        connection.commit()
        connection.close()


def test_records_of_before_get_the_identity_of_their_vectors():
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    engine(vectors, metadata, "a")
    identity = metadata.get(*IDENTITY)
    metadata.commit({IDENTITY: None})
    assert engine(vectors, metadata).verify().ok
    assert metadata.get(*IDENTITY) == identity


def test_vectors_of_an_add_that_died_are_known_by_the_journal():
    vectors, metadata, faults = InMemoryVectorStore(), InMemoryMetadataStore(), Faults()
    stores = FaultyVectorStore(vectors, faults), FaultyMetadataStore(metadata, faults)
    dying = SearchEngine(FakeEmbedder(), *stores, workers=1)
    faults.fail(on="upsert", moment="after", error=ProcessDied)
    with pytest.raises(ProcessDied):
        dying.add(picture("a"), id="a")
    metadata.commit({IDENTITY: None})
    again = engine(vectors, metadata)
    again.verify(repair=True)
    assert again.verify().ok
    assert len(again) == vectors.count(COLLECTION) == 0


def test_an_index_of_before_is_refused_with_records_that_know_none_of_it(tmp_path: Path):
    place = tmp_path / "album"
    with SearchEngine.open(place, embedders=FakeEmbedder()) as album:
        album.add(picture("a"), id="a")
    forget(place)
    other = SQLiteMetadataStore(tmp_path / "other")
    engine(InMemoryVectorStore(), other, "a")
    with (
        LocalVectorStore(place / "vectors.sqlite") as vectors,
        pytest.raises(StoreMismatchError, match="know none of them"),
    ):
        engine(vectors, other)


def test_lost_vectors_are_still_found_missing():
    metadata = InMemoryMetadataStore()
    engine(InMemoryVectorStore(), metadata, "a")
    again = engine(InMemoryVectorStore(), metadata)
    assert not again.verify().ok
    assert again.verify(repair=True).ok


def test_a_copy_has_an_identity_of_its_own(tmp_path: Path):
    here, there = InMemoryMetadataStore(), InMemoryMetadataStore()
    copy = InMemoryVectorStore()
    source, target = engine(InMemoryVectorStore(), here, "a"), engine(copy, there)
    source.copy_to(target)
    source.save_snapshot(tmp_path / "album.zip")
    target.load_snapshot(tmp_path / "album.zip")
    owner = copy.describe(COLLECTION).owner
    assert owner is not None
    assert here.get(*IDENTITY) != there.get(*IDENTITY) == owner.encode()
    assert owner.encode() not in (tmp_path / "album.zip").read_bytes()
    assert (here.get(*IDENTITY) or b"?") not in (tmp_path / "album.zip").read_bytes()


def test_two_namespaces_in_the_same_stores_have_an_identity_each():
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    engine(vectors, metadata, "a")
    SearchEngine(FakeEmbedder(), vectors, metadata, namespace="other").add(picture("b"))
    assert metadata.get(*IDENTITY) != metadata.get("other:identity", "identity")
    assert engine(vectors, metadata).verify().ok
