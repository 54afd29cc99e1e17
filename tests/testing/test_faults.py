"""Faulty stores fail and hang on demand, and are ordinary stores otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxsearch import (
    CandidateSearch,
    Cell,
    CollectionSpec,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    KeywordSearch,
    LateInteraction,
    LocalVectorStore,
    MetadataStore,
    Metric,
    RangeJoin,
    SearchEngine,
    SQLiteMetadataStore,
    StoreUnavailableError,
    Tunable,
    Variant,
    VectorStore,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyMetadataStore,
    FaultyVectorStore,
    KeywordSearchContract,
    MetadataStoreContract,
    ProcessDied,
    VectorStoreContract,
    picture,
)
from onnxsearch.testing.faults import Calls, Moment
from tests.engine.mosaic import Mosaic, collage, patchwork

CELL = Cell("pets", "a")
KEY = "0" * 32
VECTOR = np.ones((1, 2), np.float32)


class House:
    """An engine over two stores that share their faults, with one image in it."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faulty_vectors = FaultyVectorStore(self.vectors, self.faults)
        self.faulty_metadata = FaultyMetadataStore(self.metadata, self.faults)
        self.engine = SearchEngine(FakeEmbedder(), self.faulty_vectors, self.faulty_metadata)
        self.engine.add(picture("cat"), id="cat")
        self.faults.revive()

    @property
    def album(self) -> str:
        (name,) = self.vectors.collections()
        return name


@pytest.fixture
def house() -> House:
    return House()


class TestFaultyVectorStoreIsAStore(VectorStoreContract):
    durable = False
    test_refuses_work_once_closed = None  # type: ignore[assignment]  # it leaves that to others

    def make_store(self, place: str = "one") -> VectorStore:
        del place
        return FaultyVectorStore(InMemoryVectorStore(), Faults())


class TestFaultyMetadataStoreIsAStore(MetadataStoreContract):
    durable = False
    test_refuses_calls_when_closed = None  # type: ignore[assignment]  # it leaves that to others

    def make_store(self, place: str = "one") -> MetadataStore:
        del place
        return FaultyMetadataStore(InMemoryMetadataStore(), Faults())


class TestFaultyMetadataStoreRanksByWords(KeywordSearchContract):
    durable = False

    def make_store(self, place: str = "one") -> MetadataStore:
        del place
        return FaultyMetadataStore(InMemoryMetadataStore(), Faults())


def test_has_the_limits_of_the_store_behind() -> None:
    class Small(InMemoryVectorStore):
        metrics = frozenset({Metric.L2})
        max_rows = 10

    store = FaultyVectorStore(Small(), Faults())
    assert store.max_rows == 10
    with pytest.raises(InvalidArgumentError, match="no metric 'cosine'"):
        store.ensure_collection(CollectionSpec("photos", 2, "v1", Metric.COSINE))


ABILITIES = (Tunable, RangeJoin, CandidateSearch, LateInteraction, KeywordSearch)


class Scanned(InMemoryVectorStore):
    """A store that searches a tenth of its rows, or all."""

    def variants(self, collection: str, limit: int) -> list[Variant[int]]:
        del limit
        return [
            Variant(share, lambda queries, limit: self.search(collection, queries, limit))
            for share in (10, 100)
        ]


def test_has_the_abilities_of_the_store_behind_and_no_others(tmp_path: Path) -> None:
    with (
        LocalVectorStore(tmp_path / "vectors.sqlite") as local,
        SQLiteMetadataStore(tmp_path / "records.sqlite") as sqlite,
    ):
        behind = [local, InMemoryVectorStore(), Scanned(), sqlite, InMemoryMetadataStore()]
        for store in behind:
            faulty = (
                FaultyVectorStore(store, Faults())
                if isinstance(store, VectorStore)
                else FaultyMetadataStore(store, Faults())
            )
            for ability in ABILITIES:
                assert isinstance(faulty, ability) == isinstance(store, ability), (store, ability)


def test_leaves_the_store_behind_open(house: House) -> None:
    house.faulty_vectors.close()
    house.faulty_metadata.close()
    assert house.vectors.count(house.album) == 1
    assert house.metadata.get(*CELL) is None


def test_a_write_hangs_until_it_is_released() -> None:
    faults, behind = Faults(), InMemoryMetadataStore()
    store = FaultyMetadataStore(behind, faults)
    faults.hang(at=1, timeout=60)
    thread = threading.Thread(target=lambda: [store.commit({CELL: b"%d" % n}) for n in range(3)])
    thread.start()
    assert faults.hanging.wait(60)
    assert faults.struck
    assert behind.get(*CELL) == b"0"
    faults.release()
    thread.join()
    assert behind.get(*CELL) == b"2"


