"""The contract of a `MetadataStore`, as tests that authors of stores inherit."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from onnxsearch.errors import ClosedError, InvalidArgumentError
from onnxsearch.metadata.base import MAX_BYTES, MAX_CELLS, Cell, MetadataStore

A, B = Cell("pets", "a"), Cell("pets", "b")


class MetadataStoreContract(ABC):
    """Inherit from this class in a test module, define how to make a store, and run pytest.

    The docstring of each test explains its failure.

    Example:
        >>> from onnxsearch.testing import MetadataStoreContract
        >>> class TestMyStore(MetadataStoreContract):
        ...     @pytest.fixture(autouse=True)
        ...     def place(self, tmp_path):
        ...         self.path = tmp_path
        ...     def make_store(self, place="one"):
        ...         return MyStore(self.path / place)
    """

    durable: bool = True
    """Whether committed data exist when the same place is opened again. If not, every
    call of `make_store` returns a new, empty store."""

    @abstractmethod
    def make_store(self, place: str = "one") -> MetadataStore:
        """Open the store at `place`, empty when a test opens it first.

        A durable store that is opened twice shows the same data. A place is whatever
        separates two applications: a file, a prefix, a database.
        """

    @pytest.fixture
    def store(self) -> Iterator[MetadataStore]:
        """Give an empty store, closed after the test."""
        with self.make_store() as store:
            yield store

    @pytest.mark.parametrize(
        "value",
        [b"", b"\0", bytes(range(256)), "ü".encode(), b"\xff" * 1_000_000],
        ids=["empty", "zero", "all-bytes", "utf-8", "megabyte"],
    )
    def test_returns_the_bytes_it_was_given(self, store: MetadataStore, value: bytes) -> None:
        """The store decodes, trims or cuts values, or takes an empty one for none."""
        assert store.commit({A: value}) is True
        assert store.get(*A) == value
        assert list(store.items("pets")) == [("a", value)]

    def test_keeps_any_printable_key(self, store: MetadataStore) -> None:
        """The store escapes keys wrongly, folds their case, or drops their blanks."""
        odd = "it's \"%_*?[a]{b}\\:;/ "
        keys = ["a", "A", " a", "0", odd, "k" * 200, "SELECT", "../x"]
        for table in (odd, "t" * 200):
            store.commit({Cell(table, key): key.encode() for key in keys})
            assert store.get_many(table, keys) == [key.encode() for key in keys]
            assert dict(store.items(table)) == {key: key.encode() for key in keys}

    def test_says_none_for_what_is_absent(self, store: MetadataStore) -> None:
        """The store raises, or invents a value, where there is nothing."""
        assert store.get(*A) is None
        assert store.get_many("pets", ["a", "b"]) == [None, None]
        assert store.get_many("pets", []) == []
        assert list(store.items("pets")) == []
        assert store.count("pets") == 0

    def test_answers_in_the_order_asked(self, store: MetadataStore) -> None:
        """The store sorts its answer, or leaves out duplicates or absent keys."""
        store.commit({A: b"cat", B: b"dog"})
        asked = ["b", "x", "a", "b"]
        assert store.get_many("pets", asked) == [b"dog", None, b"cat", b"dog"]

    def test_answers_for_many_keys(self, store: MetadataStore) -> None:
        """The store reads in parts and joins them wrongly, or hits a limit."""
        rows = {f"{number:032x}": b"%d" % number for number in range(12_000)}
        store.commit({Cell("pets", key): value for key, value in rows.items()})
        keys = [*reversed(rows), "absent"]
        assert store.get_many("pets", keys) == [*reversed(rows.values()), None]
        assert dict(store.items("pets")) == rows
        assert store.count("pets") == len(rows)

    def test_replaces_and_deletes(self, store: MetadataStore) -> None:
        """The store keeps old values, or counts what is deleted."""
        store.commit({A: b"cat", B: b"dog"})
        assert store.commit({A: b"lion", B: None, Cell("pets", "never"): None}) is True
        assert dict(store.items("pets")) == {"a": b"lion"}
        assert store.count("pets") == 1
        store.commit({A: None})
        assert store.count("pets") == 0

    def test_keeps_tables_apart(self, store: MetadataStore) -> None:
        """The store builds a joint key of table and key that is ambiguous."""
        cells = [Cell("a", "b:c"), Cell("a:b", "c"), Cell("A", "b:c"), Cell("a", "bc")]
        store.commit({cell: repr(cell).encode() for cell in cells})
        assert [store.get(*cell) for cell in cells] == [repr(cell).encode() for cell in cells]
        assert [store.count(table) for table in ("a", "a:b", "A")] == [2, 1, 1]

    def test_writes_if_the_expectation_holds(self, store: MetadataStore) -> None:
        """The store does not compare before it writes."""
        assert store.commit({A: b"cat"}, expect={A: None}) is True
        assert store.commit({A: b"lion", B: b"dog"}, expect={A: b"cat", B: None}) is True
        assert store.get_many("pets", ["a", "b"]) == [b"lion", b"dog"]
        assert store.commit({A: None}, expect={A: b"lion"}) is True
        assert store.count("pets") == 1

    @pytest.mark.parametrize("wrong", [None, b"", b"ca", b"cat\0", b"dog"])
    def test_writes_nothing_if_it_fails(self, store: MetadataStore, wrong: bytes | None) -> None:
        """The store writes before it has compared everything, or compares loosely."""
        store.commit({A: b"cat"})
        writes = {A: b"lion", B: b"dog", Cell("others", "x"): b"y"}
        assert store.commit(writes, expect={B: None, A: wrong}) is False
        assert dict(store.items("pets")) == {"a": b"cat"}
        assert store.count("others") == 0

    def test_takes_an_empty_value_for_a_value(self, store: MetadataStore) -> None:
        """The store mixes up an empty value and an absent one when it compares."""
        store.commit({A: b""})
        assert store.commit({A: b"cat"}, expect={A: None}) is False
        assert store.commit({B: b"dog"}, expect={B: b""}) is False
        assert store.commit({A: b"cat"}, expect={A: b""}) is True

    def test_compares_without_writing(self, store: MetadataStore) -> None:
        """The store answers wrongly where there is nothing to write or to expect."""
        assert store.commit({}) is True
        assert store.commit({}, expect={A: None}) is True
        assert store.commit({}, expect={A: b"cat"}) is False

    def test_leaves_its_arguments_alone(self, store: MetadataStore) -> None:
        """The store changes a mapping or list that belongs to the caller."""
        writes: dict[Cell, bytes | None] = {A: b"cat", B: None}
        expect: dict[Cell, bytes | None] = {A: None}
        keys = ["b", "a", "b"]
        store.commit(writes, expect=expect)
        store.get_many("pets", keys)
        assert writes == {A: b"cat", B: None}
        assert expect == {A: None}
        assert keys == ["b", "a", "b"]

    @pytest.mark.parametrize("bad", ["", "k" * 201, "ü", "a\nb", "a\0b"])
    def test_refuses_bad_names(self, store: MetadataStore, bad: str) -> None:
        """The store overrides a public method of the base, which checks names."""
        for cell in (Cell(bad, "a"), Cell("pets", bad)):
            with pytest.raises(InvalidArgumentError, match="printable ASCII"):
                store.commit({A: b"cat", cell: b"dog"})
            with pytest.raises(InvalidArgumentError, match="printable ASCII"):
                store.commit({A: b"cat"}, expect={cell: None})
            with pytest.raises(InvalidArgumentError, match="printable ASCII"):
                store.get_many(cell.table, [cell.key])
        with pytest.raises(InvalidArgumentError, match="printable ASCII"):
            store.items(bad)
        with pytest.raises(InvalidArgumentError, match="printable ASCII"):
            store.count(bad)
        assert store.count("pets") == 0

    def test_refuses_what_is_no_bytes_or_too_much(self, store: MetadataStore) -> None:
        """The store overrides a public method of the base, which checks commits."""
        for value in ("text", bytearray(b"x"), 1):
            with pytest.raises(InvalidArgumentError, match="expected bytes"):
                store.commit({A: b"cat", B: value})  # type: ignore[dict-item]
        with pytest.raises(InvalidArgumentError, match="several commits"):
            store.commit({Cell("pets", str(n)): None for n in range(MAX_CELLS + 1)})
        with pytest.raises(InvalidArgumentError, match="several commits"):
            store.commit({A: bytes(MAX_BYTES + 1)})
        assert store.count("pets") == 0

    def test_takes_the_largest_commit(self, store: MetadataStore) -> None:
        """The store has a limit of its own below `MAX_BYTES`."""
        value = bytes(MAX_BYTES // 8)
        assert store.commit({Cell("pets", str(n)): value for n in range(8)}) is True
        assert store.count("pets") == 8
        assert all(found == value for _, found in store.items("pets"))

    def test_is_written_while_it_is_listed(self, store: MetadataStore) -> None:
        """Listing breaks off, blocks writers, or misses rows that stay."""
        rows = {f"{number:04}": bytes(1000) for number in range(3000)}
        store.commit({Cell("pets", key): value for key, value in rows.items()})
        seen = set[str]()
        for number, (key, _) in enumerate(store.items("pets")):
            seen.add(key)
            if number < 5:
                store.commit({Cell("pets", f"new {number}"): b"x"})
        assert seen >= rows.keys()

    def test_loses_no_increment(self, store: MetadataStore) -> None:
        """Two threads passed one expectation: comparing and writing are two steps."""
        threads, increments = 4, 25
        start = Barrier(threads)

        def count_up() -> None:
            start.wait()
            for _ in range(increments):
                written = False
                while not written:
                    before = store.get(*A)
                    time.sleep(0)  # lets the other threads in between
                    written = store.commit({A: b"%d" % (int(before or 0) + 1)}, expect={A: before})

        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(count_up) for _ in range(threads)]:
                future.result()
        assert store.get(*A) == b"%d" % (threads * increments)

    def test_shows_whole_commits_only(self, store: MetadataStore) -> None:
        """A reader saw half a commit: it is written, or read, in several steps."""
        store.commit({A: b"0", B: b"0"})
        done = Event()

        def read() -> int:
            reads = 0
            while reads == 0 or not done.is_set():
                first, second = store.get_many("pets", ["a", "b"])
                assert first == second
                reads += 1
            return reads

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for number in range(100):
                    store.commit({A: b"%d" % number, B: b"%d" % number})
            finally:
                done.set()
            assert all(reader.result() > 0 for reader in readers)

    def test_keeps_places_apart(self, store: MetadataStore) -> None:
        """Two files, prefixes or databases share data."""
        with self.make_store("another") as other:
            store.commit({A: b"cat"})
            other.commit({B: b"dog"})
            assert dict(store.items("pets")) == {"a": b"cat"}
            assert dict(other.items("pets")) == {"b": b"dog"}

    def test_keeps_its_data(self) -> None:
        """The store forgets when it is closed, or has not written when it should."""
        with self.make_store() as store:
            store.commit({A: b"cat", B: b"dog"})
            store.commit({B: None})
            if self.durable:
                with self.make_store() as second:
                    assert dict(second.items("pets")) == {"a": b"cat"}
        with self.make_store() as again:
            assert dict(again.items("pets")) == ({"a": b"cat"} if self.durable else {})

    def test_refuses_calls_when_closed(self) -> None:
        """The store opens itself again, or raises an error that is not of our tree."""
        store = self.make_store()
        store.close()
        store.close()
        for call in (
            lambda: store.get(*A),
            lambda: store.commit({A: b"cat"}),
            lambda: list(store.items("pets")),
            lambda: store.count("pets"),
        ):
            with pytest.raises(ClosedError):
                call()

    def test_has_a_name_for_messages(self, store: MetadataStore) -> None:
        """The store has no repr of its own, which error messages show."""
        assert " object at 0x" not in repr(store)
