"""`verify` reads past what it cannot read, and one repair puts right whatever was done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from onnxsearch import (
    Cell,
    Defect,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    StoreCorruptError,
)
from onnxsearch.catalog.keys import key_of
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.engine.stores import assert_consistent

IDS, RECORDS, CONTENTS = (f"onnxsearch:{table}" for table in ("ids", "records", "contents"))

NO_RECORDS = [
    b"",
    b"null",
    b"{}",
    b'{"id":5}',
    b'{"id":"zz","models":[5]}',
    b'{"id":"zz","models":"ab"}',
    b'{"id":"zz","metadata":5}',
    b'{"id":"zz","size":"x"}',
    b'{"id":"zz","modified_ns":true}',
    b'{"id":"zz","uri":5}',
    b"\xff\xfe",
]
NO_KEYS = [b"", b"\xff\xff", b"zz zz", b"\n", b"0" * 31, b"A" * 32]


class House:
    """An engine that indexed four files, on stores that can be tampered with."""

    def __init__(self, folder: Path) -> None:
        self.files = write_pictures(folder, ["ant", "bee", "cat", "dog"])
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.engine = SearchEngine(
            [FakeEmbedder("one"), FakeEmbedder("two", dimension=8)], self.vectors, self.metadata
        )
        self.engine.index(self.files)

    def cells(self, table: str) -> list[tuple[Cell, bytes]]:
        return sorted((Cell(table, key), data) for key, data in self.metadata.items(table))

    def assert_mended(self) -> None:
        self.engine.verify(repair=True)
        report = self.engine.verify()
        assert not any(report.counts.values()), report.findings
        self.engine.index(self.files)
        assert_consistent(self.vectors, self.metadata)
        for file in self.files:
            for model in self.engine.models:
                (hit,) = self.engine.search(file, model=model, limit=1)
                assert (hit.id, hit.distance) == (str(file), pytest.approx(0, abs=1e-3))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize(
    ("table", "data"),
    [(RECORDS, data) for data in NO_RECORDS]
    + [(table, data) for table in (IDS, CONTENTS) for data in NO_KEYS],
)
def test_what_cannot_be_read_is_found_and_taken_out(house: House, table: str, data: bytes) -> None:
    cell, _ = house.cells(table)[0]
    house.metadata.commit({cell: data})
    found = house.engine.verify()
    assert found.counts[Defect.UNREADABLE_CELL] == 1
    assert cell.key in {f.key for f in found.findings if f.defect is Defect.UNREADABLE_CELL}
    assert house.engine.verify(repair=True).counts == found.counts
    assert house.engine.count() == (3 if table == RECORDS else 4)
    house.assert_mended()


def test_who_meets_what_cannot_be_read_is_told_the_remedy(house: House) -> None:
    for table, data in ((RECORDS, b'{"id":5}'), (IDS, b"\xff")):
        house.metadata.commit({cell: data for cell, _ in house.cells(table)})
        with pytest.raises(StoreCorruptError, match=r"verify\(repair=True\)"):
            house.engine.index(house.files)
        with pytest.raises(StoreCorruptError, match=r"verify\(repair=True\)"):
            house.engine.get(str(house.files[0]))
        house.assert_mended()


def test_a_record_under_no_key_of_ours_is_taken_out(house: House) -> None:
    _, record = house.cells(RECORDS)[0]
    house.metadata.commit({Cell(RECORDS, "zzz"): record})
    assert house.engine.verify(repair=True).counts[Defect.UNREADABLE_CELL] == 1
    house.assert_mended()


def test_a_vector_under_no_key_of_ours_is_told(house: House) -> None:
    spec = house.vectors.describe("onnxsearch__one")
    house.vectors._upsert(spec, ["zzz"], np.zeros((1, spec.dimension), np.float32), ["{}"])
    with pytest.raises(StoreCorruptError, match="'zzz'"):
        house.engine.verify()


def test_an_id_that_names_another_picture_gets_its_own_back(house: House) -> None:
    ant, bee = (str(file) for file in house.files[:2])
    keys = {id: house.metadata.get(IDS, key_of(id)) for id in (ant, bee)}
    house.metadata.commit({Cell(IDS, key_of(ant)): keys[bee]})
    report = house.engine.verify(repair=True)
    assert report.counts[Defect.DANGLING_ID] == report.counts[Defect.UNREACHABLE_RECORD] == 1
    assert house.metadata.get(IDS, key_of(ant)) == keys[ant]
    house.assert_mended()


def test_collections_that_were_dropped_are_there_again_after_a_repair(house: House) -> None:
    for model in ("one", "two"):
        house.vectors.drop(f"onnxsearch__{model}")
        assert house.engine.verify().counts[Defect.MISSING_VECTOR] == 4
        house.engine.verify(repair=True)
        assert len(house.engine.search(picture("ant"), model=model)) == 0
        house.assert_mended()


numbers = st.integers(0, 1000)
TAMPERINGS = st.one_of(
    st.tuples(st.just("delete"), st.sampled_from([IDS, RECORDS, CONTENTS]), numbers),
    st.tuples(st.just("garble"), st.sampled_from([IDS, RECORDS, CONTENTS]), numbers),
    st.tuples(st.just("redirect"), numbers, numbers),
    st.tuples(st.just("double"), numbers, numbers),
    st.tuples(st.just("lose"), st.sampled_from(["one", "two"]), numbers),
    st.tuples(st.just("litter"), st.sampled_from(["one", "two"]), numbers),
)


def tamper(house: House, what: str, where: str | int, number: int) -> None:
    if what in ("lose", "litter"):
        collection = f"onnxsearch__{where}"
        keys = sorted(house.vectors.ids(collection))
        if what == "lose" and keys:
            house.vectors.delete(collection, [keys[number % len(keys)]])
        elif what == "litter":
            row = np.ones((1, house.vectors.describe(collection).dimension), np.float32)
            # Under no key that "double" gives a record: the row would be a wrong vector of it.
            house.vectors.upsert(collection, [f"{number:031x}f"], row)
        return
    cells = house.cells(str(where) if what in ("delete", "garble") else RECORDS)
    if not cells:
        return
    cell, data = cells[number % len(cells)]
    ids = house.cells(IDS)
    if what == "delete":
        house.metadata.commit({cell: None})
    elif what == "garble":
        house.metadata.commit({cell: b"{"})
    elif what == "double":
        house.metadata.commit({Cell(RECORDS, f"{where:031x}0"): data})
    elif ids:
        house.metadata.commit({ids[int(where) % len(ids)][0]: cell.key.encode()})


@pytest.mark.integration
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tamperings=st.lists(TAMPERINGS, max_size=12))
def test_one_repair_puts_right_whatever_was_done(
    tmp_path: Path, tamperings: list[tuple[str, str | int, int]]
) -> None:
    house = House(tmp_path)
    for what, where, number in tamperings:
        tamper(house, what, where, number)
    house.assert_mended()
