"""Values in Redis ranked by their words: as in other stores, whoever writes meanwhile."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from onnxsearch import (
    InMemoryMetadataStore,
    KeywordSearch,
    MetadataStore,
    RedisMetadataStore,
    StoreCorruptError,
    StoreError,
    WordReader,
)
from onnxsearch.metadata.base import Cell
from tests.killed import last_number
from tests.metadata.test_keyword_search import (
    QUERIES,
    READER,
    TABLE,
    TEXTS,
    VOCABULARY,
    WRITER,
    check_ranking,
    check_words,
    found,
    put,
)
from tests.servers import RedisServer

HASH = f"{{onnxsearch}}:{TABLE}"
WORDS = f"{HASH}\x1fwords"


def indexes(client: redis.Redis) -> list[str]:
    """Return the names of all indexes."""
    return [f"{WORDS}\x1f{name.decode()}" for name in client.hkeys(WORDS) if name != b"sequence"]


def alike(one: KeywordSearch, other: KeywordSearch, *words: str, limit: int = 50) -> None:
    """Compare two stores."""
    ranked = one.rank_by_words(TABLE, READER, words, limit)
    expected = other.rank_by_words(TABLE, READER, words, limit)
    assert [key for key, _ in ranked] == [key for key, _ in expected]
    assert dict(ranked) == pytest.approx(dict(expected), rel=1e-12)


@settings(max_examples=25)
@given(texts=TEXTS, queries=QUERIES)
def test_ranks_as_another_bm25_does(
    texts: list[list[str]], queries: list[list[str]], server: RedisServer
) -> None:
    with RedisMetadataStore(server.url, prefix="bm25") as store:
        check_ranking(store, texts, queries)


KEYS = st.sampled_from("abcdefgh")
VALUES = st.none() | st.lists(st.sampled_from(VOCABULARY[:5]), max_size=6).map(" ".join)


class Histories(RuleBasedStateMachine):
    """Two programs on one server find what a store in memory finds."""

    server: RedisServer

    @initialize()
    def start(self) -> None:
        self.memory = InMemoryMetadataStore()
        self.stores = [RedisMetadataStore(self.server.url, prefix="history") for _ in range(2)]
        for store in self.stores:
            store.commit({Cell(TABLE, key): None for key, _ in store.items(TABLE)})

    @rule(values=st.dictionaries(KEYS, VALUES, min_size=1), program=st.integers(0, 1))
    def commit(self, values: dict[str, str | None], program: int) -> None:
        for store in (self.stores[program], self.memory):
            put(store, **values)

    @rule(
        words=st.lists(st.sampled_from(VOCABULARY[:5]), min_size=1, max_size=3),
        program=st.integers(0, 1),
        reader=st.integers(0, 5),
        limit=st.sampled_from([1, 3, 50]),
    )
    def rank(self, words: list[str], program: int, reader: int, limit: int) -> None:
        read = WordReader(f"reader {reader}", READER.read)
        ranked, expected = (
            store.rank_by_words(TABLE, read, words, limit)
            for store in (self.stores[program], self.memory)
        )
        assert [key for key, _ in ranked] == [key for key, _ in expected]
        assert dict(ranked) == pytest.approx(dict(expected), rel=1e-12)

    @rule(program=st.integers(0, 1))
    def verify(self, program: int) -> None:
        assert self.stores[program].stale_words(TABLE, repair=False) == []

    def teardown(self) -> None:
        for store in getattr(self, "stores", ()):
            store.close()


def test_two_programs_find_each_others_commits(server: RedisServer) -> None:
    machine = type("Histories", (Histories,), {"server": server})
    run = machine.TestCase
    run.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
    run().runTest()


def test_many_values_have_postings_in_several_parts(store: RedisMetadataStore) -> None:
    memory = InMemoryMetadataStore()
    for each in (store, memory):
        put(each, **{f"{n:05}": f"word{n % 7} word{n % 1000} all" * (n % 3) for n in range(2600)})
    for words in (["word3"], ["word999", "all"], ["all"], ["word1", "word2", "word500"]):
        alike(store, memory, *words)
    for each in (store, memory):
        put(each, **{f"{n:05}": None for n in range(0, 2600, 2)})
        put(each, **{f"{n:05}": "other all" for n in range(1, 2600, 11)})
    for words in (["word3"], ["other", "all"], ["all"], ["word1", "word2", "word500"]):
        alike(store, memory, *words, limit=3000)
    assert store.stale_words(TABLE, repair=False) == []


def test_the_best_of_many_different_scores_come_first(store: RedisMetadataStore) -> None:
    memory = InMemoryMetadataStore()
    for each in (store, memory):
        # 7 has no common factor with 301, so every length occurs, in a shuffled order.
        put(each, **{f"{n:03}": "red " + "blue " * (7 * n % 301) for n in range(301)})
        put(each, **{f"other {n}": "green" for n in range(400)})
    for limit in (1, 10, 200, 301):
        alike(store, memory, "red", limit=limit)


def test_numbers_out_of_use_do_not_pile_up(
    store: RedisMetadataStore, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.metadata.redis.words.postings._SPARE", 10)
    put(store, a="red", b="blue", c="blue")
    for number in range(40):
        put(store, a=f"red red{number}")
        assert found(store, "red") == ["a"]
        (index,) = indexes(client)
        assert int(client.hget(index, "next") or 0) <= 2 * 3 + 10
    assert store.stale_words(TABLE, repair=False) == []


def test_nothing_is_kept_before_the_first_search(
    store: RedisMetadataStore, client: redis.Redis
) -> None:
    put(store, a="red", b="blue")
    assert set(client.keys()) == {HASH.encode()}
    assert found(store, "red") == ["a"]
    assert all(name.startswith(HASH.encode()) for name in list(client.keys()))


def test_the_words_of_few_readers_are_kept(store: RedisMetadataStore, client: redis.Redis) -> None:
    put(store, a="red")
    for number in range(10):
        reader = WordReader(f"reader {number}", READER.read)
        assert len(store.rank_by_words(TABLE, reader, ["red"], 10)) == 1
        put(store, a="red", b=None)
    assert len(indexes(client)) == 4
    # Four indexes, their changes, the names of the indexes, and the values.
    assert len(client.keys()) == 10


def test_an_index_that_is_no_longer_searched_stays_small(
    store: RedisMetadataStore, client: redis.Redis
) -> None:
    put(store, a="red")
    assert found(store, "red") == ["a"]
    put(store, a=None)
    for number in range(20):
        put(store, **{f"k{number}": "red", f"k{number - 1}": None})
        put(store, **{f"k{number}": "red red"})
    (index,) = indexes(client)
    assert client.zrange(f"{index}\x1fchanges", 0, -1) == [b"a", b"k19"]
    assert found(store, "red") == ["k19"]
    assert client.zcard(f"{index}\x1fchanges") == 0


def test_a_failed_expectation_notes_nothing(store: RedisMetadataStore, client: redis.Redis) -> None:
    put(store, a="red")
    assert found(store, "red") == ["a"]
    assert not store.commit({Cell(TABLE, "a"): b"blue"}, expect={Cell(TABLE, "a"): b"green"})
    (index,) = indexes(client)
    assert client.zcard(f"{index}\x1fchanges") == 0
    assert found(store, "red") == ["a"]


@pytest.mark.parametrize("what", ["index", "all"])
def test_an_index_that_was_evicted_is_made_again(
    store: RedisMetadataStore, client: redis.Redis, what: str
) -> None:
    put(store, a="red", b="blue")
    assert found(store, "red") == ["a"]
    client.delete(WORDS if what == "all" else indexes(client)[0])
    put(store, c="red red")
    assert found(store, "red") == ["c", "a"]
    assert store.stale_words(TABLE, repair=False) == []


DAMAGE = {
    "a name is gone": lambda client, index: client.hdel(index, "name 0"),
    "a name is another": lambda client, index: client.hset(index, "name 0", "b"),
    "a name is no text": lambda client, index: client.hset(index, "name 0", b"\xff"),
    "postings are cut": lambda client, index: client.hset(index, "word red 0", b"12345"),
    "postings are gone": lambda client, index: client.hdel(index, "word red 0"),
    "postings of nothing": lambda client, index: client.hset(index, "word red 0", b"\xff" * 12),
    "no totals": lambda client, index: client.hdel(index, "documents"),
    "wrong totals": lambda client, index: client.hset(index, "length", "7"),
    "totals are text": lambda client, index: client.hset(index, "next", "many"),
    "huge totals": lambda client, index: client.hset(index, "next", "9" * 30),
    "a document is gone": lambda client, index: client.hdel(index, "key a"),
    "a document is text": lambda client, index: client.hset(index, "key a", b"\xff\xfe"),
    "unknown document": lambda client, index: client.hset(index, "key gone", "7 1 red"),
    "foreign field": lambda client, index: client.hset(index, "word", "x"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_mended(
    store: RedisMetadataStore, client: redis.Redis, damage: str
) -> None:
    put(store, a="red", b="red blue", c="blue")
    assert found(store, "red") == ["a", "b"]
    DAMAGE[damage](client, indexes(client)[0])
    try:
        assert set(found(store, "red")) <= {"a", "b"}
    except StoreError as error:
        assert "verify(repair=True)" in str(error)
    assert store.stale_words(TABLE, repair=False)
    assert store.stale_words(TABLE, repair=True)
    assert store.stale_words(TABLE, repair=False) == []
    assert found(store, "red") == ["a", "b"]


def test_a_key_of_another_kind_is_reported(store: RedisMetadataStore, client: redis.Redis) -> None:
    put(store, a="red")
    client.set(WORDS, "somebody else's")
    with pytest.raises(StoreCorruptError, match="another prefix"):
        found(store, "red")
    with pytest.raises(StoreCorruptError, match="another prefix"):
        put(store, a="blue")
    assert store.get(TABLE, "a") == b"red"


def test_a_user_without_the_rights_writes_nothing(
    server: RedisServer, store: RedisMetadataStore, client: redis.Redis
) -> None:
    rights = ["hmget", "hlen", "hscan", "evalsha", "script|load", "type", "hget", "hset", "hdel"]
    user = ("ACL", "SETUSER", "bob", "on", ">pw", "~{onnxsearch}:*", *(f"+{r}" for r in rights))
    client.execute_command(*user)
    url = f"redis://bob:pw@127.0.0.1:{server.port}"
    with RedisMetadataStore(url) as bob:
        put(bob, a="red")
        with pytest.raises(StoreError, match="keyword searches also"):
            found(bob, "red")
        assert found(store, "red") == ["a"]
        with pytest.raises(StoreError, match="ZADD"):
            put(bob, a="blue", b="blue")
        assert dict(store.items(TABLE)) == {"a": b"red"}
        more = "hkeys hgetall hexists hincrby zadd zrem zscore zrange exists unlink"
        client.execute_command(*user, *(f"+{right}" for right in more.split()))
        put(bob, a="blue", b="blue")
        assert found(bob, "blue") == ["a", "b"]
        assert bob.stale_words(TABLE, repair=True) == []


@pytest.mark.integration
def test_threads_search_while_others_write(server: RedisServer, client: redis.Redis) -> None:
    del client
    stores = [RedisMetadataStore(server.url) for _ in range(4)]
    put(stores[0], **{f"k{n}": f"red word{n}" for n in range(1000)})
    stop, failures = threading.Event(), list[str]()

    def search(store: MetadataStore) -> None:
        while not stop.is_set():
            # Every commit keeps the number of values.
            if len(found(store, "red", limit=10_000)) != 1000:
                failures.append("a search found another number of values")

    threads = [threading.Thread(target=search, args=(store,)) for store in stores[1:]]
    for thread in threads:
        thread.start()
    for number in range(100):
        put(stores[0], **{f"k{number}": None, f"n{number}": f"red new{number}"})
        if found(stores[0], f"new{number}") != [f"n{number}"]:
            failures.append(f"new{number} was not found")
    stop.set()
    for thread in threads:
        thread.join()
    for store in stores:
        assert store.stale_words(TABLE, repair=False) == []
        store.close()
    assert failures == []


@pytest.mark.integration
@pytest.mark.parametrize("killed", ["writer", "server"])
def test_words_outlive_whoever_is_killed(tmp_path: Path, killed: str) -> None:
    last = 1
    with RedisServer(tmp_path).start(aof="always") as server:

        def kill(writer: subprocess.Popen[bytes]) -> None:
            if killed == "server":
                server.kill9()
                writer.wait()
            else:
                writer.kill()

        for round_ in range(4):
            acknowledged = last_number(
                WRITER, "RedisMetadataStore", server.url, first=last + 1, round_=round_, kill=kill
            )
            if killed == "server":
                server.start(aof="always")
            with RedisMetadataStore(server.url) as store:
                last = check_words(store, acknowledged)
