"""The facade, over in-memory stores and fake models."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    ClosedError,
    CollectionSpec,
    EmbeddingError,
    F,
    Filter,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Match,
    Query,
    SearchEngine,
    SpaceMismatchError,
    Tensor,
    UnknownModelError,
    UnsupportedImageError,
    Vectors,
)
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.engine.stores import assert_consistent

RANKINGS = {"query": ["cat", "dog", "fox"]}


def make(*embedders: FakeEmbedder) -> SearchEngine:
    return SearchEngine(
        embedders or (FakeEmbedder(rankings=RANKINGS),),
        InMemoryVectorStore(),
        InMemoryMetadataStore(),
    )


@pytest.fixture
def engine() -> Iterator[SearchEngine]:
    with make() as engine:
        for name in ("fox", "owl", "cat", "dog"):
            engine.add(picture(name), id=name, metadata={"name": name, "legs": 2 * len(name)})
        yield engine


def test_hits_come_nearest_first_with_all_that_is_known_of_them(engine: SearchEngine) -> None:
    results = engine.search(picture("query"), limit=3)
    assert results.ids == ["cat", "dog", "fox"]
    assert results.model == "fake"
    first = results[0]
    assert first.metadata == {"name": "cat", "legs": 6}
    assert first.model == "fake"
    assert first.uri is None
    assert first.score == pytest.approx(1 / (1 + first.distance))
    assert [hit.distance for hit in results] == sorted(hit.distance for hit in results)


def test_a_stored_picture_finds_itself_at_distance_zero(engine: SearchEngine) -> None:
    hit = engine.search(picture("owl"), limit=1)[0]
    assert (hit.id, hit.distance) == ("owl", pytest.approx(0, abs=1e-6))


def test_a_limit_beyond_the_album_gives_the_whole_album(engine: SearchEngine) -> None:
    assert sorted(engine.search(picture("query"), limit=1000).ids) == ["cat", "dog", "fox", "owl"]


def test_an_empty_engine_finds_nothing() -> None:
    assert len(make().search(picture("query"))) == 0
    assert make().count() == 0


def test_a_filter_leaves_what_matches(engine: SearchEngine) -> None:
    found = engine.search(picture("query"), filter=F("name").in_(["fox", "owl"]))
    assert found.ids == ["fox", "owl"]


def test_search_many_yields_what_search_returns(engine: SearchEngine) -> None:
    names = ["query", "owl", "cat", "nobody"] * 5
    many = list(engine.search_many((picture(name) for name in names), limit=2))
    assert many == [engine.search(picture(name), limit=2) for name in names]


def test_search_many_takes_pictures_only_as_they_are_needed(engine: SearchEngine) -> None:
    taken = []

    def endless() -> Iterator[Image.Image]:
        while True:
            taken.append(1)
            yield picture("query")

    results = engine.search_many(endless(), limit=1)
    assert next(results).ids == ["cat"]
    assert len(taken) < 200
    results.close()  # type: ignore[attr-defined]


class Counting(InMemoryVectorStore):
    """Remembers the number of queries of each search."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        self.asked.append(len(queries))
        return super()._search(spec, queries, limit, filter)


def counted(*embedders: FakeEmbedder) -> tuple[SearchEngine, list[int]]:
    store = Counting()
    engine = SearchEngine(embedders, store, InMemoryMetadataStore(), workers=2)
    engine.add(picture("cat"), id="cat")
    return engine, store.asked


def test_search_many_asks_the_store_once_for_images_that_are_there() -> None:
    engine, asked = counted(FakeEmbedder())
    images = [picture(f"{n}") for n in range(200)]
    results = list(engine.search_many(images))
    assert asked == [200]
    assert results == list(engine.search_many(iter(images)))
    assert sum(asked) == 400, "each is searched for once"
    assert len(asked) < 12, "of images to come, more and more are searched for at once"


def test_search_many_bounds_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, asked = counted(FakeEmbedder())
    monkeypatch.setattr("onnxsearch.search.searcher._HITS", 80)
    assert len(list(engine.search_many([picture(f"{n}") for n in range(30)], limit=10))) == 30
    assert asked == [8, 8, 8, 6]


def test_compare_asks_each_model_once() -> None:
    engine, asked = counted(FakeEmbedder("one"), FakeEmbedder("two"))
    queries = [Query.id("cat"), *(picture(f"{n}") for n in range(20))]
    comparison = engine.compare(queries)
    assert asked == [21, 21]
    for answer, query in zip(comparison, queries, strict=True):
        assert answer == engine.compare(query).answers[0]


