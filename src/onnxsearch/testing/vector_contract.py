"""What a `VectorStore` must do, as tests that the authors of one inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat

import numpy as np
import pytest

from onnxsearch.errors import (
    ClosedError,
    CollectionNotFoundError,
    InvalidArgumentError,
    SpaceMismatchError,
)
from onnxsearch.filters import F
from onnxsearch.testing.vector_samples import (
    FILTERS,
    PHOTOS,
    ROWS,
    key,
    random_vectors,
    true_distances,
)
from onnxsearch.types import Metadata, Metric
from onnxsearch.vectors.base import CollectionSpec, Match, VectorStore


class VectorStoreContract(ABC):
    """Inherit it in a test module, tell how to make a store, and run pytest.

    Each test's docstring says what its failure means. Tests of a metric that the
    store does not have are skipped.

    Example:
        >>> from onnxsearch.testing import VectorStoreContract
        >>> class TestMyStore(VectorStoreContract):
        ...     @pytest.fixture(autouse=True)
        ...     def place(self, tmp_path):
        ...         self.path = tmp_path
        ...     def make_store(self, place="one"):
        ...         return MyStore(self.path / place)
    """

    durable: bool = True
    """Whether rows are there when the same place is opened again, after the first
    store was closed. If not, every call of `make_store` gives a new, empty store."""

    tolerance: float = 1e-5
    """How far distances may be from the true ones, apart from those near 0 in L2,
    where a store that works in float32 may be off by 1e-3."""

    @abstractmethod
    def make_store(self, place: str = "one") -> VectorStore:
        """Open the store at `place`, empty when a test opens it first.

        Places stand for what keeps two applications apart: files, databases.
        """

    @pytest.fixture
    def store(self) -> Iterator[VectorStore]:
        """Give an empty store, closed after the test."""
        with self.make_store() as store:
            yield store

    @pytest.fixture
    def photos(self, store: VectorStore) -> VectorStore:
        """Give a store with an empty collection, `PHOTOS`."""
        store.ensure_collection(PHOTOS)
        return store

    @pytest.fixture(params=list(Metric))
    def spec(self, store: VectorStore, request: pytest.FixtureRequest) -> CollectionSpec:
        """Give the spec of an empty collection, for each metric of the store."""
        metric = Metric(request.param)
        if metric not in store.metrics:
            pytest.skip(f"{store!r} has no metric {metric.value!r}")
        spec = CollectionSpec(f"by_{metric.value}", 64, "model-1", metric)
        store.ensure_collection(spec)
        return spec

    def test_describes_a_collection_as_it_was_made(
        self, store: VectorStore, spec: CollectionSpec
    ) -> None:
        """The store forgets dimension, metric or fingerprint, so spaces could mix."""
        store.ensure_collection(spec)
        assert store.describe(spec.name) == spec
        assert store.collections() == [spec.name]
        assert store.count(spec.name) == 0

    @pytest.mark.parametrize(
        "other",
        [
            CollectionSpec("photos", 8, "model-2"),
            CollectionSpec("photos", 16, "model-1"),
            CollectionSpec("photos", 8, "model-1", Metric.COSINE),
        ],
        ids=["fingerprint", "dimension", "metric"],
    )
    def test_refuses_another_space(self, photos: VectorStore, other: CollectionSpec) -> None:
        """The store opens a collection for another model, and would compare the incomparable."""
        if other.metric not in photos.metrics:
            pytest.skip(f"{photos!r} has no metric {other.metric.value!r}")
        with pytest.raises(SpaceMismatchError, match="model-1"):
            photos.ensure_collection(other)
        assert photos.describe("photos") == PHOTOS

    def test_refuses_a_metric_it_does_not_have(self, store: VectorStore) -> None:
        """The store takes a metric and measures by another one."""
        for metric in set(Metric) - store.metrics:
            with pytest.raises(InvalidArgumentError, match=metric.value):
                store.ensure_collection(CollectionSpec("photos", 8, "model-1", metric))

    def test_says_that_a_collection_is_not_there(self, store: VectorStore) -> None:
        """The store raises another error, or answers for a collection that is not there."""
        vectors = random_vectors(PHOTOS, 1)
        for call in (
            lambda: store.describe("photos"),
            lambda: store.upsert("photos", [key(1)], vectors),
            lambda: store.search("photos", vectors, 1),
            lambda: store.fetch("photos", [key(1)]),
            lambda: store.delete("photos", [key(1)]),
            lambda: store.count("photos"),
            lambda: list(store.ids("photos")),
        ):
            with pytest.raises(CollectionNotFoundError, match="photos"):
                call()
        assert store.collections() == []
        store.drop("photos")

    def test_drops_a_collection_with_its_rows(self, photos: VectorStore) -> None:
        """Dropped rows come back in a new collection of the same name, or another is hit."""
        other = CollectionSpec("others", 8, "model-1")
        photos.ensure_collection(other)
        vectors = random_vectors(PHOTOS, 2)
        for name in ("photos", "others"):
            photos.upsert(name, [key(1), key(2)], vectors)
            assert len(photos.search(name, vectors[:1], 5)[0]) == 2
        photos.drop("photos")
        photos.drop("photos")
        assert photos.collections() == ["others"]
        assert photos.count("others") == 2
        again = CollectionSpec("photos", 16, "model-2")
        photos.ensure_collection(again)
        assert photos.count("photos") == 0
        assert photos.search("photos", random_vectors(again, 1), 5) == [[]]

    def test_measures_as_textbooks_do(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Distances are squared, negated, or of another metric, or the order is not theirs."""
        vectors, queries = random_vectors(spec, 200), random_vectors(spec, 30, seed=1)
        store.upsert(spec.name, [key(n) for n in range(200)], vectors)
        answers = store.search(spec.name, queries, 10)
        assert len(answers) == 30
        for query, matches in zip(queries, answers, strict=True):
            wanted = true_distances(spec.metric, vectors, query)
            order = sorted(range(200), key=lambda row: (wanted[row], row))[:10]
            assert [match.key for match in matches] == [key(row) for row in order]
            found = [match.distance for match in matches]
            assert found == pytest.approx(wanted[order], abs=self.tolerance)

    def test_finds_a_vector_at_no_distance_from_itself(
        self, store: VectorStore, spec: CollectionSpec
    ) -> None:
        """Rounding takes a picture for another one; often L2 by way of products."""
        vectors = random_vectors(spec, 50)
        store.upsert(spec.name, [key(n) for n in range(50)], vectors)
        for number, matches in enumerate(store.search(spec.name, vectors, 1)):
            assert matches[0].key == key(number)
            assert matches[0].distance == pytest.approx(0.0, abs=1e-3)

    def test_orders_ties_by_key(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Which of several equal pictures are found is left to chance, at the cut at least."""
        vectors = random_vectors(spec, 3)
        numbers = np.random.default_rng(2).permutation(60).tolist()
        rows = vectors[[0] * 40 + [1] * 20]
        store.upsert(spec.name, [key(number) for number in numbers], rows)
        nearest = sorted(numbers[:40])
        for limit in (1, 5, 39, 40):
            (matches,) = store.search(spec.name, vectors[:1], limit)
            assert [match.key for match in matches] == [key(n) for n in nearest[:limit]]

    def test_gives_all_rows_to_a_limit_beyond_them(self, photos: VectorStore) -> None:
        """The store fails, pads or repeats where the collection has fewer rows."""
        queries = random_vectors(PHOTOS, 2, seed=1)
        assert photos.search("photos", queries, 5) == [[], []]
        photos.upsert("photos", [key(1), key(2)], random_vectors(PHOTOS, 2))
        for limit in (2, 3, 1000):
            for matches in photos.search("photos", queries, limit):
                assert {match.key for match in matches} == {key(1), key(2)}
        assert photos.search("photos", random_vectors(PHOTOS, 0), 5) == []

    def test_replaces_a_row_as_a_whole(self, photos: VectorStore) -> None:
        """An upsert leaves the old vector or the old metadata behind, or counts twice."""
        old, new = random_vectors(PHOTOS, 2)
        photos.upsert("photos", [key(1), key(2)], np.stack([old, old]), [{"a": 1}, {"a": 1}])
        photos.search("photos", old[np.newaxis], 1)
        photos.upsert("photos", [key(1)], new[np.newaxis], [{"b": 1}])
        photos.upsert("photos", [key(1)], new[np.newaxis], [{"b": 1}])
        assert photos.count("photos") == 2
        assert sorted(photos.ids("photos")) == [key(1), key(2)]
        np.testing.assert_array_equal(photos.fetch("photos", [key(1)])[key(1)], new)
        assert _keys(photos.search("photos", new[np.newaxis], 5)) == [key(1), key(2)]
        assert _keys(photos.search("photos", new[np.newaxis], 5, filter=F("a") == 1)) == [key(2)]
        assert _keys(photos.search("photos", new[np.newaxis], 5, filter=F("b") == 1)) == [key(1)]

    def test_finds_its_own_writes_at_once(self, photos: VectorStore) -> None:
        """A search after a write has returned does not see it."""
        vectors = random_vectors(PHOTOS, 20)
        for number, vector in enumerate(vectors):
            photos.upsert("photos", [key(number)], vector[np.newaxis])
            assert _keys(photos.search("photos", vector[np.newaxis], 1)) == [key(number)]
            assert photos.count("photos") == 1
            photos.delete("photos", [key(number)])
            assert photos.search("photos", vector[np.newaxis], 1) == [[]]

    def test_deletes_rows(self, photos: VectorStore) -> None:
        """Deleted rows are still found, others vanish, or an absent key is an error."""
        vectors = random_vectors(PHOTOS, 6)
        photos.upsert("photos", [key(n) for n in range(6)], vectors)
        photos.delete("photos", [key(1), key(4), key(99)])
        photos.delete("photos", [])
        left = {key(n) for n in (0, 2, 3, 5)}
        assert photos.count("photos") == 4
        assert set(photos.ids("photos")) == left
        assert set(_keys(photos.search("photos", vectors[1:2], 10))) == left
        assert set(photos.fetch("photos", [key(n) for n in range(6)])) == left
        photos.upsert("photos", [key(4)], vectors[4:5])
        assert _keys(photos.search("photos", vectors[4:5], 1)) == [key(4)]

    def test_fetches_vectors_as_they_were_stored(
        self, store: VectorStore, spec: CollectionSpec
    ) -> None:
        """Stored vectors are normalised, rounded or cut, or absent keys are an error."""
        vectors = random_vectors(spec, 5)
        if spec.metric is not Metric.HAMMING:
            vectors = (vectors * np.float32(7.3)).astype(np.float32)
        store.upsert(spec.name, [key(n) for n in range(5)], vectors)
        found = store.fetch(spec.name, [key(3), key(99), key(0)])
        assert set(found) == {key(0), key(3)}
        for number in (0, 3):
            assert found[key(number)].dtype == spec.dtype
            np.testing.assert_array_equal(found[key(number)], vectors[number])
        assert store.fetch(spec.name, []) == {}

    def test_yields_every_key_once(self, photos: VectorStore) -> None:
        """The store pages through keys wrongly: some are missed or come twice."""
        keys = [key(number) for number in range(2_500)]
        photos.upsert("photos", keys, random_vectors(PHOTOS, 2_500))
        assert sorted(photos.ids("photos")) == keys
        assert photos.count("photos") == 2_500

    def test_refuses_keys_of_another_alphabet(self, photos: VectorStore) -> None:
        """A key could become part of a query to the back end."""
        vector = random_vectors(PHOTOS, 1)
        for bad in ("", "abc", "A" * 32, "g" * 32, "0" * 33, "0" * 31 + "'"):
            for call in (
                partial(photos.upsert, "photos", [bad], vector),
                partial(photos.fetch, "photos", [bad]),
                partial(photos.delete, "photos", [bad]),
            ):
                with pytest.raises(InvalidArgumentError, match="32"):
                    call()

    def test_takes_nothing_of_a_bad_batch(self, photos: VectorStore) -> None:
        """A batch that is refused leaves some of its rows behind."""
        good, two = random_vectors(PHOTOS, 1), random_vectors(PHOTOS, 2)
        nan, infinite = two.copy(), two.copy()
        nan[1, 3], infinite[1, 3] = np.nan, np.inf
        keys = [key(1), key(2)]
        for bad_keys, vectors, metadata in (
            (keys, nan, None),
            (keys, infinite, None),
            (keys, good, None),
            (keys, two.astype(np.float64), None),
            (keys, two[:, :7], None),
            (keys, two, [{}]),
            (keys, two, [{}, {"a": float("nan")}]),
            (keys, two, [{}, {"a": b"bytes"}]),
            (keys, two, [{}, {1: "a"}]),
            (keys, two, [{}, {"a": 2**63}]),
            (keys, two, [{}, {"a": "\ud800"}]),
            ([key(1), key(1)], two, None),
        ):
            with pytest.raises(InvalidArgumentError):
                photos.upsert("photos", bad_keys, vectors, metadata)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError):
            photos.search("photos", nan, 1)
        with pytest.raises(InvalidArgumentError):
            photos.search("photos", good, 0)
        assert photos.count("photos") == 0
        photos.upsert("photos", [], random_vectors(PHOTOS, 0))

    def test_copies_what_it_is_given(self, photos: VectorStore) -> None:
        """The store changes its caller's arrays and mappings, or holds on to them."""
        vectors = random_vectors(PHOTOS, 2)
        given, metadata = vectors.copy(), [{"tags": ["cat"]}, {"tags": ["dog"]}]
        photos.upsert("photos", [key(1), key(2)], given, metadata)
        photos.search("photos", given, 2)
        np.testing.assert_array_equal(given, vectors)
        assert metadata == [{"tags": ["cat"]}, {"tags": ["dog"]}]
        given[:] = 0
        metadata[0]["tags"].append("dog")
        np.testing.assert_array_equal(photos.fetch("photos", [key(1)])[key(1)], vectors[0])
        found = photos.search("photos", vectors, 2, filter=F("tags").contains("dog"))
        assert _keys(found) == [key(2)]

    def test_filters_as_the_filter_says(self, photos: VectorStore) -> None:
        """A filter means something else here than in other stores, or its values leak out."""
        vectors = random_vectors(PHOTOS, len(ROWS))
        photos.upsert("photos", [key(n) for n in range(len(ROWS))], vectors, ROWS)
        for filter in FILTERS:
            wanted = [key(n) for n, row in enumerate(ROWS) if filter.matches(row)]
            found = photos.search("photos", vectors[:1], len(ROWS), filter=filter)
            assert sorted(_keys(found)) == wanted, filter

    def test_filters_before_it_cuts(self, photos: VectorStore) -> None:
        """The store looks for rows that match among the nearest only, and finds too few."""
        vectors = random_vectors(PHOTOS, 300)
        rows: list[Metadata] = [{"number": number} for number in range(300)]
        photos.upsert("photos", [key(n) for n in range(300)], vectors, rows)
        distances = true_distances(Metric.L2, vectors, vectors[0])
        farthest = int(np.argmax(distances))
        found = photos.search("photos", vectors[:1], 1, filter=F("number") == farthest)
        assert _keys(found) == [key(farthest)]

    def test_serves_several_threads(self, photos: VectorStore) -> None:
        """Concurrent writes are lost or mixed up, or a search among them fails."""
        vectors = random_vectors(PHOTOS, 80)

        def work(thread: int) -> None:
            for number in range(thread, 80, 4):
                photos.upsert("photos", [key(number)], vectors[number : number + 1])
                query = vectors[number : number + 1]
                assert _keys(photos.search("photos", query, 1)) == [key(number)]
                if number % 8 >= 4:
                    photos.delete("photos", [key(number)])

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        left = [key(number) for number in range(80) if number % 8 < 4]
        assert sorted(photos.ids("photos")) == left
        assert photos.count("photos") == 40
        assert sorted(_keys(photos.search("photos", vectors[:1], 100))) == left

    def test_makes_a_collection_once_for_several_threads(self, store: VectorStore) -> None:
        """Two engines that open an album at once fail, or wipe each other's rows."""
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(store.ensure_collection, repeat(PHOTOS, 4)))
        assert store.describe("photos") == PHOTOS

    def test_keeps_rows_when_closed(self) -> None:
        """Rows, metadata or the fingerprint are gone when the store is opened again."""
        if not self.durable:
            pytest.skip("this store is not durable")
        vectors = random_vectors(PHOTOS, 30)
        with self.make_store() as store:
            store.ensure_collection(PHOTOS)
            rows: list[Metadata] = [{"n": n} for n in range(30)]
            store.upsert("photos", [key(n) for n in range(30)], vectors, rows)
            store.delete("photos", [key(7)])
        with self.make_store() as store:
            assert store.collections() == ["photos"]
            with pytest.raises(SpaceMismatchError):
                store.ensure_collection(CollectionSpec("photos", 8, "model-2"))
            store.ensure_collection(PHOTOS)
            assert store.count("photos") == 29
            assert _keys(store.search("photos", vectors[3:4], 1)) == [key(3)]
            assert _keys(store.search("photos", vectors[:1], 5, filter=F("n") == 20)) == [key(20)]

    def test_keeps_places_apart(self, photos: VectorStore) -> None:
        """Two applications see each other's collections."""
        with self.make_store("two") as other:
            assert other.collections() == []
            other.ensure_collection(CollectionSpec("photos", 16, "model-2"))
            assert photos.describe("photos") == PHOTOS

    def test_refuses_work_once_closed(self) -> None:
        """A closed store still works, or fails with an error of its back end."""
        store = self.make_store()
        store.ensure_collection(PHOTOS)
        store.close()
        store.close()
        for call in (
            lambda: store.count("photos"),
            lambda: store.ensure_collection(PHOTOS),
            lambda: store.search("photos", random_vectors(PHOTOS, 1), 1),
        ):
            with pytest.raises(ClosedError):
                call()


def _keys(answers: Sequence[Sequence[Match]]) -> list[str]:
    return [match.key for match in answers[0]]