@pytest.mark.parametrize(("moment", "value"), [("before", None), ("after", b"cat")])
def test_a_write_that_hangs_too_long_fails(moment: Moment, value: bytes | None) -> None:
    faults, behind = Faults(), InMemoryMetadataStore()
    store = FaultyMetadataStore(behind, faults)
    faults.hang(moment=moment, timeout=0.01)
    with pytest.raises(StoreUnavailableError, match="within"):
        store.commit({CELL: b"cat"})
    assert behind.get(*CELL) == value
    assert store.commit({CELL: b"dog"}), "only one write hangs"


def test_releases_what_hangs_and_not_what_is_still_to_hang() -> None:
    faults, store = Faults(), InMemoryMetadataStore()
    faulty = FaultyMetadataStore(store, faults)
    faults.hang(timeout=60)
    first = threading.Thread(target=faulty.commit, args=({CELL: b"first"},))
    first.start()
    assert faults.hanging.wait(60)
    faults.hang(timeout=60)
    faults.release()
    first.join()
    assert store.get(*CELL) == b"first"

    second = threading.Thread(target=faulty.commit, args=({CELL: b"second"},))
    second.start()
    assert faults.hanging.wait(60)
    assert store.get(*CELL) == b"first"
    faults.release()
    second.join()
    assert store.get(*CELL) == b"second"


def test_what_hung_while_the_process_died_does_not_go_on() -> None:
    faults, behind = Faults(), InMemoryMetadataStore()
    store = FaultyMetadataStore(behind, faults)
    deaths = []

    def write() -> None:
        try:
            store.commit({CELL: b"late"})
        except ProcessDied as death:
            deaths.append(death)

    faults.hang(timeout=60)
    thread = threading.Thread(target=write)
    thread.start()
    assert faults.hanging.wait(60)
    faults.fail(on="get_many", error=ProcessDied)
    with pytest.raises(ProcessDied):
        store.get(*CELL)
    faults.release()
    thread.join()
    assert len(deaths) == 1
    assert behind.get(*CELL) is None


@pytest.mark.parametrize("error", [ProcessDied, ProcessDied()])
def test_nothing_runs_after_the_process_died(
    house: House, error: ProcessDied | type[ProcessDied]
) -> None:
    house.faults.fail(at=1, error=error)
    with pytest.raises(ProcessDied):
        house.engine.add(picture("dog"), id="dog")
    assert len(house.faults.writes) == 2, "no write was taken back"
    house.faults.fail(at=100)
    with pytest.raises(ProcessDied):
        house.engine.count()

    house.faults.revive()
    assert house.engine.count() == 1


@pytest.mark.parametrize("error", [TimeoutError, TimeoutError("slow"), KeyboardInterrupt])
def test_raises_what_it_is_told(house: House, error: BaseException | type[BaseException]) -> None:
    house.faults.fail(on="count", error=error)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        house.faulty_metadata.count("pets")


def test_tells_whether_it_struck(house: House) -> None:
    assert not house.faults.struck
    house.faults.fail(at=99)
    house.engine.add(picture("dog"), id="dog")
    assert not house.faults.struck
    house.faults.fail(at=0)
    assert not house.faults.struck
    with pytest.raises(StoreUnavailableError, match="write 0 failed"):
        house.engine.add(picture("owl"), id="owl")
    assert house.faults.struck
    house.faults.revive()
    assert house.faults.struck
    house.faults.hang(at=99)
    assert not house.faults.struck


@pytest.mark.parametrize(
    ("method", "given"),
    [
        (method, given)
        for method in ("fail", "hang")
        for given in (
            {"at": -1},
            {"at": "1"},
            {"at": True},
            {"at": 1.0},
            {"moment": "befor"},
            {"on": "insert"},
            {"on": None},
        )
    ]
    + [
        ("fail", {"error": "boom"}),
        ("fail", {"error": str}),
        ("fail", {"error": UnicodeDecodeError}),
        ("hang", {"timeout": None}),
        ("hang", {"timeout": -1}),
        ("hang", {"timeout": float("nan")}),
    ],
)
def test_refuses_what_would_never_strike(house: House, method: str, given: Any) -> None:
    (name,) = given
    with pytest.raises(InvalidArgumentError, match=name):
        getattr(house.faults, method)(**given)


