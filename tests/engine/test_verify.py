"""`verify` finds what no protocol can know of, mends it, and leaves running writes alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxsearch import (
    Cell,
    Defect,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
)
from onnxsearch.catalog import integrity
from onnxsearch.catalog.keys import key_of
from onnxsearch.catalog.root import NO_ROOT
from onnxsearch.catalog.serialization import encode_record
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    picture,
    write_pictures,
)
from onnxsearch.testing.faults import Moment
from onnxsearch.types import Record
from tests.engine.stores import assert_consistent, faulty_engine

ORPHAN = "0" * 31 + "7"


class House:
    """An engine with three pictures on stores that can be tampered with."""

    def __init__(self) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()
        self.engine = self.another()
        for name in ("cat", "dog", "owl"):
            self.engine.add(picture(name), id=name, metadata={"name": name})

    def another(self) -> SearchEngine:
        return faulty_engine(self.vectors, self.metadata, self.faults)

    def key(self, id: str) -> str:
        value = self.metadata.get("onnxsearch:ids", key_of(id))
        assert value is not None
        return value.decode()


@pytest.fixture
def house() -> House:
    return House()


def orphan_vector(house: House) -> None:
    spec = house.vectors.describe("onnxsearch__one")
    vector = house.vectors.fetch(spec.name, [house.key("cat")])[house.key("cat")]
    house.vectors.upsert(spec.name, [ORPHAN], vector[None])


def missing_vector(house: House) -> None:
    house.vectors.delete("onnxsearch__two", [house.key("cat")])


def record_without_id(house: House) -> None:
    house.metadata.commit({Cell("onnxsearch:ids", key_of("cat")): None})


def second_record(house: House) -> None:
    record = Record("cat", models=("one",))
    house.metadata.commit({Cell("onnxsearch:records", ORPHAN): encode_record(record, NO_ROOT)})


def id_without_record(house: House) -> None:
    house.metadata.commit({Cell("onnxsearch:ids", key_of("ghost")): ORPHAN.encode()})


TAMPERED: dict[Callable[[House], None], Defect] = {
    orphan_vector: Defect.ORPHAN_VECTOR,
    missing_vector: Defect.MISSING_VECTOR,
    record_without_id: Defect.UNREACHABLE_RECORD,
    second_record: Defect.UNREACHABLE_RECORD,
    id_without_record: Defect.DANGLING_ID,
}


@pytest.mark.parametrize(("tamper", "defect"), TAMPERED.items())
def test_each_defect_is_found_and_mended(
    house: House, tamper: Callable[[House], None], defect: Defect
) -> None:
    assert house.engine.verify().ok
    tamper(house)

    found = house.engine.verify()
    assert not found.ok
    assert found.counts[defect] == 1
    assert house.engine.verify().counts == found.counts, "a check without repair changed things"

    mended = house.engine.verify(repair=True)
    assert mended.ok
    assert mended.counts[defect] == 1
    assert sum(house.engine.verify().counts.values()) == 0
    assert house.engine.count() == 3
    for name in ("cat", "dog", "owl"):
        record = house.engine.get(name)
        assert record is not None
        assert record.metadata == {"name": name}
        assert house.engine.search(picture(name), limit=1)[0].id == name


def test_an_id_without_record_can_be_used_again_once_mended(house: House) -> None:
    id_without_record(house)
    house.engine.verify(repair=True)
    house.engine.add(picture("ghost"), id="ghost")
    assert_consistent(house.vectors, house.metadata)


def test_says_whose_vector_is_missing(house: House) -> None:
    missing_vector(house)
    (finding,) = house.engine.verify().findings
    assert (finding.id, finding.key) == ("cat", house.key("cat"))
    assert finding.collection == "onnxsearch__two"


def test_index_fills_in_what_repair_took_off(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["cat", "dog"])
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    embedders = [FakeEmbedder("one"), FakeEmbedder("two", dimension=8)]
    engine = SearchEngine(embedders, vectors, metadata)
    engine.index(tmp_path, metadata={"kept": True})

    # Somebody drops a collection, and with the other one empties everything.
    vectors.drop("onnxsearch__two")
    assert engine.verify().counts[Defect.MISSING_VECTOR] == 2
    vectors.delete("onnxsearch__one", list(vectors.ids("onnxsearch__one")))
    assert engine.verify(repair=True).counts[Defect.MISSING_VECTOR] == 4

    again = SearchEngine(embedders, vectors, metadata)
    assert again.verify().ok
    assert again.index(tmp_path).counts["indexed"] == 2
    assert_consistent(vectors, metadata)
    hit = again.search(picture("cat"), model="two", limit=1)[0]
    assert (hit.distance, hit.metadata) == (pytest.approx(0, abs=1e-3), {"kept": True})


@pytest.mark.parametrize(
    ("operation", "at"),
    [*(("add", at) for at in range(7)), *(("remove", at) for at in range(4))],
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_running_writes_are_no_defects(
    house: House, operation: str, at: int, moment: Moment
) -> None:
    """At each step of another engine's write, a check finds nothing, and repair harms nothing."""
    checker = SearchEngine(FakeEmbedder("one"), house.vectors, house.metadata)
    writer = house.another()
    house.faults.hang(at=at, moment=moment, timeout=60)

    def write() -> None:
        if operation == "add":
            writer.add(picture("new cat"), id="cat", metadata={"name": "cat"})
        else:
            writer.remove("cat")

    thread = threading.Thread(target=write)
    thread.start()
    assert house.faults.hanging.wait(60)
    found = checker.verify()
    mended = checker.verify(repair=True)
    house.faults.release()
    thread.join()

    assert found.ok, found.findings
    assert not any(mended.counts.values()), mended.findings
    assert checker.count() == (3 if operation == "add" else 2)
    assert_consistent(house.vectors, house.metadata)
    if operation == "add":
        assert checker.search(picture("new cat"), limit=1)[0].distance < 1e-3


def test_partitions_find_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        house.engine.add(picture(f"more {number}"), id=str(number))
    orphan_vector(house)
    missing_vector(house)
    whole = house.engine.verify()
    monkeypatch.setattr(integrity, "_PARTITION", 7)
    monkeypatch.setattr(integrity, "_BATCH", 3)
    parts = house.engine.verify()
    assert parts.counts == whole.counts
    assert set(parts.findings) == set(whole.findings)
    assert parts.records == 63
    assert parts.vectors == {"onnxsearch__one": 64, "onnxsearch__two": 62}
    assert "1 orphan vector, 1 missing vector" in repr(parts)
