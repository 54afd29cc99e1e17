"""Searches by regions: images in which the query is a part, and where it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from onnxsearch import (
    AlphaQE,
    Embedder,
    F,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    MetadataStore,
    OnnxEmbedder,
    Query,
    RankFusion,
    RegionModel,
    Rerank,
    SearchEngine,
    UnknownModelError,
    VectorStore,
)
from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.regions import COUNT, DIMENSION, Regional
from onnxsearch.vectors.capabilities import LateInteraction
from tests.embedders.models import convolutional_model
from tests.engine.mosaic import CELLS, Mosaic, collage, patchwork

REGIONS = "mosaic.regions"
PLACES = [(0, 0), (32, 32), (64, 0), (16, 48), (40, 8), (64, 64)]


def fill(engine: SearchEngine) -> None:
    for number, place in enumerate(PLACES):
        engine.add(collage(number, 100 + number, place), id=str(number), metadata={"n": number})


def new_engine() -> SearchEngine:
    return SearchEngine(Mosaic(), InMemoryVectorStore(), InMemoryMetadataStore())


@pytest.fixture(scope="module")
def engine() -> SearchEngine:
    engine = new_engine()
    fill(engine)
    return engine


def test_the_image_is_found_in_which_the_query_is_a_part(
    stores: tuple[VectorStore, MetadataStore],
) -> None:
    with SearchEngine(Mosaic(), *stores) as engine:
        fill(engine)
        for number, (left, top) in enumerate(PLACES):
            query = patchwork(100 + number)
            rerank = Rerank.by_model(REGIONS)
            assert engine.search(query, rerank=rerank, limit=1).ids == [str(number)]
            if not isinstance(stores[0], LateInteraction):
                with pytest.raises(InvalidArgumentError, match=r"rerank=Rerank\.by_model"):
                    engine.search(query, model=REGIONS)
                continue
            hit = engine.search(query, model=REGIONS, limit=1)[0]
            assert (hit.id, hit.model) == (str(number), REGIONS)
            assert hit.region is not None
            edges = hit.region.in_pixels(96, 96)
            cell = 96 / CELLS
            assert np.abs(np.subtract(edges, (left, top, left + 32, top + 32))).max() <= cell
        assert engine.verify().ok


def test_one_run_of_the_model_gives_both_vectors() -> None:
    embedder = Mosaic()
    with SearchEngine(embedder, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.add(patchwork(1), id="one")
    assert embedder.runs == [1]


def test_without_regions_everything_is_as_before() -> None:
    vectors = InMemoryVectorStore()
    with SearchEngine(Mosaic(regions=False), vectors, InMemoryMetadataStore()) as engine:
        fill(engine)
        assert vectors.collections() == ["onnxsearch__mosaic"]
        record = engine.get("1")
        assert record is not None
        assert record.models == ("mosaic",)
        assert engine.search(patchwork(1), limit=1)[0].region is None
        with pytest.raises(UnknownModelError, match="regions=True"):
            engine.search(patchwork(1), model=REGIONS)


def test_regions_leave_the_vectors_of_images_as_they_are(engine: SearchEngine) -> None:
    with SearchEngine(
        Mosaic(regions=False), InMemoryVectorStore(), InMemoryMetadataStore()
    ) as plain:
        fill(plain)
        ids = [str(number) for number in range(len(PLACES))]
        assert np.array_equal(plain.vectors(ids), engine.vectors(ids))


def rows_of(engine: SearchEngine) -> dict[str, int]:
    report = engine.verify()
    assert report.ok
    return dict(report.vectors)


def test_regions_are_replaced_and_removed_with_their_image() -> None:
    with new_engine() as engine:
        fill(engine)
        engine.add(patchwork(7), id="0")
        engine.update("1", metadata={"n": 99})
        assert engine.search(patchwork(100), model=REGIONS, limit=1)[0].distance > 0.1
        found = engine.search(patchwork(101), model=REGIONS, filter=F("n") == 99)
        assert found.ids == ["1"]
        engine.remove(["0", "1"])
        assert not {"0", "1"} & set(engine.search(patchwork(101), model=REGIONS).ids)
        assert set(rows_of(engine).values()) == {len(PLACES) - 2}


def test_regions_come_with_copies_and_snapshots(engine: SearchEngine, tmp_path: Path) -> None:
    wanted = engine.search(patchwork(103), model=REGIONS)
    engine.save_snapshot(tmp_path / "album.zip")
    with new_engine() as copied, new_engine() as loaded:
        engine.copy_to(copied)
        loaded.load_snapshot(tmp_path / "album.zip")
        for other in (copied, loaded):
            assert list(other.search(patchwork(103), model=REGIONS)) == list(wanted)
            assert rows_of(other) == rows_of(engine)


def test_backfill_gives_regions_to_images_that_were_stored_before(tmp_path: Path) -> None:
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    collage(1, 101, (32, 32)).save(tmp_path / "image.png")
    with SearchEngine(Mosaic(regions=False), vectors, records) as engine:
        engine.index(tmp_path)
    with SearchEngine(Mosaic(), vectors, records) as engine:
        assert not engine.search(patchwork(101), model=REGIONS)
        report = engine.backfill("mosaic")
        assert report.counts["indexed"] == 1
        assert engine.search(patchwork(101), model=REGIONS)[0].uri == str(tmp_path / "image.png")
        assert engine.index(tmp_path).counts["unchanged"] == 1


def test_regions_are_dropped_with_their_model() -> None:
    vectors = InMemoryVectorStore()
    other = Mosaic(regions=False)
    other.name = "other"  # type: ignore[misc]
    with SearchEngine([Mosaic(), other], vectors, InMemoryMetadataStore()) as engine:
        fill(engine)
        engine.drop_model("mosaic")
        assert vectors.collections() == ["onnxsearch__other"]
        assert engine.verify().ok


def test_regions_are_dropped_alone() -> None:
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    with SearchEngine(Mosaic(), vectors, records) as engine:
        fill(engine)
        assert engine.info().models[0].regions == len(PLACES)
        assert engine.info().models[0].region_model == REGIONS
        assert not engine.info().others
        with pytest.raises(InvalidArgumentError, match="without regions=True"):
            engine.drop_model(REGIONS)
    with SearchEngine(Mosaic(regions=False), vectors, records) as engine:
        engine.drop_model(REGIONS)
        assert vectors.collections() == ["onnxsearch__mosaic"]
        assert engine.info().models[0].regions is None
        assert engine.info().models[0].region_model is None
        assert {record.models for record in engine.records()} == {("mosaic",)}
        assert engine.verify().ok


def test_an_index_remembers_regions_until_they_are_dropped(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = tmp_path / "conv.onnx"
    model.write_bytes(convolutional_model())
    with SearchEngine.open(
        tmp_path, embedders=OnnxEmbedder(model, profile="keras-tf", regions=True)
    ):
        pass
    plain = OnnxEmbedder(model, profile="keras-tf")
    with SearchEngine.open(tmp_path, embedders=plain) as engine:
        (known,) = engine.info().models
        assert known.settings["regions"] == "map"
        engine.drop_model("conv.regions")
        (known,) = engine.info().models
        assert "regions" not in known.settings
    with SearchEngine.open(tmp_path) as engine, pytest.raises(UnknownModelError, match="regions"):
        engine.search(patchwork(1), model="conv.regions")


def test_regions_are_for_searches_alone(engine: SearchEngine) -> None:
    for call in (partial(engine.duplicates, 0.1), engine.map, engine.augment):
        with pytest.raises(
            UnknownModelError, match=r"'mosaic\.regions' are regions, which are for"
        ):
            call(model=REGIONS)
    with pytest.raises(UnknownModelError, match="for searches: expected one of mosaic"):
        engine.vectors("1", REGIONS)


def test_selections_count_images_and_not_regions(engine: SearchEngine) -> None:
    everything = engine.search(patchwork(102), model=REGIONS, limit=len(PLACES) + 5)
    assert sorted(everything.ids) == [str(number) for number in range(len(PLACES))]
    distances = [hit.distance for hit in everything]
    assert distances == sorted(distances)
    page = engine.search(patchwork(102), model=REGIONS, limit=2, offset=1)
    assert page.ids == everything.ids[1:3]
    left_out = engine.search(patchwork(102), model=REGIONS, exclude="2", limit=1)
    assert left_out.ids == everything.ids[1:2]
    near = engine.search(patchwork(102), model=REGIONS, max_distance=distances[0])
    assert near.ids == everything.ids[:1]


def test_many_queries_find_what_each_finds_alone(engine: SearchEngine) -> None:
    queries = [patchwork(100 + number) for number in range(3)]
    together = list(engine.search_many(queries, model=REGIONS, limit=2))
    alone = [engine.search(query, model=REGIONS, limit=2) for query in queries]
    assert [[(h.id, h.region) for h in found] for found in together] == [
        [(h.id, h.region) for h in found] for found in alone
    ]


@pytest.mark.parametrize(
    "arguments", [{"expand": AlphaQE()}, {"diversity": 0.5}, {"query": Query.id("1")}]
)
def test_what_needs_one_vector_of_an_image_is_refused(
    engine: SearchEngine, arguments: dict[str, object]
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"mosaic\.regions"):
        engine.search(**{"query": patchwork(1), "model": REGIONS, **arguments})  # type: ignore[arg-type]


def test_regions_are_fused_with_whole_images(engine: SearchEngine) -> None:
    query, models = patchwork(101), ["mosaic", REGIONS]
    alone = engine.compare(query, models=models, limit=1000).results
    assert alone[REGIONS] == engine.search(query, model=REGIONS, limit=1000)
    assert alone["mosaic"].ids != alone[REGIONS].ids
    assert engine.search(query, models=models, limit=1000).ids == RankFusion().fuse(alone).ids


def test_regions_are_fused_with_keywords(engine: SearchEngine) -> None:
    query = patchwork(101)
    found = engine.search(query, model=REGIONS, keywords="4", limit=2)
    assert found.model == f"{REGIONS}+keywords"
    assert sorted(found.ids) == sorted(["4", *engine.search(query, model=REGIONS, limit=1).ids])


def test_a_fusion_with_regions_is_neither_expanded_nor_evaluated(engine: SearchEngine) -> None:
    models = ["mosaic", REGIONS]
    with pytest.raises(InvalidArgumentError, match=r"expand .* 'mosaic\.regions'"):
        engine.search(patchwork(1), models=models, expand=AlphaQE())
    with pytest.raises(InvalidArgumentError, match=r"evaluate .* 'mosaic\.regions'"):
        engine.evaluate(lambda record: str(len(record.id)), models=models)


def test_a_box_is_a_query_like_the_part_that_it_cuts_out(engine: SearchEngine) -> None:
    whole = collage(50, 102, (32, 48))
    part = whole.crop((32, 48, 64, 80))
    for model in ("mosaic", REGIONS):
        boxed = engine.search(whole, box=(32, 48, 64, 80), model=model)
        assert boxed == engine.search(part, model=model)
    assert boxed.ids[0] == "2"


def test_the_box_of_all_pixels_is_the_plain_search(engine: SearchEngine) -> None:
    query = collage(3, 9, (8, 8))
    assert engine.search(query, box=(0, 0, 96, 96)) == engine.search(query)


def test_a_box_is_in_pixels_of_the_upright_image(tmp_path: Path, engine: SearchEngine) -> None:
    upright = collage(60, 104, (0, 60))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    turned.save(tmp_path / "turned.png", exif=exif)
    boxed = engine.search(tmp_path / "turned.png", box=(0, 60, 32, 92), model=REGIONS)
    assert boxed == engine.search(patchwork(104, 32), model=REGIONS)


def test_a_box_of_a_stored_image(tmp_path: Path) -> None:
    collage(1, 101, (32, 0)).save(tmp_path / "stored.png")
    with new_engine() as engine:
        fill(engine)
        stored = engine.add(tmp_path / "stored.png")
        boxed = engine.search(
            Query.id(stored), box=(32, 0, 64, 32), model=REGIONS, exclude_query=True, limit=1
        )
        assert boxed.ids == ["1"]
        with pytest.raises(InvalidArgumentError, match="not stored from a file"):
            engine.search(Query.id("1"), box=(0, 0, 8, 8))


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 0, 10),
        (10, 0, 5, 10),
        (0, 0, 97, 10),
        (0, 0, 10, 1000),
        (-1, 0, 10, 10),
        (0, 0, 10),
        (0, 0, 10.5, 10),
        (0, 0, True, 10),
        "0,0,9,9",
        7,
    ],
)
def test_a_box_that_is_no_part_of_the_image_is_refused(engine: SearchEngine, box: object) -> None:
    with pytest.raises(InvalidArgumentError, match="box"):
        engine.search(patchwork(1), box=box)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", [Query.text("red"), Query.vector(np.ones(96, np.float32))])
def test_a_box_needs_an_image(engine: SearchEngine, query: Query) -> None:
    with pytest.raises(InvalidArgumentError, match="box is a part of an image"):
        engine.search(query, box=(0, 0, 8, 8))


@given(st.data())
def test_regions_are_where_they_were_pasted(data: st.DataObject) -> None:
    """Whatever the aspect: the profile cuts the middle out, and regions are mapped back."""
    width = data.draw(st.integers(96, 200), "width")
    height = data.draw(st.integers(96, 200), "height")
    side = min(width, height)
    part = side // 3
    # Inside what the model sees.
    left = (width - side) // 2 + data.draw(st.integers(0, side - part), "left")
    top = (height - side) // 2 + data.draw(st.integers(0, side - part), "top")
    image = Image.new("RGB", (width, height), (127, 127, 127))
    image.paste(patchwork(5, part), (left, top))
    embedder = Mosaic()
    assert embedder.regions is not None
    assert isinstance(embedder, Regional)
    _, maps = embedder.embed_with_map([embedder.prepare(image)])
    (row,) = embedder.regions.rows(maps, [embedder.seen_part(image)])
    (query,) = embedder.regions.embed(patchwork(5))
    _, region = embedder.regions.nearest_region(row, query)
    found = region.in_pixels(width, height)
    wanted = (left, top, left + part, top + part)
    cell = side / CELLS
    assert np.abs(np.subtract(found, wanted)).max() <= 2 * cell
    assert 0 <= found[0] < found[2] <= width
    assert 0 <= found[1] < found[3] <= height


@pytest.fixture(scope="module")
def bundled() -> Iterator[OnnxEmbedder]:
    pytest.importorskip("onnx")
    with OnnxEmbedder.bundled("efficientnet-lite0", regions=True) as embedder:
        yield embedder


@pytest.mark.integration
def test_regions_of_a_bundled_model(bundled: OnnxEmbedder, album: Path, tmp_path: Path) -> None:
    photos = sorted(album.rglob("*.jpg"))[:2]
    with OnnxEmbedder.bundled("efficientnet-lite0") as plain:
        assert np.array_equal(plain.embed(photos), bundled.embed(photos)), "bits"
        assert plain.fingerprint == bundled.fingerprint
    with SearchEngine.open(tmp_path, embedders=bundled) as engine:
        engine.index(album)
        vectors = engine.vectors([str(path) for path in photos])
        assert np.array_equal(vectors, bundled.embed(photos))
    # What an index remembers of its model includes the regions.
    with SearchEngine.open(tmp_path) as engine, Image.open(photos[0]) as image:
        box = (0, 0, image.width, image.height)
        hit = engine.search(photos[0], box=box, model="efficientnet-lite0.regions", limit=1)[0]
        assert hit.region is not None


def test_black_images_have_regions(bundled: OnnxEmbedder) -> None:
    with SearchEngine(bundled, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.add(Image.new("RGB", (300, 20)), id="black")
        found = engine.search(Image.new("RGB", (9, 9)), model="efficientnet-lite0.regions")
        assert found.ids == ["black"]


class OwnRegions(Embedder):
    """An embedder of a program's own that is searched by region."""

    name, dimension, fingerprint = REGIONS, DIMENSION, "own-regions-1"
    regions_stored, columns_stored = COUNT, RegionModel.columns_stored

    def __init__(self, model: RegionModel) -> None:
        self._model = model
        self.rows = model.rows
        self.nearest_region = model.nearest_region

    def prepare(self, image: ImageInput) -> Tensor:
        return self._model.prepare(image)

    def run(self, batch: Tensor) -> Tensor:
        return self._model.run(batch)


def test_embedders_of_others_are_searched_by_region() -> None:
    mosaic = Mosaic()
    assert mosaic.regions is not None
    mosaic.regions = OwnRegions(mosaic.regions)  # type: ignore[assignment]
    with SearchEngine(mosaic, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        fill(engine)
        (hit,) = engine.search(patchwork(100), model=REGIONS, limit=1)
        assert hit.id == "0"
        assert hit.region is not None
        (again,) = engine.search(patchwork(100), rerank=Rerank.by_model(REGIONS), limit=1)
        assert again.id == "0"
        for refused in ({"query": Query.id("0")}, {"query": patchwork(100), "expand": AlphaQE()}):
            with pytest.raises(InvalidArgumentError):
                engine.search(**refused, model=REGIONS)