def test_search_many_yields_what_came_before_a_bad_image(engine: SearchEngine) -> None:
    results = engine.search_many([*[picture("query")] * 9, b"no image", picture("query")])
    found = []
    with pytest.raises(UnsupportedImageError):
        found.extend(each.ids[0] for each in results)
    assert found == ["cat"] * 8, "all whole batches of four"


@pytest.mark.parametrize("query", ["a red apple", "~/nowhere.jpg"])
def test_a_string_that_is_not_a_file_says_how_to_search_for_words(
    engine: SearchEngine, query: str
) -> None:
    with pytest.raises(ImageNotFoundError, match=r"text='\.\.\.'.*Query\.id"):
        engine.search(query)


def test_a_fusion_without_models_is_refused(engine: SearchEngine) -> None:
    with pytest.raises(InvalidArgumentError, match="fusion 'rrf' does nothing without models"):
        engine.search(picture("cat"), fusion="rrf")
    assert engine.search(picture("query"), models=["fake"], fusion="rrf").ids[0] == "cat"


def test_an_image_can_be_given_in_every_form(engine: SearchEngine, tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, ["query"])
    with path.open("rb") as file:
        forms = [str(path), path, picture_bytes("query"), file, picture("query")]
        forms.append(io.BytesIO(picture_bytes("query")))
        forms.append(np.asarray(picture("query")))
        for form in forms:
            assert engine.search(form, limit=1).ids == ["cat"], type(form)


@pytest.mark.parametrize("output", [[[1.0] * 4], np.ones((1, 4), complex), np.full((1, 4), None)])
def test_an_embedder_that_gives_no_real_numbers_is_told(output: object) -> None:
    class Strange(FakeEmbedder):
        def run(self, batch: Tensor) -> Tensor:
            return output  # type: ignore[return-value]

    engine = make(Strange("strange", 4))
    with pytest.raises(EmbeddingError, match="'strange'"):
        engine.add(picture("cat"), id="cat")


def test_add_replaces_what_the_id_held(engine: SearchEngine) -> None:
    assert engine.add(picture("owl"), id="cat", metadata={"now": "an owl"}) == "cat"
    assert engine.count() == 4
    assert engine.search(picture("query"), limit=2).ids == ["dog", "fox"]
    record = engine.get("cat")
    assert record is not None
    assert record.metadata == {"now": "an owl"}


def test_ids_are_given_where_the_caller_gives_none(tmp_path: Path) -> None:
    engine = make()
    one, other = engine.add(picture("cat")), engine.add(picture("cat"))
    assert one != other
    (path,) = write_pictures(tmp_path, ["dog"])
    assert engine.add(path) == str(path)
    record = engine.get(str(path))
    assert record is not None
    assert record.uri == str(path)
    assert engine.add(path) == str(path)
    assert engine.count() == 3


@pytest.mark.parametrize(
    "id",
    [
        "'] or id in ['",
        "back\\slash",
        "new\nline",
        "nul\0",
        "写真 🙂",
        "\udc80surrogate",
        "x" * 65536,
    ],
)
def test_an_id_may_be_any_string(id: str) -> None:
    engine = make()
    engine.add(picture("cat"), id="bystander")
    assert engine.add(picture("dog"), id=id, metadata={"length": len(id)}) == id
    assert engine.search(picture("dog"), limit=1).ids == [id]
    record = engine.get(id)
    assert record is not None
    assert record.metadata == {"length": len(id)}
    assert engine.remove(id) == [id]
    assert engine.get(id) is None
    assert engine.count() == 1


def test_remove_tells_what_was_there(engine: SearchEngine) -> None:
    assert engine.remove(["cat", "nobody", "dog"]) == ["cat", "dog"]
    assert engine.remove("cat") == []
    assert engine.search(picture("query"), limit=2).ids == ["fox", "owl"]


def test_each_model_answers_for_itself() -> None:
    engine = make(
        FakeEmbedder("one", rankings={"query": ["cat", "dog"]}),
        FakeEmbedder("two", 8, rankings={"query": ["dog", "cat"]}),
    )
    for name in ("cat", "dog"):
        engine.add(picture(name), id=name)
    assert engine.models == ["one", "two"]
    assert engine.search(picture("query")).ids == ["cat", "dog"]
    assert engine.search(picture("query"), model="two").ids == ["dog", "cat"]
    record = engine.get("cat")
    assert record is not None
    assert record.models == ("one", "two")


def test_namespaces_keep_engines_apart() -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    one, other = (
        SearchEngine(FakeEmbedder(), vectors, metadata, namespace=name) for name in ("a", "b")
    )
    one.add(picture("cat"), id="cat")
    assert other.count() == 0
    assert len(other.search(picture("cat"))) == 0