READS: dict[Calls, Callable[[House], object]] = {
    "describe": lambda house: house.faulty_vectors.describe(house.album),
    "collections": lambda house: house.faulty_vectors.collections(),
    "search": lambda house: house.engine.search(picture("cat")),
    "fetch": lambda house: house.faulty_vectors.fetch(house.album, [KEY]),
    "ids": lambda house: list(house.faulty_vectors.ids(house.album)),
    "count": lambda house: house.faulty_vectors.count(house.album),
    "get_many": lambda house: house.engine.get("cat"),
    "items": lambda house: list(house.faulty_metadata.items("pets")),
    "rank_by_words": lambda house: house.engine.search(keywords="cat"),
    "stale_words": lambda house: house.engine.verify(),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", READS)
def test_a_read_fails(house: House, name: Calls, moment: Moment) -> None:
    house.faults.fail(on=name, moment=moment)
    with pytest.raises(StoreUnavailableError, match=f"{name} 0 failed"):
        READS[name](house)
    assert house.faults.struck
    assert house.faults.reads[-1] == name
    assert house.faults.writes == []
    READS[name](house)


@pytest.mark.parametrize("name", READS)
def test_a_read_hangs(house: House, name: Calls) -> None:
    house.faults.hang(on=name, timeout=0.01)
    with pytest.raises(StoreUnavailableError, match=f"{name} 0 was not answered within 0.01 s"):
        READS[name](house)
    assert house.faults.hanging.is_set()
    READS[name](house)


def test_a_listing_breaks_off_after_its_last_row(house: House) -> None:
    house.faults.fail(on="ids", moment="after")
    keys = house.faulty_vectors.ids(house.album)
    assert len(next(keys)) == 32
    with pytest.raises(StoreUnavailableError):
        next(keys)


def test_counts_each_kind_of_call_by_itself(house: House) -> None:
    vectors, metadata = house.faulty_vectors, house.faulty_metadata
    vectors.ensure_collection(CollectionSpec("photos", 2, "v1"))
    house.faults.fail(on="upsert", at=1)
    vectors.upsert("photos", [KEY], VECTOR)
    vectors.delete("photos", [KEY])
    metadata.commit({CELL: b"cat"})
    with pytest.raises(StoreUnavailableError, match="upsert 1 failed"):
        vectors.upsert("photos", [KEY], VECTOR)
    assert house.faults.writes == ["upsert", "delete", "commit", "upsert"]
    assert house.faults.reads == ["describe"] * 3

    house.faults.fail(on="read", at=2)
    metadata.commit({CELL: b"dog"})
    assert vectors.count("photos") == 0
    with pytest.raises(StoreUnavailableError, match="read 2 failed"):
        metadata.get(*CELL)
    assert house.faults.reads == ["describe", "count", "get_many"]
    assert house.faults.writes == ["commit"]


def test_searches_by_parts_fail() -> None:
    faults = Faults()
    vectors = FaultyVectorStore(InMemoryVectorStore(), faults)
    with SearchEngine(Mosaic(), vectors, InMemoryMetadataStore()) as engine:
        engine.add(collage(1, 2, (32, 64)), id="collage")
        faults.fail(on="search_parts")
        with pytest.raises(StoreUnavailableError, match="search_parts 0 failed"):
            engine.search(patchwork(2), model="mosaic.regions")
        assert engine.search(patchwork(2), model="mosaic.regions").ids == ["collage"]
        assert faults.reads.count("search_parts") == 2


def test_abilities_of_the_local_store_fail(tmp_path: Path) -> None:
    faults = Faults()
    with LocalVectorStore(tmp_path / "vectors.sqlite") as behind:
        store = FaultyVectorStore(behind, faults)
        store.ensure_collection(CollectionSpec("photos", 2, "v1"))
        store.upsert("photos", [KEY, "1" * 32], np.ones((2, 2), np.float32))
        assert isinstance(store, RangeJoin)
        assert isinstance(store, CandidateSearch)
        faults.fail(on="pairs_within", moment="after")
        with pytest.raises(StoreUnavailableError, match="pairs_within 0 failed"):
            store.pairs_within("photos", 1.0)
        (pair,) = store.pairs_within("photos", 1.0) or ()
        assert set(pair) == {KEY, "1" * 32}
        faults.fail(on="candidates")
        with pytest.raises(StoreUnavailableError, match="candidates 0 failed"):
            store.candidates("photos", VECTOR, 1)
        assert set(store.candidates("photos", VECTOR, 2)[0].keys) == {KEY, "1" * 32}


def test_each_variant_fails() -> None:
    faults = Faults()
    store = FaultyVectorStore(Scanned(), faults)
    store.ensure_collection(CollectionSpec("photos", 2, "v1"))
    store.upsert("photos", [KEY], VECTOR)
    assert isinstance(store, Tunable)
    faults.fail(on="variants")
    with pytest.raises(StoreUnavailableError, match="variants 0 failed"):
        store.variants("photos", 1)
    first, second = store.variants("photos", 1)
    assert (first.index, second.index) == (10, 100)
    faults.fail(on="search", at=1)
    assert first.search(VECTOR, 1)[0][0].key == KEY
    with pytest.raises(StoreUnavailableError, match="search 1 failed"):
        second.search(VECTOR, 1)
