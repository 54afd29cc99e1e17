"""Searches by keywords: alone, beside an image, and whatever the words are."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from onnxsearch import (
    AsyncSearchEngine,
    Defect,
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Keywords,
    MetadataStore,
    Query,
    RankFusion,
    ScoreFusion,
    SearchEngine,
    SQLiteMetadataStore,
    StoreError,
    VectorStore,
)
from onnxsearch.metadata.base import Cell
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.killed import last_number

IMAGES = {
    "apple": {"caption": "A red apple on a table", "tags": ["fruit", "red"], "year": 2019},
    "pear": {"caption": "A green pear", "tags": ["fruit", "green"], "year": 2019},
    "rose": {"caption": "A red rose", "tags": ["flower"], "year": 2020, "lens": "Apple"},
    "car": {"caption": "An old car", "tags": ["vehicle"], "year": 2020},
    "tree": {"caption": "An old tree", "tags": ["plant"], "year": 2021},
    "lake": {"caption": "A lake at noon", "year": 2021},
}
HOSTILE = [
    'red" OR "x', "red AND NOT apple", "red*", "NEAR(red apple)", "words:red", "^red", "{a b}: red",
    "'; DROP TABLE cell; --", "red\0apple", "-red", "+red", "(red", '"', "red\ud800", "🍎 red 🍎",
    "a" * 9000 + " red", " ".join(f"red{n}" for n in range(80)),
]  # fmt: skip


@pytest.fixture(params=["memory", "sqlite"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    made = (
        InMemoryMetadataStore()
        if request.param == "memory"
        else SQLiteMetadataStore(tmp_path / "records.sqlite")
    )
    with made:
        yield made


@pytest.fixture
def engine(records: MetadataStore) -> SearchEngine:
    """An engine with six images, whose pictures are ranked for `query`."""
    fake = FakeEmbedder(rankings={"query": ["car", "rose", "pear", "apple", "tree", "lake"]})
    engine = SearchEngine(fake, InMemoryVectorStore(), records)
    for name, metadata in IMAGES.items():
        engine.add(picture(name), id=name, metadata=metadata)
    return engine


def test_ranks_by_words_alone(engine: SearchEngine) -> None:
    results = engine.search(keywords="red apple")
    assert results.ids == ["apple", "rose"]
    assert (results.model, results.metric) == ("keywords", None)
    assert "BM25" in repr(results)
    best, second = results
    assert best.score > second.score > 0
    assert best.distance == pytest.approx(1 - best.score)
    assert best.metadata["caption"] == "A red apple on a table"
    assert engine.search(keywords="zebra").ids == []


def test_words_of_tags_captions_and_names(engine: SearchEngine) -> None:
    assert set(engine.search(keywords="fruit").ids) == {"apple", "pear"}
    assert engine.search(keywords="Keywords").ids == []
    assert engine.search(keywords=Keywords("apple", fields=["tags"])).ids == ["apple"]
    assert engine.search(keywords=Keywords("apple", fields=["lens"], file_names=False)).ids == [
        "rose"
    ]
    assert engine.search(keywords=Keywords("old", fields=["tags"], file_names=False)).ids == []
    assert engine.search(keywords=Keywords("2019", fields=["year"])).ids == []


def test_fuses_words_with_an_image(engine: SearchEngine) -> None:
    query = picture("query")
    results = engine.search(query, keywords="red apple")
    assert results.model == "fake+keywords"
    # By the image: car, rose, pear, apple. By the words: apple, rose.
    assert results.ids[:2] == ["rose", "apple"]
    assert set(results.ids) == set(IMAGES)
    by_words = RankFusion(weights={"keywords": 100})
    assert engine.search(query, keywords="red apple", fusion=by_words).ids[:2] == ["apple", "rose"]
    by_image = ScoreFusion(weights={"keywords": 0})
    assert engine.search(query, keywords="red apple", fusion=by_image).ids[:3] == [
        "car", "rose", "pear",
    ]  # fmt: skip
    assert set(engine.search(Query.id("car"), keywords="apple", limit=2).ids) <= {
        "car",
        "apple",
        "rose",
    }


def test_fuses_words_with_several_models(records: MetadataStore) -> None:
    rankings = {"query": ["car", "rose", "apple"]}
    engine = SearchEngine(
        [FakeEmbedder("one", rankings=rankings), FakeEmbedder("two", rankings=rankings)],
        InMemoryVectorStore(),
        records,
    )
    for name, metadata in IMAGES.items():
        engine.add(picture(name), id=name, metadata=metadata)
    query = picture("query")
    assert engine.search(query, models=["two", "one"], keywords="red").model == "two+one+keywords"
    assert engine.search(query, model="two", keywords="red").model == "two+keywords"
    with pytest.raises(InvalidArgumentError, match=r"among the models searched: one, keywords"):
        engine.search(query, keywords="red", fusion=RankFusion(weights={"two": 1}))


def test_selects_as_any_search(engine: SearchEngine) -> None:
    def ids(keywords: str, **selection: object) -> list[str]:
        return engine.search(keywords=keywords, **selection).ids  # type: ignore[arg-type]

    everything = ids("a an", limit=10)
    assert set(everything) == set(IMAGES)
    assert ids("a an", limit=2) == everything[:2]
    assert ids("a an", limit=2, offset=2) == everything[2:4]
    assert ids("a an", exclude=everything[:3]) == everything[3:]
    by_year = F("year") == 2020
    assert ids("a an", filter=by_year) == [id for id in everything if IMAGES[id]["year"] == 2020]
    assert ids("a an", filter=by_year, limit=1) == ids("a an", filter=by_year)[:1]
    assert len(ids("a an", group_by="year")) == 3
    least = engine.search(keywords="red apple")[0].score
    assert ids("red apple", min_score=least) == ["apple"]


def test_finds_what_was_changed_a_moment_ago(engine: SearchEngine) -> None:
    assert engine.search(keywords="zebra").ids == []
    engine.update("lake", metadata={"caption": "Zebras: a zebra at a lake"})
    assert engine.search(keywords="zebra").ids == ["lake"]
    engine.update("tree", metadata={"tags": ["zebra"]})
    assert set(engine.search(keywords="zebra").ids) == {"lake", "tree"}
    engine.remove("lake")
    assert engine.search(keywords="zebra").ids == ["tree"]
    engine.add(picture("tree"), id="tree", metadata={"tags": ["oak"]})
    assert engine.search(keywords="zebra").ids == []
    assert engine.search(keywords="oak").ids == ["tree"]
    assert engine.verify().ok


def test_words_of_file_names(tmp_path: Path, records: MetadataStore) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), records)
    names = ["IMG_red-apple_01", "greenPear2", "Äpfel im Café", "红苹果", "plain"]
    write_pictures(tmp_path / "apples", names)
    engine.index(tmp_path / "apples")

    def stems(keywords: str) -> set[str]:
        return {Path(hit.id).stem for hit in engine.search(keywords=keywords)}

    assert stems("apple") == stems("Red") == stems("01") == {"IMG_red-apple_01"}
    assert stems("pear") == stems("GREENPEAR2") == stems("greenpear2") == {"greenPear2"}
    assert stems("cafe") == stems("apfel") == stems("CAFÉ ÄPFEL") == {"Äpfel im Café"}
    assert stems("苹果") == stems("红") == {"红苹果"}
    assert stems("png") == stems("apples") == set()


def test_ten_thousand_words_of_an_image_are_read(records: MetadataStore) -> None:
    with SearchEngine(FakeEmbedder(), InMemoryVectorStore(), records) as engine:
        # The name is the first word.
        engine.add(picture("a"), id="name", metadata={"text": "so " * 9_998 + "edge beyond"})
        assert engine.search(keywords="edge").ids == ["name"]
        assert engine.search(keywords="beyond").ids == []


def test_words_survive_a_move_of_the_album(tmp_path: Path) -> None:
    write_pictures(tmp_path / "one", ["red-apple", "pear", "plum"])
    with SearchEngine.open(tmp_path / "index", embedders=FakeEmbedder()) as engine:
        engine.index(tmp_path / "one", root=tmp_path / "one")
        assert engine.search(keywords="apple").ids == ["red-apple.png"]
        (tmp_path / "one").rename(tmp_path / "apple")
        engine.index(tmp_path / "apple", root=tmp_path / "apple")
        assert engine.search(keywords="apple").ids == ["red-apple.png"]


def test_every_query_is_a_bag_of_words(engine: SearchEngine) -> None:
    before = engine.search(keywords="red apple")
    for text in HOSTILE:
        if not any(character.isalnum() for character in text):
            with pytest.raises(InvalidArgumentError, match="expected at least one"):
                engine.search(keywords=text)
            continue
        found = engine.search(keywords=text).ids
        assert set(found) <= set(IMAGES)
        is_red = "red" in Keywords(text).words
        assert ("rose" in found) == is_red, text
    assert engine.search(keywords="red apple") == before
    assert engine.verify().ok


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_any_text_is_searched_or_refused(engine: SearchEngine, text: str) -> None:
    try:
        found = engine.search(keywords=text, limit=100).ids
    except InvalidArgumentError as error:
        assert "expected at least one" in str(error)
    else:
        assert set(found) <= set(IMAGES)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=20))
def test_any_image_is_found_by_its_own_words(tags: list[str], name: str) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    engine.add(picture("a"), id=f"x{name}", metadata={"tags": [*tags, "anchor"]})
    for text in (*tags, name, "anchor"):
        try:
            keywords = Keywords(text)
        except InvalidArgumentError:
            continue
        assert len(engine.search(keywords=keywords)) == 1 or text == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keywords": ""}, "expected at least one"),
        ({"keywords": "!? \t🍎"}, "expected at least one"),
        ({"keywords": 3}, "words to search for"),
        ({"keywords": ["red"]}, "words to search for"),
        ({"keywords": "x" * 20_000}, "20,000 characters: expected at most 10,000"),
        ({"keywords": " ".join(f"w{n} " for n in range(300))}, "expected at least one"),
        ({"keywords": "red", "expand": 3}, "AlphaQE"),
        ({"keywords": "red", "model": "fake"}, "model with keywords alone"),
        ({"keywords": "red", "models": ["fake"]}, "models with keywords alone"),
        ({"keywords": "red", "fusion": "rrf"}, "fusion with keywords alone"),
        ({"keywords": "red", "max_distance": 1.0}, "max_distance with keywords alone"),
        ({"keywords": "red", "exclude_query": True}, "exclude_query with keywords alone"),
        ({"keywords": "red", "diversity": 0.5, "model": "fake"}, "model, diversity with"),
        ({"keywords": "red", "query": Query.id("car"), "max_distance": 1.0}, "do not go with"),
        ({"keywords": "red", "query": Query.id("car"), "diversity": 0.1}, "do not go with"),
        ({}, "no query"),
    ],
)
def test_refuses_what_cannot_be(arguments: dict[str, object], message: str) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    with pytest.raises(InvalidArgumentError, match=message):
        engine.search(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {"fields": "caption"},
        {"fields": [1]},
        {"fields": [], "file_names": False},
        {"fields": [f"f{n}" for n in range(101)]},
        {"file_names": 1},
    ],
)
def test_keywords_check_their_fields(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"field|file_names"):
        Keywords("red", **arguments)  # type: ignore[arg-type]


def test_refuses_a_model_of_the_same_name() -> None:
    engine = SearchEngine(FakeEmbedder("keywords"), InMemoryVectorStore(), InMemoryMetadataStore())
    engine.add(picture("a"), id="a")
    with pytest.raises(InvalidArgumentError, match="a model is named 'keywords'"):
        engine.search(picture("a"), keywords="a")
    assert engine.search(keywords="a").ids == ["a"]


def test_the_asynchronous_engine_searches_alike(engine: SearchEngine) -> None:
    async def both() -> Sequence[list[str]]:
        asynchronous = AsyncSearchEngine(engine)
        found = await asyncio.gather(
            asynchronous.search(keywords="red apple"),
            asynchronous.search(picture("query"), keywords="red apple"),
            asynchronous.search(picture("query")),
        )
        return [results.ids for results in found]

    assert asyncio.run(both()) == [
        engine.search(keywords="red apple").ids,
        engine.search(picture("query"), keywords="red apple").ids,
        engine.search(picture("query")).ids,
    ]


def test_expired_images_are_not_found() -> None:
    now = [0.0]
    engine = SearchEngine(
        FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore(), clock=lambda: now[0]
    )
    engine.add(picture("a"), id="red-1", ttl=10)
    engine.add(picture("b"), id="red-2")
    assert len(engine.search(keywords="red")) == 2
    now[0] = 20.0
    assert engine.search(keywords="red").ids == ["red-2"]


def test_verify_finds_stale_words(tmp_path: Path) -> None:
    with SQLiteMetadataStore(tmp_path / "records.sqlite") as records:
        engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), records)
        for name in ("red", "blue"):
            engine.add(picture(name), id=name)
        assert engine.search(keywords="red").ids == ["red"]
        with records._database.write() as connection:
            connection.execute("DELETE FROM word_keys_1")
        assert engine.search(keywords="red").ids == []
        report = engine.verify()
        assert not report.ok
        assert report.counts[Defect.STALE_WORDS] == 2
        assert engine.verify(repair=True).ok
        assert engine.search(keywords="red").ids == ["red"]
        assert engine.verify().ok


def test_all_stores_rank_alike(stores: tuple[VectorStore, MetadataStore]) -> None:
    vectors, records = stores
    engine = SearchEngine(FakeEmbedder(), vectors, records)
    for name, metadata in IMAGES.items():
        engine.add(picture(name), id=name, metadata=metadata)
    assert engine.search(keywords="red apple").ids == ["apple", "rose"]
    # By the package rank-bm25, with the weights of FTS5.
    score = engine.search(keywords="red apple")[0].score
    assert score == pytest.approx(1.4171294934626433, rel=1e-9)
    engine.update("lake", metadata={"caption": "A zebra at a lake"})
    engine.remove("rose")
    assert engine.search(keywords="zebra").ids == ["lake"]
    assert engine.search(keywords="red").ids == ["apple"]
    assert engine.search(picture("pear"), keywords="zebra", limit=6).ids
    assert engine.verify().ok


WRITER = """
import sys
from onnxsearch import SearchEngine
from onnxsearch.testing import FakeEmbedder, picture
with SearchEngine.open(sys.argv[1], embedders=FakeEmbedder()) as engine:
    number = int(sys.argv[2])
    while True:
        engine.add(picture("a"), id=f"red-{number}", metadata={"tags": [f"tag{number}"]})
        engine.remove(f"red-{number - 3}")
        print(number, flush=True)
        if number % 4 == 0:
            engine.search(keywords="red")
        number += 1
