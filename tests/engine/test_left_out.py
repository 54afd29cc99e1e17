"""What a search leaves out, groups and measures: the same in every store, on every page."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from onnxsearch import (
    Hit,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    MetadataStore,
    Metric,
    Query,
    QueryInput,
    SearchEngine,
    SearchResults,
    VectorStore,
)
from onnxsearch.testing import FakeEmbedder, picture

IMAGES = 130
FUSED: dict[str, Any] = {"models": ["one", "two"]}


def fill(engine: SearchEngine) -> SearchEngine:
    for number in range(IMAGES):
        engine.add(picture(f"{number}"), id=f"{number}", metadata={"shelf": number % 9})
    return engine


def make(stores: tuple[VectorStore, MetadataStore]) -> SearchEngine:
    return SearchEngine([FakeEmbedder("one", 12), FakeEmbedder("two", 20)], *stores)


def in_memory() -> SearchEngine:
    return make((InMemoryVectorStore(), InMemoryMetadataStore()))


@pytest.fixture(scope="module")
def album() -> SearchEngine:
    return fill(in_memory())


def same(found: SearchResults, wanted: SearchResults) -> None:
    assert found.ids == wanted.ids
    assert [hit.distance for hit in found] == pytest.approx([hit.distance for hit in wanted])


@pytest.mark.parametrize("options", [{}, FUSED, {"diversity": 0.5}, {"group_by": "shelf"}], ids=str)
def test_excluded_images_might_as_well_not_be_stored(
    stores: tuple[VectorStore, MetadataStore], options: dict[str, Any]
) -> None:
    engine = fill(make(stores))
    query = picture("query")
    # The nearest ones, and some far away: the search has to look deeper.
    nearest = engine.search(query, limit=IMAGES, **FUSED).ids
    excluded = [*nearest[:60], *nearest[-10:], "not stored", "it's"]
    found = engine.search(query, limit=20, exclude=excluded, **options)
    pages = [
        engine.search(query, limit=5, offset=at, exclude=excluded, **options) for at in (0, 5, 10)
    ]
    assert [hit for page in pages for hit in page] == list(found[:15])
    engine.remove(excluded)
    same(found, engine.search(query, limit=20, **options))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    excluded=st.sets(st.integers(0, IMAGES), max_size=IMAGES).map(lambda s: {str(n) for n in s}),
    limit=st.integers(1, IMAGES),
    offset=st.integers(0, 40),
    options=st.sampled_from([{}, FUSED]),
    group_size=st.one_of(st.none(), st.integers(1, 4)),
    rank=st.integers(0, IMAGES - 1),
)
def test_options_together_do_what_each_says(
    album: SearchEngine,
    excluded: set[str],
    limit: int,
    offset: int,
    options: dict[str, Any],
    group_size: int | None,
    rank: int,
) -> None:
    query = picture("query")
    kept = album.search(query, limit=IMAGES, exclude=excluded, **options)
    assert set(kept.ids) == {f"{number}" for number in range(IMAGES)} - excluded
    least = kept[min(rank, len(kept) - 1)].score if kept else 0.5
    wanted: list[Hit] = []
    shelves: Counter[object] = Counter()
    for hit in kept:
        shelves[hit.metadata["shelf"]] += 1
        of_its_group = group_size is None or shelves[hit.metadata["shelf"]] <= group_size
        if of_its_group and hit.score >= least:
            wanted.append(hit)
    groups: dict[str, Any] = {}
    if group_size is not None:
        groups = {"group_by": "shelf", "group_size": group_size}
    found = album.search(
        query,
        limit=limit,
        offset=offset,
        exclude=excluded,
        min_score=least,
        **options,
        **groups,
    )
    assert list(found) == wanted[offset : offset + limit]


def test_absent_ids_hide_no_group() -> None:
    engine = SearchEngine(
        FakeEmbedder(rankings={"a": ["b", "c"]}),
        InMemoryVectorStore(),
        InMemoryMetadataStore(),
    )
    for name, shelf in (("a", "red"), ("b", "red"), ("c", "blue")):
        engine.add(picture(name), id=name, metadata={"shelf": shelf})
    for excluded in ((), ("x", "y"), ("x", "y", "z")):
        found = engine.search(picture("a"), limit=2, group_by="shelf", exclude=excluded)
        assert {hit.metadata["shelf"] for hit in found} == {"red", "blue"}


def test_exclude_takes_one_id_or_many(album: SearchEngine) -> None:
    ids = album.search(picture("query"), limit=3).ids
    assert album.search(picture("query"), limit=2, exclude=ids[0]).ids == ids[1:]
    assert album.search(picture("query"), limit=1, exclude=iter(ids[:2])).ids == ids[2:]
    many = [f"absent {number}" for number in range(20_000)]
    assert album.search(picture("query"), limit=3, exclude=many).ids == ids


class Shallow(InMemoryVectorStore):
    """Returns 20 rows at most."""

    max_rows = 20


def test_a_shallow_store_says_that_it_cannot_look_past_what_is_excluded() -> None:
    engine = fill(make((Shallow(), InMemoryMetadataStore())))
    ids = engine.search(picture("query"), limit=20).ids
    assert engine.search(picture("query"), limit=5, exclude=ids[:15]).ids == ids[15:]
    for options in ({}, FUSED):
        with pytest.raises(InvalidArgumentError, match="at most 20 rows"):
            engine.search(picture("query"), limit=60, exclude=ids[:15], **options)
    with pytest.raises(InvalidArgumentError, match="exclude of 15 ids"):
        engine.search(picture("query"), limit=6, exclude=ids[:15])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog", "fox"):
        picture(name).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def zoo(folder: Path) -> Iterator[SearchEngine]:
    with in_memory() as engine:
        engine.index(folder)
        engine.add((folder / "cat.png").read_bytes(), id="copy")
        engine.add(picture("cat"), id="pixels")
        yield engine


@pytest.mark.parametrize("options", [{}, FUSED, {"diversity": 0.5}], ids=str)
def test_the_query_and_its_copies_are_left_out(
    zoo: SearchEngine, folder: Path, options: dict[str, Any]
) -> None:
    cat, dog, fox = (str(folder / f"{name}.png") for name in ("cat", "dog", "fox"))
    # Nothing but the pixels shows that this one is the same.
    others = {dog, fox, "pixels"}
    with open(cat, "rb") as file:
        queries: list[QueryInput] = [
            cat,
            Path(cat),
            Path(cat).read_bytes(),
            file,
            io.BytesIO(Path(cat).read_bytes()),
            Query.id(cat),
            Query.id("copy"),
        ]
        for query in queries:
            found = zoo.search(query, exclude_query=True, **options)
            assert set(found.ids) == others, query
            assert found.ids[0] == "pixels"
    assert zoo.search(Query.id("pixels"), exclude_query=True, **options).ids[0] in {cat, "copy"}
    assert len(zoo.search(cat, **options)) == 5
    assert zoo.search(cat, exclude_query=True, exclude=["pixels", dog], **options).ids == [fox]
    near = Query.examples(like=[cat, Query.id(dog)], unlike=[Query.vector([1.0] + [0.0] * 11)])
    if not options:
        assert set(zoo.search(near, exclude_query=True).ids) == {fox, "pixels"}


def test_a_file_that_changed_is_still_the_query(zoo: SearchEngine, folder: Path) -> None:
    cat = folder / "cat.png"
    picture("owl").save(cat)
    assert str(cat) not in zoo.search(cat, exclude_query=True).ids
    zoo.add(cat, id="mine")
    found = zoo.search(cat, exclude_query=True).ids
    assert not {"mine", str(cat)} & set(found)


@pytest.mark.parametrize(
    "query",
    [
        picture("cat"),
        np.asarray(picture("cat")),
        Query.text("cat"),
        Query.vector([0.0] * 12),
        Query.examples(like=[picture("cat")]),
    ],
    ids=lambda query: type(query).__name__,
)
def test_a_query_that_could_be_any_image_cannot_be_left_out(
    zoo: SearchEngine, query: QueryInput
) -> None:
    with pytest.raises(InvalidArgumentError, match="exclude_query"):
        zoo.search(query, exclude_query=True)


def test_many_queries_are_left_out_each_of_its_own_results(zoo: SearchEngine, folder: Path) -> None:
    files = sorted(folder.glob("*.png"))
    found = list(zoo.search_many(files * 5, exclude_query=True))
    for file, results in zip(files * 5, found, strict=True):
        assert results == zoo.search(file, exclude_query=True)
        assert str(file) not in results.ids
    streams = (io.BytesIO(file.read_bytes()) for file in files)
    assert list(zoo.search_many(streams, exclude_query=True, exclude="pixels")) == [
        zoo.search(file, exclude_query=True, exclude="pixels") for file in files
    ]
    strict = zoo.search_many([files[0]], min_score=0.9, exclude_query=True)
    assert [results.ids for results in strict] == [["pixels"]]


def test_models_are_compared_without_the_query(zoo: SearchEngine, folder: Path) -> None:
    cat, dog = folder / "cat.png", folder / "dog.png"
    comparison = zoo.compare([cat, dog], exclude_query=True, exclude="pixels")
    for query, answer in zip((cat, dog), comparison, strict=True):
        for name, results in answer.results.items():
            options = {"exclude_query": True, "exclude": "pixels", "model": name}
            assert results == zoo.search(query, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"group_size": 2},
        {"group_by": "shelf", "group_size": 0},
        {"min_score": float("nan")},
        {"exclude": [""]},
        {"exclude": b"bytes"},
        {"exclude": [3]},
        {"exclude_query": 1},
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_named(
    album: SearchEngine, options: dict[str, Any]
) -> None:
    (name,) = options.keys() - {"group_by"}
    with pytest.raises(InvalidArgumentError, match=name):
        album.search(picture("query"), **options)


def angle(one: Any, other: Any) -> float:
    left, right = (np.asarray(each, np.float64) for each in (one, other))
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


class Measured(FakeEmbedder):
    """A fake with another metric."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric.value, 16)
        self.metric = metric  # type: ignore[misc]


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE], ids=lambda m: m.value)
def test_similarity_is_the_cosine(
    stores: tuple[VectorStore, MetadataStore], metric: Metric
) -> None:
    engine = SearchEngine(Measured(metric), *stores)
    for number in range(20):
        engine.add(picture(f"{number}"), id=f"{number}")
    rows = engine.vectors([f"{number}" for number in range(20)])
    vector = np.linspace(-3, 5, 16)
    for query in (picture("7"), Query.id("7"), Query.vector(vector)):
        row = vector if str(query).startswith("a vector") else rows[7]
        for hit in engine.search(query, limit=20):
            assert hit.similarity == pytest.approx(angle(row, rows[int(hit.id)]), abs=1e-5)
            assert -1 <= hit.similarity <= 1
    (nearest,) = next(engine.search_many([picture("7")], limit=1))
    assert nearest.similarity == pytest.approx(1)
    if metric is not Metric.COSINE:
        nowhere = engine.search(Query.vector([0.0] * 16), limit=1)
        assert [hit.similarity for hit in nowhere] == [None]


def test_fused_hits_have_no_similarity(album: SearchEngine) -> None:
    assert {hit.similarity for hit in album.search(picture("query"), **FUSED)} == {None}
