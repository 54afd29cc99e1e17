"""Values ranked by their words: as an independent BM25 ranks them, and never out of date."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from rank_bm25 import BM25Okapi

from onnxsearch import (
    InMemoryMetadataStore,
    KeywordSearch,
    MetadataStore,
    RedisMetadataStore,
    SQLiteMetadataStore,
    StoreError,
    WordReader,
)
from onnxsearch.metadata.base import Cell
from tests.killed import last_number

TABLE = 'it\'s; {odd}: --"records" %s'
READER = WordReader("blanks", lambda value: value.decode().split())

VOCABULARY = ["red", "green", "apple", "pear", "and", "or", "not", "near", "café", "苹果", "x1"]
TEXTS = st.lists(
    st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=12), min_size=1, max_size=30
)
QUERIES = st.lists(
    st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4), min_size=1, max_size=8
)


@pytest.fixture(params=["memory", "sqlite"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[InMemoryMetadataStore | SQLiteMetadataStore]:
    made = (
        InMemoryMetadataStore()
        if request.param == "memory"
        else SQLiteMetadataStore(tmp_path / "records.sqlite")
    )
    with made:
        yield made


def put(store: MetadataStore, **texts: str | None) -> None:
    """Commit a text under each key; None deletes the key."""
    store.commit(
        {Cell(TABLE, key): None if text is None else text.encode() for key, text in texts.items()}
    )


def found(store: KeywordSearch, *words: str, limit: int = 100) -> list[str]:
    return [key for key, _ in store.rank_by_words(TABLE, READER, words, limit)]


def reference(texts: Sequence[Sequence[str]], words: Sequence[str]) -> list[float]:
    """Return the score of each text by another package, with the least weight of FTS5."""
    bm25 = BM25Okapi(texts, k1=1.2, b=0.75)
    for word in set(words) & bm25.idf.keys():
        holding = sum(word in text for text in texts)
        weight = math.log(len(texts) - holding + 0.5) - math.log(holding + 0.5)
        bm25.idf[word] = weight if weight > 0 else 1e-6
    return [float(score) for score in bm25.get_scores(sorted(set(words)))]


def check_ranking(
    store: InMemoryMetadataStore | SQLiteMetadataStore | RedisMetadataStore,
    texts: list[list[str]],
    queries: list[list[str]],
) -> None:
    """Compare the rankings of a store that holds these texts with those of another package."""
    store.commit({Cell(TABLE, key): None for key, _ in store.items(TABLE)})
    put(store, **{f"{number:03}": " ".join(text) for number, text in enumerate(texts)})
    for words in queries:
        ranked = store.rank_by_words(TABLE, READER, words, 100)
        scores = reference(texts, words)
        expected = {f"{number:03}": score for number, score in enumerate(scores) if score > 0}
        # Ties may be in any order, and a sum in another order differs in its last bits.
        assert dict(ranked) == pytest.approx(expected, rel=1e-9)
        order = [(-score, key) for key, score in ranked]
        assert order == sorted(order)


@settings(max_examples=40)
@given(texts=TEXTS, queries=QUERIES)
def test_memory_ranks_as_another_bm25_does(
    texts: list[list[str]], queries: list[list[str]]
) -> None:
    check_ranking(InMemoryMetadataStore(), texts, queries)


@settings(max_examples=12)  # each waits for the disk a few times
@given(texts=TEXTS, queries=QUERIES)
def test_sqlite_ranks_as_another_bm25_does(
    texts: list[list[str]], queries: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with SQLiteMetadataStore(tmp_path_factory.mktemp("words") / "records.sqlite") as store:
        check_ranking(store, texts, queries)


@pytest.mark.slow
@settings(max_examples=500)
@given(texts=TEXTS, queries=QUERIES)
def test_sqlite_ranks_many_corpora_as_another_bm25_does(
    texts: list[list[str]], queries: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with SQLiteMetadataStore(tmp_path_factory.mktemp("words") / "records.sqlite") as store:
        check_ranking(store, texts, queries)


def test_is_an_ability_that_not_every_store_has() -> None:
    assert isinstance(InMemoryMetadataStore(), KeywordSearch)
    assert issubclass(SQLiteMetadataStore, KeywordSearch)
    assert issubclass(RedisMetadataStore, KeywordSearch)
    assert not issubclass(MetadataStore, KeywordSearch)


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master")
            if name.startswith("word")
        }


def test_a_file_has_no_words_before_the_first_search(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="red")
        assert not tables(path)
        assert found(store, "red") == ["a"]
        assert tables(path)


def test_a_file_keeps_the_words_of_few_readers(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="red")
        for number in range(10):
            reader = WordReader(f"reader {number}", READER.read)
            assert len(store.rank_by_words(TABLE, reader, ["red"], 10)) == 1
    assert sum(name.startswith("word_keys") for name in tables(path)) == 4


def test_finds_what_another_program_committed(tmp_path: Path) -> None:
    """Such as a release that knows nothing of words: the file itself notes what changes."""
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="red", b="red", c="blue", d="blue", e="blue")
        assert found(store, "red") == ["a", "b"]
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE cell SET value = ? WHERE key = 'a'", (b"green",))
            other.execute("DELETE FROM cell WHERE key = 'b'")
            other.execute("INSERT INTO cell VALUES (?, 'f', ?)", (TABLE, b"red"))
        assert found(store, "red") == ["f"]
        assert found(store, "green") == ["a"]


def test_survives_a_vacuum(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="x", b="red", c="blue", d="blue", e="blue")
        put(store, a=None)
        assert found(store, "red") == ["b"]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("VACUUM")
    with SQLiteMetadataStore(path) as store:
        put(store, c="red red")
        assert found(store, "red") == ["c", "b"]


def test_two_stores_on_a_file_find_each_others_commits(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as one, SQLiteMetadataStore(path) as other:
        put(one, a="red", x="blue", y="blue")
        assert found(one, "red") == found(other, "red") == ["a"]
        put(other, b="red red", a=None)
        assert found(one, "red") == found(other, "red") == ["b"]


@pytest.mark.parametrize("searched", [False, True])
def test_ranks_in_a_file_that_is_read_only(tmp_path: Path, searched: bool) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="red", b="blue", c="blue")
        if searched:
            assert found(store, "red") == ["a"]
            put(store, d="red red")
        else:
            put(store, d="red red")
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with SQLiteMetadataStore(path) as store:
            assert found(store, "red") == ["d", "a"]
            assert found(store, "blue") == ["b", "c"]
    finally:
        tmp_path.chmod(0o700)


def test_damage_is_found_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="red", b="red", c="blue")
        found(store, "red")
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("DELETE FROM word_keys_1 WHERE key = 'a'")
            other.execute("INSERT INTO word_keys_1 (key) VALUES ('gone')")
            other.execute("DELETE FROM words_1 WHERE rowid = 2")
        assert sorted(store.stale_words(TABLE, repair=False)) == ["a", "b", "gone"]
        assert sorted(store.stale_words(TABLE, repair=True)) == ["a", "b", "gone"]
        assert store.stale_words(TABLE, repair=False) == []
        assert found(store, "red") == ["a", "b"]


def test_says_what_a_build_without_fts5_needs(
    store: InMemoryMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.metadata.sqlite_words._HAS_FTS5", "SELECT 1 WHERE 1 = 0")
    put(store, a="red")
    if isinstance(store, SQLiteMetadataStore):
        with pytest.raises(StoreError, match="without FTS5"):
            found(store, "red")
        assert store.stale_words(TABLE, repair=False) == []
    else:
        assert found(store, "red") == ["a"]


def test_damage_of_the_index_itself_is_found_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="red", b="blue")
        assert found(store, "red") == ["a"]
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE words_1_content SET c0 = 'green' WHERE id = 1")
        assert sorted(store.stale_words(TABLE, repair=True)) == ["a", "b"]
        assert found(store, "red") == ["a"]
        assert store.stale_words(TABLE, repair=False) == []


def test_an_index_that_is_no_longer_searched_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with SQLiteMetadataStore(path) as store:
        put(store, a="red")
        assert found(store, "red") == ["a"]
        put(store, a=None)
        for number in range(20):
            put(store, **{f"k{number}": "red", f"k{number - 1}": None})
            put(store, **{f"k{number}": "red red"})
        with closing(sqlite3.connect(path)) as other:
            changes = other.execute("SELECT key FROM word_changes_1 ORDER BY key").fetchall()
        assert changes == [("a",), ("k19",)]
        assert found(store, "red") == ["k19"]


WRITER = """
import os, sys
from itertools import count
import onnxsearch
from tests.metadata.test_keyword_search import found, put
store = getattr(onnxsearch, sys.argv[1])(sys.argv[2])
for number in count(int(sys.argv[3])):
    # The image before the last one is removed, so that a search that finds it is out of date.
    put(store, **{f"{number:08}": f"red word{number}", f"{number - 2:08}": None})
    os.write(1, b"%d\\n" % number)
    if number % 3 == 0:
        found(store, f"word{number}")
"""


def check_words(store: SQLiteMetadataStore | RedisMetadataStore, acknowledged: int) -> int:
    """Check that what WRITER has written is found; return the last number that is there."""
    assert store.stale_words(TABLE, repair=False) == []
    keys = {key for key, _ in store.items(TABLE)}
    assert f"{acknowledged:08}" in keys or f"{acknowledged + 1:08}" in keys
    assert set(found(store, "red")) == keys
    return max(map(int, keys))


@pytest.mark.integration
def test_words_outlive_a_killed_writer(tmp_path: Path) -> None:
    path, last = tmp_path / "records.sqlite", 1
    for round_ in range(4):
        acknowledged = last_number(
            WRITER, "SQLiteMetadataStore", str(path), first=last + 1, round_=round_
        )
        with SQLiteMetadataStore(path) as store:
            last = check_words(store, acknowledged)