"""


@pytest.mark.integration
def test_words_outlive_a_killed_engine(tmp_path: Path) -> None:
    index, first = tmp_path / "index", 0
    for round_ in range(4):
        last = last_number(WRITER, str(index), first=first, round_=round_)
        with SearchEngine.open(index, embedders=FakeEmbedder()) as engine:
            stored = {record.id for record in engine.records()}
            assert f"red-{last}" in stored
            assert set(engine.search(keywords="red", limit=10_000).ids) == stored
            assert engine.search(keywords=f"tag{last}").ids[:1] == [f"red-{last}"]
            assert engine.verify().ok
        first = last + 2


@pytest.mark.integration
def test_two_processes_find_each_others_images(tmp_path: Path) -> None:
    other = (
        "import sys\n"
        "from onnxsearch import SearchEngine\n"
        "from onnxsearch.testing import FakeEmbedder, picture\n"
        "with SearchEngine.open(sys.argv[1], embedders=FakeEmbedder()) as engine:\n"
        "    print(engine.search(keywords='red').ids)\n"
        "    engine.add(picture('b'), id='red-2')\n"
        "    engine.remove('red-1')\n"
    )
    with SearchEngine.open(tmp_path / "index", embedders=FakeEmbedder()) as engine:
        engine.add(picture("a"), id="red-1")
        assert engine.search(keywords="red").ids == ["red-1"]
        done = subprocess.run(
            [sys.executable, "-c", other, str(tmp_path / "index")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "['red-1']\n"
        assert engine.search(keywords="red").ids == ["red-2"]
        assert engine.verify().ok


class PlainStore(MetadataStore):
    """A store without optional abilities."""

    def __init__(self) -> None:
        self._store = InMemoryMetadataStore()

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        return self._store.get_many(table, keys)

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        return self._store.commit(writes, expect=expect)

    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        return self._store.items(table)

    def _count(self, table: str) -> int:
        return self._store.count(table)

    def close(self) -> None:
        self._store.close()


def test_a_store_without_the_ability_says_what_keywords_need() -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), PlainStore())
    engine.add(picture("a"), id="a")
    with pytest.raises(StoreError, match=r"cannot search for keywords: keep .* SQLite.* Redis"):
        engine.search(keywords="a")
    assert engine.verify().ok
