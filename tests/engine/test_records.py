"""Data out of an engine: its records, vectors, length and members."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from onnxsearch import (
    F,
    Filter,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metadata,
    MetadataStore,
    Metric,
    Record,
    SearchEngine,
    Tensor,
    UnknownModelError,
    VectorStore,
)
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.vectors.strategies import FILTERS, ROWS, VALUES

Stores = tuple[VectorStore, MetadataStore]

MANY = 300  # more than one batch


def new_engine(*rows: Metadata) -> SearchEngine:
    """Return an engine with an image for each metadata; the ids are 0, 1, 2..."""
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    for number, metadata in enumerate(rows):
        engine.add(picture(str(number)), id=str(number), metadata=metadata)
    return engine


@pytest.fixture
def engine(stores: Stores) -> SearchEngine:
    """Return an engine with many images; their ids, and the field "n", are 0, 1, 2..."""
    engine = SearchEngine(FakeEmbedder(), *stores)
    assert (len(engine), list(engine.records()), "0" in engine) == (0, [], False)
    new_engine(*({"n": number} for number in range(MANY))).copy_to(engine)
    return engine


def ids(engine: SearchEngine, filter: Filter | None = None, *, order_by: str) -> list[str]:
    return [record.id for record in engine.records(filter, order_by=order_by)]


def test_an_engine_has_records_a_length_and_members(engine: SearchEngine) -> None:
    assert len(engine) == MANY == engine.count()
    assert "0" in engine
    assert str(MANY) not in engine
    records = list(engine.records())
    assert len(records) == MANY
    assert {record.id: record for record in records} == {
        str(n): engine.get(str(n)) for n in range(MANY)
    }
    assert ids(engine, F("n") < 5, order_by="-n") == ["4", "3", "2", "1", "0"]


def test_an_engine_without_images_is_not_false() -> None:
    engine = new_engine()
    assert engine
    assert len(engine) == 0


def test_a_member_is_an_id() -> None:
    with pytest.raises(InvalidArgumentError, match="expected str"):
        Path("cat.jpg") in new_engine()  # type: ignore[operator]  # noqa: B015


@given(rows=st.lists(ROWS, max_size=8), filter=FILTERS)
@settings(max_examples=50)
def test_a_filter_selects_the_records_that_a_search_finds(
    rows: list[Metadata], filter: Filter
) -> None:
    engine = new_engine(*rows)
    found = engine.search(picture("0"), filter=filter, limit=10).ids
    assert ids(engine, filter, order_by="id") == sorted(found)


def rank(value: object) -> int:
    return [isinstance(value, bool), isinstance(value, int | float), True].index(True)


@given(values=st.lists(VALUES, max_size=10), descending=st.booleans())
@settings(max_examples=50)
def test_records_come_in_the_order_of_a_field(values: list[object], descending: bool) -> None:
    rows: list[Metadata] = [{"n": value} for value in values]  # type: ignore[dict-item]
    engine = new_engine(*rows)
    found = ids(engine, order_by="-n" if descending else "n")
    assert sorted(found) == [str(n) for n in range(len(values))]
    sortable = [n for n in found if isinstance(values[int(n)], str | int | float)]
    assert found[len(sortable) :] == sorted(set(found) - set(sortable)), "these come last"
    if descending:
        sortable.reverse()
    for one, other in pairwise(sortable):
        first, second = values[int(one)], values[int(other)]
        assert rank(first) <= rank(second)
        if rank(first) == rank(second):
            assert first <= second  # type: ignore[operator]
            # Equal values come in the order of their ids, whatever the direction.
            assert first != second or (one < other) != descending


def test_names_of_an_order_that_are_no_fields(tmp_path: Path) -> None:
    engine = new_engine({"uri": "z", "id": "z"})
    engine.index(write_pictures(tmp_path, ["b", "a"]))
    a, b = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    assert ids(engine, order_by="id") == sorted([a, b, "0"])
    assert ids(engine, order_by="-id") == sorted([a, b, "0"], reverse=True)
    assert ids(engine, order_by="-uri") == [b, a, "0"], "a missing one is last"
    times = {str(record.id): record.modified_ns or 0 for record in engine.records()}
    assert ids(engine, order_by="modified")[:2] == sorted([a, b], key=lambda p: (times[p], p))


@pytest.mark.parametrize("id", ["\ud800", "a\x00b", "é", "😀"])
def test_odd_ids_are_sorted(id: str) -> None:
    engine = new_engine()
    engine.add(picture("odd"), id=id)
    engine.add(picture("a"), id="a")
    assert ids(engine, order_by="id") == sorted([id, "a"])
    assert id in engine
    assert engine.vectors([id]).shape == (1, 16)


@pytest.mark.parametrize("order_by", ["", "-"])
def test_an_order_needs_a_name(order_by: str) -> None:
    with pytest.raises(InvalidArgumentError, match="order_by"):
        new_engine().records(order_by=order_by)


def test_records_can_be_iterated_again_and_show_what_is_stored_then() -> None:
    engine = new_engine({"n": 1}, {"n": 2})
    records = engine.records(F("n") > 1, order_by="n")
    assert [record.id for record in records] == ["1"]
    engine.update("0", metadata={"n": 3})
    assert [record.id for record in records] == ["1", "0"]


def test_records_that_change_while_they_are_iterated(engine: SearchEngine) -> None:
    """Images that stay come in any case, those that were removed or match no more do not."""
    records = iter(engine.records(F("n") >= 0, order_by="n"))
    seen = [next(records).id]
    engine.remove(["298"])
    engine.update("297", metadata={"n": None})
    engine.update("299", metadata={"seen": True})
    seen += (record.id for record in records)
    assert seen == [*map(str, range(297)), "299"]


def test_vectors_come_in_the_order_of_the_ids(engine: SearchEngine) -> None:
    wanted = [*map(str, reversed(range(MANY))), "7", "7"]
    matrix = engine.vectors(wanted)
    assert (matrix.shape, matrix.dtype) == ((MANY + 2, 16), np.float32)
    right = FakeEmbedder().embed([picture(id) for id in wanted])
    np.testing.assert_allclose(matrix, right, atol=1e-6)
    np.testing.assert_array_equal(engine.vectors("3"), engine.vectors(["3"], "fake"))
    assert engine.vectors([]).shape == (0, 16)


class Bits(FakeEmbedder):
    """A model of packed bits."""

    @property
    def metric(self) -> Metric:
        return Metric.HAMMING

    def run(self, batch: Tensor) -> Tensor:
        return batch[:, :2]


def test_vectors_of_bits_are_packed() -> None:
    model = Bits()
    engine = SearchEngine(model, InMemoryVectorStore(), InMemoryMetadataStore())
    engine.add(picture("cat"), id="cat")
    matrix = engine.vectors(["cat"])
    assert (matrix.shape, matrix.dtype) == ((1, 2), np.uint8)
    np.testing.assert_array_equal(matrix, model.embed(picture("cat")))


def test_vectors_of_an_unknown_id_model_or_image_are_refused() -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    SearchEngine(FakeEmbedder("one"), vectors, metadata).add(picture("a"), id="a")
    engine = SearchEngine([FakeEmbedder("one"), FakeEmbedder("two")], vectors, metadata)
    with pytest.raises(InvalidArgumentError, match=r"no image of ids 'b', 'c', 'd' and 1 others"):
        engine.vectors(["a", "b", "c", "d", "e"])
    with pytest.raises(InvalidArgumentError, match=r"id 'a': no vector of model 'two'.*backfill"):
        engine.vectors(["a"], "two")
    with pytest.raises(UnknownModelError):
        engine.vectors(["a"], "three")


def test_vectors_of_an_image_that_is_replaced_at_that_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    engine, other = (SearchEngine(FakeEmbedder(), vectors, metadata) for _ in range(2))
    engine.add(picture("old"), id="a")
    fetch = vectors.fetch

    def late(collection: str, keys: list[str]) -> object:
        monkeypatch.undo()
        other.add(picture("new"), id="a")
        return fetch(collection, keys)

    monkeypatch.setattr(vectors, "fetch", late)
    np.testing.assert_array_equal(engine.vectors(["a"]), FakeEmbedder().embed(picture("new")))


def test_a_closed_engine_tells_nothing() -> None:
    engine = new_engine({})
    engine.close()
    for call in (engine.records, lambda: len(engine), lambda: engine.vectors(["0"])):
        with pytest.raises(Exception, match="was closed"):
            call()


def test_records_show_what_they_are() -> None:
    engine = new_engine()
    assert "all" in repr(engine.records())
    assert "match a filter, in the order of 'n'" in repr(engine.records(F("n") == 1, order_by="-n"))
    assert all(isinstance(record, Record) for record in engine.records())