def test_another_space_is_refused_even_of_the_same_dimension() -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    one, other = FakeEmbedder(), FakeEmbedder(rankings=RANKINGS)
    SearchEngine(one, vectors, metadata)
    with pytest.raises(SpaceMismatchError) as caught:
        SearchEngine(other, vectors, metadata)
    assert one.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)


def test_models_whose_names_look_alike_have_collections_of_their_own() -> None:
    engine = make(FakeEmbedder("a-b"), FakeEmbedder("a.b"), FakeEmbedder("a_b"))
    engine.add(picture("cat"), id="cat")
    for model in engine.models:
        assert engine.search(picture("cat"), model=model).ids == ["cat"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": float("nan")},
        {"a": "\udc80"},
        {"a": {1, 2}},
        {1: "a"},
        {"a": {True: 1}},
        ["a"],
        {"a": object()},
    ],
)
def test_metadata_that_json_cannot_say_are_refused(metadata: object) -> None:
    engine = make()
    with pytest.raises(InvalidArgumentError, match="metadata"):
        engine.add(picture("cat"), metadata=metadata)  # type: ignore[arg-type]
    assert engine.count() == 0


def test_metadata_are_copied() -> None:
    engine = make()
    metadata = {"tags": ["a"]}
    engine.add(picture("cat"), id="cat", metadata=metadata)
    metadata["tags"].append("b")
    assert engine.search(picture("cat"))[0].metadata == {"tags": ["a"]}


def test_what_cannot_be_asked_for_is_refused(engine: SearchEngine) -> None:
    with pytest.raises(InvalidArgumentError, match="limit 0"):
        engine.search(picture("cat"), limit=0)
    with pytest.raises(UnknownModelError, match=r"'other'.*fake"):
        engine.search(picture("cat"), model="other")
    with pytest.raises(InvalidArgumentError, match="search_many"):
        engine.search_many("query.jpg")
    with pytest.raises(InvalidArgumentError, match="limit"):
        engine.search_many([], limit=-1)
    with pytest.raises(InvalidArgumentError, match="id is empty"):
        engine.add(picture("cat"), id="")


def test_engines_that_cannot_be_are_refused() -> None:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    with pytest.raises(InvalidArgumentError, match="at least one"):
        SearchEngine([], *stores)
    with pytest.raises(InvalidArgumentError, match="same name"):
        SearchEngine([FakeEmbedder(), FakeEmbedder()], *stores)
    for namespace in ("", "a__b", "1a", "a-b", "a_", "a" * 65, "é"):
        with pytest.raises(InvalidArgumentError, match="namespace"):
            SearchEngine(FakeEmbedder(), *stores, namespace=namespace)
    for setting in ("workers", "batch_size"):
        with pytest.raises(InvalidArgumentError, match=f"{setting} 0"):
            SearchEngine(FakeEmbedder(), *stores, **{setting: 0})  # type: ignore[arg-type]


def test_a_closed_engine_says_so_and_leaves_the_stores_open() -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = SearchEngine(FakeEmbedder(), vectors, metadata)
    engine.add(picture("cat"), id="cat")
    engine.close()
    engine.close()
    for use in (
        lambda: engine.search(picture("cat")),
        lambda: engine.search_many([]),
        lambda: engine.add(picture("cat")),
        lambda: engine.remove("cat"),
        lambda: engine.get("cat"),
        lambda: engine.index("."),
        engine.count,
    ):
        with pytest.raises(ClosedError):
            use()
    assert SearchEngine(FakeEmbedder(), vectors, metadata).count() == 1


def test_threads_may_do_what_they_like_at_once() -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = SearchEngine([FakeEmbedder("one"), FakeEmbedder("two")], vectors, metadata)
    names = [f"picture {number}" for number in range(6)]
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            for _ in range(40):
                name = names[random.integers(len(names))]
                match random.integers(4):
                    case 0:
                        engine.remove(name)
                    case 1:
                        for hit in engine.search(picture(name), limit=10):
                            assert hit.metadata["name"] == hit.id
                    case _:
                        engine.add(picture(name), id=name, metadata={"name": name})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert_consistent(vectors, metadata)
    for name in names:
        engine.add(picture(name), id=name, metadata={"name": name})
        assert engine.search(picture(name), limit=1).ids == [name]


def test_reprs_tell_what_a_person_wants_to_know(engine: SearchEngine) -> None:
    assert repr(engine) == "<SearchEngine fake>"
    text = repr(engine.search(picture("query"), limit=2))
    assert "2 hits" in text
    assert "cat" in text
