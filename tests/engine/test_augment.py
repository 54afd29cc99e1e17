"""Augmented spaces: exact by their definition, up to date, and models to everything else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from onnxsearch import (
    AsyncSearchEngine,
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    MetadataStore,
    Metric,
    Progress,
    Query,
    SearchEngine,
    StoreCorruptError,
    UnknownModelError,
    VectorStore,
)
from onnxsearch.metadata.base import Cell
from tests.engine.augmentation import NAME, augmented, error, stored_ids
from tests.engine.pixels import Pixels, pixels, random_pixels

EXACT = 1e-6
"""How far float32 products may be from those of float64."""


def engine_of(
    stores: tuple[VectorStore, MetadataStore] | None = None, metric: Metric = Metric.L2
) -> SearchEngine:
    vectors, records = stores or (InMemoryVectorStore(), InMemoryMetadataStore())
    return SearchEngine([Pixels(metric=metric), Pixels("two", (1, 3, -1))], vectors, records)


def filled(
    count: int = 40, stores: tuple[VectorStore, MetadataStore] | None = None
) -> SearchEngine:
    engine = engine_of(stores)
    engine.add_many(
        Item(image, f"{n:03}", {"half": n % 2}) for n, image in enumerate(random_pixels(count))
    )
    return engine


def test_vectors_are_what_the_definition_says(stores: tuple[VectorStore, MetadataStore]) -> None:
    with filled(stores=stores) as engine:
        report = engine.augment()
        assert (report.model, report.images, report.written, report.added) == (NAME, 40, 40, 40)
        assert report.rebuilt
        assert error(engine) < EXACT
        assert engine.verify().ok
        image = random_pixels(40)[7]
        (hit,) = engine.search(image, augmented=True, limit=1)
        assert (hit.id, hit.model) == ("007", NAME)
        assert hit.distance == pytest.approx(0, abs=1e-3)

        mean = engine.vectors(stored_ids(engine)).mean(axis=0)
        engine.remove("003")
        engine.add(pixels(90, 200, 17), id="new")
        hits = engine.search(image, augmented=True, limit=100)
        assert "new" in hits.ids
        assert "003" not in hits.ids
        assert len(hits) == 40
        refreshed = engine.augment()
        assert (refreshed.added, refreshed.removed, refreshed.rebuilt) == (1, 1, False)
        assert 0 < refreshed.written < 40
        assert error(engine, mean=mean) < EXACT
        assert engine.verify().ok

        engine.drop_model(NAME)
        assert engine.verify().ok
        assert engine.info().augmented == ()
        assert all(record.models == ("pixels", "two") for record in engine.records())


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
def test_all_metrics_of_numbers_give_the_same_vectors(metric: Metric) -> None:
    engine = engine_of(metric=metric)
    engine.add_many(Item(image, str(n)) for n, image in enumerate(random_pixels(20)))
    engine.augment()
    assert error(engine) < EXACT
    assert engine.search(Query.id("3"), augmented=True, limit=1)[0].id == "3"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_fewer_images_than_neighbours_are_moved_by_all(count: int) -> None:
    engine = filled(count)
    engine.augment()
    if count > 1:
        assert error(engine) < EXACT
    assert engine.search(random_pixels(count)[0], augmented=True).ids[0] == "000"


def test_images_that_are_all_the_same_keep_their_vectors() -> None:
    engine = engine_of()
    engine.add_many(Item(pixels(9, 8, 7), str(n)) for n in range(8))
    engine.augment()
    ids = stored_ids(engine)
    np.testing.assert_allclose(engine.vectors(ids, NAME), engine.vectors(ids), atol=EXACT)
    assert len(engine.search(pixels(9, 8, 7), augmented=True)) == 8


@given(order=st.permutations(range(12)))
@settings(max_examples=4)
def test_the_order_of_the_images_does_not_matter(order: list[int]) -> None:
    images = random_pixels(12)
    engine, other = engine_of(), engine_of()
    engine.add_many(Item(image, str(n)) for n, image in enumerate(images))
    other.add_many(Item(images[n], str(n)) for n in order)
    engine.augment()
    other.augment()
    ids = stored_ids(engine)
    np.testing.assert_allclose(engine.vectors(ids, NAME), other.vectors(ids, NAME), atol=EXACT)


@given(
    added=st.lists(st.integers(0, 11), max_size=8),
    removed=st.lists(st.integers(0, 39), max_size=8),
    renamed=st.lists(st.integers(0, 39), max_size=3),
)
@settings(max_examples=8)
def test_a_refresh_equals_a_space_made_anew(
    added: list[int], removed: list[int], renamed: list[int]
) -> None:
    engine = filled(40)
    engine.augment()
    mean = engine.vectors(stored_ids(engine)).mean(axis=0)
    for number, image in enumerate(random_pixels(12, seed=1)):
        if number in added:
            engine.add(image, id=f"new {number}")
    engine.remove(f"{number:03}" for number in removed)
    for number in renamed:
        if f"{number:03}" in engine:
            engine.update(f"{number:03}", metadata={"name": "other"})
    report = engine.augment()
    assert error(engine, mean=None if report.rebuilt else mean) < EXACT
    assert engine.augment().written == 0


def test_adding_and_removing_gives_the_same_space_again() -> None:
    engine = filled(40)
    engine.augment()
    ids = stored_ids(engine)
    before = engine.vectors(ids, NAME)
    engine.add_many(Item(image, f"new {n}") for n, image in enumerate(random_pixels(9, seed=3)))
    engine.augment()
    engine.remove(filter=None, id=[f"new {n}" for n in range(9)])
    engine.augment()
    np.testing.assert_allclose(engine.vectors(ids, NAME), before, atol=EXACT)


def test_other_arguments_and_many_changes_make_it_anew() -> None:
    engine = filled(40)
    engine.augment()
    assert not engine.augment().rebuilt
    assert engine.augment(neighbours=3, alpha=1.0).rebuilt
    ids = stored_ids(engine)
    expected = augmented(engine.vectors(ids), 3, 1.0)
    np.testing.assert_allclose(engine.vectors(ids, NAME), expected, atol=EXACT)
    engine.remove(["001", "002", "003", "004", "005"])
    assert engine.augment(neighbours=3, alpha=1.0).rebuilt


def test_info_says_how_stale_it_is() -> None:
    engine = filled(40)
    engine.augment()
    engine.add(pixels(1, 2, 3), id="new")
    engine.remove(["001", "002"])
    (space,) = engine.info().augmented
    assert (space.name, space.model, space.vectors, space.is_ready) == (NAME, "pixels", 39, True)
    assert (space.added, space.removed, space.neighbours, space.alpha) == (1, 2, 5, 3.0)
    assert "39 vectors, 1 images added and 2 removed since" in repr(engine.info())
    assert engine.info().others == {}


def test_everything_takes_it_as_a_model() -> None:
    engine = filled(40)
    engine.augment()
    engine.augment("two", neighbours=2)
    both = [NAME, "two:augmented"]
    image = random_pixels(40)[4]
    assert engine.search(image, model=NAME) == engine.search(image, augmented=True)
    fused = engine.search(image, models=both)
    assert fused == engine.search(image, models=["pixels", "two"], augmented=True)
    assert fused.ids[0] == "004"
    assert list(engine.compare(image, models=["pixels", NAME]).results) == ["pixels", NAME]
    labels = {id: int(id) % 3 for id in stored_ids(engine)}
    assert set(engine.evaluate(labels, models=["pixels", *both]).scores) >= {"pixels", *both}
    assert engine.duplicates(0.2, model=NAME) is not None
    (many,) = engine.search_many([image], model=NAME)
    assert many == engine.search(image, augmented=True)
    odd = engine.search(image, augmented=True, filter=F("half") == 1, limit=100)
    assert len(odd) == 20
    # They are not models that images are embedded with.
    assert engine.models == ["pixels", "two"]
    assert [each.name for each in engine.stats().models] == ["pixels", "two"]


def test_metadata_and_replaced_images_are_searched_as_in_a_model() -> None:
    engine = filled(40)
    engine.augment()
    engine.update("003", metadata={"half": 7})
    assert engine.search(random_pixels(40)[3], augmented=True, filter=F("half") == 7).ids == ["003"]
    engine.add(pixels(250, 1, 1), id="003")
    assert engine.search(pixels(250, 1, 1), augmented=True, limit=1).ids == ["003"]
    assert len(engine.search(pixels(1), augmented=True, limit=100)) == 40


def test_copies_and_snapshots_leave_it_out(tmp_path: Path) -> None:
    engine, other = filled(20), engine_of()
    engine.augment()
    assert engine.copy_to(other).copied == 20
    engine.save_snapshot(tmp_path / "album.zip")
    assert other.load_snapshot(tmp_path / "album.zip").unchanged == 20
    assert [record.models for record in other.records()] == [("pixels", "two")] * 20
    other.augment()
    assert other.load_snapshot(tmp_path / "album.zip").unchanged == 20
    engine.add(pixels(3, 3, 200), id="new")
    engine.copy_to(other)
    assert "new" in other.search(pixels(3, 3, 200), augmented=True, limit=1).ids


def test_dropping_and_replacing_the_model_drops_it() -> None:
    engine = filled(10)
    engine.augment()
    engine.migrate("pixels", "two")
    assert engine.info().augmented == ()
    assert [record.models for record in engine.records()] == [("two",)] * 10
    assert engine.verify().ok


def test_another_engine_searches_refreshes_and_drops_it() -> None:
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    engine, other = filled(20, (vectors, records)), engine_of((vectors, records))
    engine.augment()
    image = random_pixels(20)[5]
    assert other.search(image, augmented=True, limit=1).ids == ["005"]
    other.add(pixels(255, 255, 1), id="new")
    assert engine.search(pixels(255, 255, 1), augmented=True, limit=1).ids == ["new"]
    assert other.augment().added == 1
    without = SearchEngine(Pixels("two", (1, 3, -1)), vectors, records)
    without.add(pixels(9), id="nine")
    with pytest.raises(UnknownModelError, match="without its embedder"):
        without.search(image, model=NAME)
    engine.backfill("pixels")
    other.drop_model(NAME)
    with pytest.raises(UnknownModelError, match="has no augmented space"):
        engine.search(image, augmented=True)
    engine.add(pixels(8), id="eight")
    assert engine.verify().ok


def test_what_cannot_be_augmented_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="index images first"):
        engine_of().augment()
    engine = SearchEngine(
        Pixels(metric=Metric.HAMMING), InMemoryVectorStore(), InMemoryMetadataStore()
    )
    with pytest.raises(InvalidArgumentError, match="vectors of bits"):
        engine.augment()
    engine = filled(5)
    with pytest.raises(UnknownModelError, match="has no augmented space"):
        engine.search(pixels(1), augmented=True)
    engine.augment()
    with pytest.raises(InvalidArgumentError, match="is augmented itself"):
        engine.augment(NAME)
    with pytest.raises(InvalidArgumentError, match="text tower"):
        engine.search(text="a cat", augmented=True)


@pytest.mark.parametrize(
    "arguments",
    [{"neighbours": 0}, {"neighbours": 101}, {"alpha": -1}, {"alpha": float("nan")}],
)
def test_bad_arguments_are_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        filled(3).augment(**arguments)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"\xff", b'{"format":2}', b"[" * 100_000,
        b'{"format":1,"below":"x","metric":"l2","neighbours":5,"alpha":3,"mean":"AAAA"}',
    ],
)  # fmt: skip
def test_a_damaged_description_is_named_and_can_be_dropped(data: bytes) -> None:
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = filled(10, (vectors, records))
    engine.augment()
    records.commit({Cell("onnxsearch:augmentation", "pixels"): data})
    with pytest.raises(StoreCorruptError, match="augmented space of model 'pixels'"):
        engine.search(pixels(1), augmented=True)
    assert engine.verify().ok
    engine.add(pixels(5), id="new")
    engine.drop_model(NAME)
    engine.augment()
    assert error(engine) < EXACT


@pytest.mark.parametrize("damage", [None, b"", b"x" * 480, b"\xff" * 480])
def test_lost_neighbours_are_sought_again(damage: bytes | None) -> None:
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = filled(10, (vectors, records))
    engine.augment()
    (key,) = [key for key, _ in records.items("onnxsearch:augmentation") if "/" in key]
    records.commit({Cell("onnxsearch:augmentation", key): damage})
    engine.add(pixels(9, 9, 9), id="new")
    mean = engine.vectors(stored_ids(engine)[:-1]).mean(axis=0)
    assert engine.augment().written == 11
    assert error(engine, mean=mean) < EXACT


def test_neighbours_of_former_calls_are_deleted() -> None:
    metadata = InMemoryMetadataStore()
    engine = SearchEngine(Pixels(), InMemoryVectorStore(), metadata)
    engine.add_many(Item(image, f"{n:02}") for n, image in enumerate(random_pixels(12)))
    for neighbours in (5, 5, 3):
        engine.add(pixels(1, 200, 3))
        engine.augment(neighbours=neighbours)
        cells = [key for key, _ in metadata.items("onnxsearch:augmentation")]
        assert len(cells) == 2
    engine.drop_model(NAME)
    assert not list(metadata.items("onnxsearch:augmentation"))


def test_progress_and_asyncio() -> None:
    engine = filled(20)
    seen: list[Progress] = []

    async def run() -> None:
        async with AsyncSearchEngine(engine) as both:
            await both.augment(progress=seen.append)
            hits = await both.search(random_pixels(20)[2], augmented=True, limit=1)
            assert hits.ids == ["002"]

    asyncio.run(run())
    assert (seen[-1].done, seen[-1].total, seen[-1].current) == (40, 40, NAME)
