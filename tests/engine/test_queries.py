"""What a search can start from, and which of the ranked pictures it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    CollectionSpec,
    Embedder,
    F,
    Filter,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metric,
    Query,
    QueryInput,
    SearchEngine,
    Tensor,
    UnknownModelError,
    Vectors,
)
from onnxsearch.testing import FakeEmbedder, picture
from onnxsearch.vectors.base import Match


class Colours(Embedder):
    """Red, green and blue: easy to reason about. It reads names of colours, too."""

    def __init__(self, name: str = "colours") -> None:
        self._name = name

    name = property(lambda self: self._name)  # type: ignore[assignment]
    dimension = 3  # type: ignore[assignment]
    fingerprint = "colours"  # type: ignore[assignment]

    def prepare(self, image: ImageInput) -> Tensor:
        assert isinstance(image, Image.Image)
        return np.asarray(image.convert("RGB"), np.float32).mean((0, 1))

    def run(self, batch: Tensor) -> Tensor:
        return batch

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        names = [texts] if isinstance(texts, str) else list(texts)
        rows = [[name == colour for colour in ("red", "green", "blue")] for name in names]
        return np.array(rows, np.float32)


class Bits(Embedder):
    """Which of the first eight pixels are bright."""

    name, dimension, fingerprint = "bits", 8, "bits"  # type: ignore[assignment]
    metric = Metric.HAMMING

    def prepare(self, image: ImageInput) -> Tensor:
        assert isinstance(image, Image.Image)
        return np.asarray(image.convert("L"), np.uint8)[0, :8]

    def run(self, batch: Tensor) -> Tensor:
        return np.packbits(batch > 127, axis=1)


def colour(red: int, green: int, blue: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (red, green, blue))


ALBUM = {
    "red": (250, 0, 0),
    "crimson": (250, 10, 40),
    "orange": (250, 120, 0),
    "green": (0, 250, 0),
    "lime": (60, 250, 0),
    "blue": (0, 0, 250),
    "violet": (150, 0, 250),
}


def make(*embedders: Embedder) -> SearchEngine:
    return SearchEngine(embedders, InMemoryVectorStore(), InMemoryMetadataStore())


@pytest.fixture
def engine() -> Iterator[SearchEngine]:
    with make(Colours(), FakeEmbedder()) as engine:
        for name, (red, green, blue) in ALBUM.items():
            family = {"crimson": "red", "lime": "green"}.get(name, name)
            engine.add(colour(red, green, blue), id=name, metadata={"family": family})
        yield engine


def test_by_id_without_running_a_model(engine: SearchEngine) -> None:
    fake = engine._embedders["fake"]
    assert isinstance(fake, FakeEmbedder)
    runs = fake.calls.batches
    hits = engine.search(Query.id("red"), model="fake", limit=1)
    assert [(hit.id, hit.distance) for hit in hits] == [("red", pytest.approx(0, abs=1e-6))]
    assert fake.calls.batches == runs
    assert engine.search(Query.id("red"), limit=2).ids == ["red", "crimson"]


def test_by_vector(engine: SearchEngine) -> None:
    assert engine.search(Query.vector([0.0, 0.0, 1.0]), limit=2).ids == ["blue", "violet"]


def test_by_text(engine: SearchEngine) -> None:
    assert engine.search(text="green", model="colours", limit=1).ids == ["green"]
    assert engine.search(Query.text("blue"), limit=1).ids == ["blue"]


def test_by_examples(engine: SearchEngine) -> None:
    warm = Query.examples(like=[Query.id("red"), colour(*ALBUM["green"])])
    assert engine.search(warm, limit=1).ids == ["orange"]
    # Away from blue, orange overtakes violet.
    near = engine.search(Query.examples([Query.id("red"), Query.id("violet")]), limit=7)
    away = engine.search(
        Query.examples([Query.id("red"), Query.id("violet")], unlike=[Query.id("blue")]), limit=7
    )
    assert near.ids.index("violet") < near.ids.index("orange")
    assert away.ids.index("violet") > away.ids.index("orange")
    assert engine.search(Query.examples(like=[Query.id("red")]), limit=1)[0].distance == (
        pytest.approx(0, abs=1e-6)
    )


def test_examples_of_bits_vote() -> None:
    engine = make(Bits())
    for id, bits in {"1100": "11000000", "1111": "11110000", "0011": "00110000"}.items():
        pixels = np.zeros((1, 8, 3), np.uint8)
        pixels[0, [bit == "1" for bit in bits]] = 255
        engine.add(pixels, id=id)
    votes = Query.examples([Query.id("1100"), Query.id("1111")], unlike=[Query.id("0011")])
    assert engine.search(votes, limit=1)[0].id == "1100"
    # Of 8 bits, none, 2 and 4 differ.
    alike = {hit.id: hit.similarity for hit in engine.search(Query.id("1100"))}
    assert alike == {"1100": 1.0, "1111": 0.5, "0011": 0.0}
    with pytest.raises(InvalidArgumentError, match="uint8"):
        engine.search(Query.vector([1.0]))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (lambda engine: engine.search(), "no query"),
        (lambda engine: engine.search("x.jpg", text="red"), "two queries"),
        (lambda engine: engine.search(["a.jpg", "b.jpg"]), r"query \['a.jpg'.*search_many"),
        (lambda engine: engine.search(text=["a", "b"]), "expected one text"),
        (lambda engine: Query.examples([], unlike=["x.jpg"]), "at least one positive example"),
        (lambda engine: engine.search(Query.id("nobody")), "no image of id 'nobody'"),
        (lambda engine: engine.search(text="red", model="fake"), "text tower"),
        (lambda engine: engine.search(Query.vector([1.0, 2.0])), r"takes \(3,\)"),
        (lambda engine: engine.search(Query.vector([1, 2, 3])), "floating-point"),
        (lambda engine: engine.search(Query.vector([1.0, 0.0, np.nan])), "NaN"),
        (
            lambda engine: engine.search(Query.vector([1.0] * 3), models=["colours", "fake"]),
            "belongs to one model",
        ),
        (
            lambda engine: engine.search(
                Query.examples([Query.vector([1.0, 0, 0]), Query.vector([-1.0, 0, 0])])
            ),
            "cancel each other",
        ),
        (lambda engine: engine.search(Query.id("red"), models=["fake", "fake"]), "different names"),
        (lambda engine: engine.search(Query.id("red"), models="fake"), "expected a list"),
        (lambda engine: engine.search(Query.id("red"), models=[]), "expected a list"),
        (lambda engine: engine.search(Query.id("red"), models=["fake"], model="fake"), "go with"),
        (lambda engine: engine.search(Query.id("red"), models=["fake"], diversity=1), "go with"),
        (lambda engine: engine.search(Query.id("red"), models=["fake"], fusion="best"), "'best'"),
        (lambda engine: engine.search(Query.id("red"), limit=0), "limit 0"),
        (lambda engine: engine.search(Query.id("red"), offset=-1), "offset -1"),
        (lambda engine: engine.search(Query.id("red"), max_distance=float("nan")), "nan"),
        (lambda engine: engine.search(Query.id("red"), diversity=2), "0 to 1"),
    ],
)
def test_what_is_no_query_says_what_would_be(
    engine: SearchEngine, search: Callable[[SearchEngine], object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        search(engine)


def test_unknown_models_are_named(engine: SearchEngine) -> None:
    with pytest.raises(UnknownModelError, match=r"'vgg16'.*colours, fake"):
        engine.search(Query.id("red"), models=["colours", "vgg16"])


def test_a_picture_from_before_a_model_came_is_told() -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    SearchEngine([Colours()], vectors, metadata).add(colour(1, 2, 3), id="old")
    engine = SearchEngine([Colours(), FakeEmbedder()], vectors, metadata)
    with pytest.raises(InvalidArgumentError, match=r"backfill\('fake'\)"):
        engine.search(Query.id("old"), model="fake")


def test_pages_follow_on_each_other(engine: SearchEngine) -> None:
    whole = engine.search(Query.id("red"), limit=100)
    assert len(whole) == len(ALBUM)
    pages = [engine.search(Query.id("red"), limit=3, offset=offset) for offset in range(0, 12, 3)]
    assert [hit for page in pages for hit in page] == list(whole)
    assert [len(page) for page in pages] == [3, 3, 1, 0]


def test_max_distance_leaves_what_is_near(engine: SearchEngine) -> None:
    whole = engine.search(Query.id("red"), limit=100)
    border = whole[2].distance
    assert engine.search(Query.id("red"), limit=100, max_distance=border).ids == whole.ids[:3]
    assert engine.search(Query.id("red"), limit=2, max_distance=border).ids == whole.ids[:2]
    assert engine.search(Query.vector([0.0, 0.0, -1.0]), max_distance=0.1).ids == []


def test_group_by_gives_the_nearest_of_each_group(engine: SearchEngine) -> None:
    engine.add(colour(255, 0, 0), id="no family")
    engine.add(colour(255, 1, 0), id="no family either")
    found = engine.search(Query.id("red"), group_by="family", limit=4)
    assert "crimson" not in found.ids
    assert {"no family", "no family either", "red", "orange"} == set(found.ids)


def test_group_by_looks_as_deep_as_it_must(engine: SearchEngine) -> None:
    for shade in range(60):
        engine.add(colour(250, 0, shade // 20), id=f"{shade}", metadata={"family": "red"})
    found = engine.search(Query.id("red"), group_by="family", limit=3)
    assert [hit.metadata["family"] for hit in found] == ["red", "orange", "violet"]
    only = engine.search(
        Query.id("red"), group_by="family", limit=3, filter=F("family").in_(["red", "blue"])
    )
    assert [hit.metadata["family"] for hit in only] == ["red", "blue"]


def test_group_by_takes_values_for_equal_as_filters_do() -> None:
    engine = SearchEngine(Colours(), InMemoryVectorStore(), InMemoryMetadataStore())
    for number, value in enumerate([1, 1.0, True, "1", 0.0, -0.0, None, None]):
        engine.add(colour(250, 10 * number, 0), id=f"{number}", metadata={"n": value})
    assert engine.search(Query.id("0"), group_by="n").ids == ["0", "2", "3", "4", "6", "7"]


class Shallow(InMemoryVectorStore):
    """Gives a few rows a search, as Milvus gives 16,384."""

    max_rows = 20

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        assert limit <= self.max_rows
        return super()._search(spec, queries, limit, filter)


def test_a_search_looks_no_deeper_than_the_store_can() -> None:
    engine = SearchEngine(Colours(), Shallow(), InMemoryMetadataStore())
    for shade in range(20):
        engine.add(colour(200, shade, 0), id=f"{shade:02}", metadata={"family": shade // 8})
    red = Query.id("00")
    assert len(engine.search(red, limit=50)) == 20
    assert engine.search(red, group_by="family").ids == ["00", "08", "16"]
    engine.add(colour(0, 0, 250), id="blue")
    assert 0 < len(engine.search(red, limit=50, max_distance=0.05)) < 20
    assert engine.search(red, limit=3, group_by="family").ids == ["00", "08", "16"]
    for wanted in ({"limit": 50}, {"offset": 18}, {"limit": 4, "group_by": "family"}):
        with pytest.raises(InvalidArgumentError, match="at most 20 rows"):
            engine.search(red, **wanted)  # type: ignore[arg-type]


def test_a_picture_that_is_replaced_meanwhile_comes_once() -> None:
    """The search asks twice, since a row has no record; in between there is a new version."""

    class Interrupted(InMemoryMetadataStore):
        then: Callable[[], object] | None = None

        def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
            answer = super()._get_many(table, keys)
            then, self.then = self.then, None
            if then is not None:
                then()
            return answer

    class Untidy(InMemoryVectorStore):
        def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
            """The old row stays for a while."""

    vectors, metadata = Untidy(), Interrupted()
    engine = SearchEngine(FakeEmbedder(), vectors, metadata)
    engine.add(picture("a"), id="x", metadata={"version": 1})
    (collection,) = vectors.collections()
    vectors.upsert(collection, ["0" * 32], np.ones((1, 16), np.float32))

    def replace() -> None:
        engine.add(picture("b"), id="x", metadata={"version": 2})

    metadata.then = replace
    found = engine.search(picture("a"))
    assert [(hit.id, hit.metadata) for hit in found] == [("x", {"version": 2})]


def test_diversity_passes_over_what_is_alike(engine: SearchEngine) -> None:
    plain = engine.search(Query.id("red"), limit=3)
    assert plain.ids == ["red", "crimson", "orange"]
    mixed = engine.search(Query.id("red"), limit=3, diversity=0.7)
    assert mixed.ids[0] == "red"
    assert "crimson" not in mixed.ids
    assert engine.search(Query.id("red"), limit=3, diversity=1e-9).ids == plain.ids
    assert len(engine.search(Query.id("red"), limit=100, diversity=0.5)) == len(ALBUM)


@pytest.mark.parametrize("query", [Query.id("red"), colour(250, 0, 0)])
def test_a_picture_is_prepared_once_for_several_models(
    engine: SearchEngine, query: QueryInput
) -> None:
    found = engine.search(query, models=["colours", "fake"], limit=3)
    assert found[0].id == "red"
    assert found[0].score == pytest.approx(1)
    assert found[0].distance == pytest.approx(0)
    assert {hit.model for hit in found} == {found.model} == {"colours+fake"}
    assert found.metric is None
    assert "fused" in repr(found)


def test_picture_of_a_name_is_a_query(engine: SearchEngine) -> None:
    engine.add(picture("cat"), id="cat")
    assert engine.search(picture("cat"), model="fake", limit=1).ids == ["cat"]


@pytest.fixture(scope="module")
def album() -> SearchEngine:
    engine = make(FakeEmbedder("one", 12), FakeEmbedder("two", 20))
    for number in range(470):
        engine.add(picture(f"{number}"), id=f"{number}", metadata={"shelf": number % 90})
    return engine


@pytest.mark.integration
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"models": ["one", "two"]},
        {"models": ["one", "two"], "fusion": "scores"},
        {"models": ["one", "two"], "group_by": "shelf"},
        {"models": ["one", "two"], "filter": F("shelf") < 40},
        {"diversity": 0.5},
        {"diversity": 0.9, "group_by": "shelf"},
        {"diversity": 1, "max_distance": 1.4},
    ],
    ids=str,
)
def test_pages_continue_each_other_however_long_they_are(
    album: SearchEngine, options: dict[str, Any]
) -> None:
    query = picture("query")
    whole = album.search(query, limit=1000, **options)
    assert len(set(whole.ids)) == len(whole)
    assert len(whole) > 80
    for length in (7, 60):
        offsets = range(0, len(whole), length)
        pages = [album.search(query, limit=length, offset=at, **options) for at in offsets]
        assert [hit for page in pages for hit in page] == list(whole)
    if "diversity" not in options:
        assert [hit.distance for hit in whole] == sorted(hit.distance for hit in whole)


def test_a_fused_search_through_a_store_that_gives_few_rows() -> None:
    engine = SearchEngine([Colours(), FakeEmbedder()], Shallow(), InMemoryMetadataStore())
    for shade in range(30):
        engine.add(colour(200, shade, 0), id=f"{shade:02}")
    found = engine.search(Query.id("00"), models=["colours", "fake"], limit=15)
    assert engine.search(Query.id("00"), models=["colours", "fake"], limit=5).ids == found.ids[:5]
    with pytest.raises(InvalidArgumentError, match="at most 20 rows"):
        engine.search(Query.id("00"), models=["colours", "fake"], limit=50)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64])
def test_numbers_of_numpy_do_not_overflow(album: SearchEngine, kind: type[np.integer]) -> None:
    query: dict[str, Any] = {"limit": kind(100), "offset": kind(100)}
    for options in ({"diversity": 0.5}, {"group_by": "nothing"}, {"models": ["one", "two"]}):
        expected = album.search(picture("q"), limit=100, offset=100, **options)  # type: ignore[arg-type]
        assert album.search(picture("q"), **query, **options) == expected
        assert len(expected) == 100
