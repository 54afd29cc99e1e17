"""Maps: places, clusters and their names, in every store and for every kind of album."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    AlbumMap,
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    MetadataStore,
    Metric,
    Progress,
    SearchEngine,
    UnknownModelError,
    VectorStore,
)
from onnxsearch.album_map import mapping
from onnxsearch.album_map.repulsion import Repulsion
from tests.engine.pixels import Pixels, filled, pixels, random_pixels

GROUPS = ((40, 40, 200), (200, 40, 40), (40, 200, 40))


def grouped(each: int = 14) -> SearchEngine:
    """Return an engine with images of three groups, which their tags name."""
    engine = SearchEngine(Pixels(), InMemoryVectorStore(), InMemoryMetadataStore())
    random = np.random.default_rng(3)
    engine.add_many(
        Item(
            pixels(*(4 * colour + random.integers(-20, 21, 12)).clip(0, 255)),
            f"{number:03}",
            {"tags": ["all", f"group {number % 3}"]},
        )
        for number in range(3 * each)
        for colour in [np.array(GROUPS[number % 3] * 4) // 4]
    )
    return engine


def test_similar_images_are_near_each_other_and_clusters_are_named() -> None:
    seen: list[Progress] = []
    album = grouped().map(progress=seen.append)
    groups = np.array([int(id) % 3 for id in album.ids])
    apart = np.linalg.norm(album.xy[:, None] - album.xy, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (groups[apart.argmin(axis=1)] == groups).all()
    assert np.abs(album.xy).max() == 1
    for number, label in enumerate(album.labels):
        members = groups[album.clusters == number]
        assert (members == members[0]).all()
        assert label == f"group {members[0]}", "what all images have names no cluster"
        assert int(album.medoids[number]) % 3 == members[0]
    assert {*album.labels} == {"group 0", "group 1", "group 2"}
    done = [each.done for each in seen]
    assert done == sorted(done)
    assert seen[-1] == Progress(42, 42)


def test_a_seed_gives_the_same_map() -> None:
    engine = grouped()
    first, second, other = engine.map(), engine.map(), engine.map(seed=1)
    assert np.array_equal(first.xy, second.xy)
    assert first.labels == second.labels
    assert not np.array_equal(first.xy, other.xy)


def test_every_store_gives_the_same_map(stores: tuple[VectorStore, MetadataStore]) -> None:
    album, expected = filled(stores).map("two"), filled().map("two")
    assert album.ids == expected.ids
    assert album.model == "two"
    np.testing.assert_allclose(album.xy, expected.xy, atol=1e-4)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.HAMMING, Metric.COSINE, Metric.IP])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 31])
def test_few_images(count: int, metric: Metric) -> None:
    album = filled(count=count, metric=metric).map()
    assert album.xy.shape == (count, 2)
    assert album.xy.dtype == np.float32
    assert np.isfinite(album.xy).all()
    assert len(album) == len(album.ids) == len(album.clusters) == count
    assert len(album.medoids) == len(album.labels) == album.clusters.max(initial=-1) + 1
    if 0 < count < 4:
        assert (album.clusters == -1).all()
        assert album.labels == ()


def test_equal_images_have_places() -> None:
    engine = SearchEngine(Pixels(), InMemoryVectorStore(), InMemoryMetadataStore())
    engine.add_many(Item(pixels(1, 2, 3), str(number)) for number in range(50))
    album = engine.map()
    assert np.isfinite(album.xy).all()
    assert set(album.labels) <= {f"cluster {number}" for number in range(50)}


def test_a_filter_and_a_model_that_came_later() -> None:
    engine = filled(count=8)
    assert engine.map(filter=F("half") == 1).ids == ("001", "003", "005", "007")
    nothing = engine.map(filter=F("half") == 7)
    assert (len(nothing), nothing.to_dicts()) == (0, [])
    assert "0 images" in repr(nothing)
    later = SearchEngine(
        [Pixels("one"), Pixels("new", (2, 1))], engine._catalog.vectors, engine._catalog.metadata
    )
    assert later.map("new").ids == ()
    later.add(pixels(7), id="late")
    assert later.map("new").ids == ("late",)


def test_albums_too_large_are_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = grouped()
    monkeypatch.setattr(mapping, "_WHOLE", 20)
    monkeypatch.setattr(mapping, "_COMPONENTS", 3)
    album = engine.map()
    assert {*album.labels} == {"group 0", "group 1", "group 2"}


def test_wrong_arguments_are_refused() -> None:
    engine = filled(count=3)
    for wrong in ({"seed": -1}, {"filter": "half"}, {"progress": 3}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            engine.map(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UnknownModelError):
        engine.map("nobody")


def test_folders_and_captions_name_clusters(tmp_path: Path) -> None:
    engine = SearchEngine(Pixels(), InMemoryVectorStore(), InMemoryMetadataStore())
    caption = {"caption": "the two of us had dinner at the lighthouse near the harbour of Kiel"}
    images = random_pixels(60, seed=5)
    engine.add_many(
        Item(image, f"03_Summer-{number % 2}/{number}", caption if number % 2 else None)
        for number, image in enumerate(images)
    )
    labels = engine.map().labels
    assert labels
    for label in labels:
        for term in label.split(", "):
            assert term.startswith(("Summer ", "cluster ")) or term in caption["caption"].lower()


def test_tables_and_text() -> None:
    album = grouped().map()
    table = album.to_arrow()
    assert table.column_names == ["id", "uri", "x", "y", "cluster", "label"]
    assert table["id"].to_pylist() == list(album.ids)
    assert table["x"].to_pylist() == album.xy[:, 0].tolist()
    assert table["label"].to_pylist() == [
        album.labels[number] if number >= 0 else None for number in album.clusters
    ]
    assert repr(album).startswith("<AlbumMap 42 images, 3 clusters, model 'pixels'>")
    assert isinstance(album, AlbumMap)


def test_repulsion_on_a_grid_is_that_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    for extent in (1e-3, 1.0, 40.0):
        points = (extent * random.standard_normal((300, 2))).astype(np.float32)
        total, forces = Repulsion()(points)
        apart = points[:, None].astype(np.float64) - points
        kernel = 1 / (1 + np.square(apart).sum(axis=2))
        expected = (apart * np.square(kernel)[:, :, None]).sum(axis=1)
        assert total == pytest.approx(kernel.sum() - len(points), rel=0.01)
        np.testing.assert_allclose(forces, expected, atol=0.1 * np.abs(expected).max())
