"""Tests of the results of searches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from onnxsearch.filters import F
from onnxsearch.testing.vector_contract.fixtures import VectorStoreFixtures, keys_of
from onnxsearch.testing.vector_samples import (
    FILTERS,
    PHOTOS,
    ROWS,
    key,
    random_vectors,
    true_distances,
)
from onnxsearch.types import Metadata, Metric
from onnxsearch.vectors.base import CollectionSpec, VectorStore


class SearchTests(VectorStoreFixtures):
    """Searches find the nearest rows, of those that a filter leaves."""

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
        """Rounding confuses two images; often L2 computed from products."""
        vectors = random_vectors(spec, 50)
        store.upsert(spec.name, [key(n) for n in range(50)], vectors)
        for number, matches in enumerate(store.search(spec.name, vectors, 1)):
            assert matches[0].key == key(number)
            assert matches[0].distance == pytest.approx(0.0, abs=1e-3)

    def test_orders_ties_by_key(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Which of several equal images are found is random, at least at the limit."""
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

    def test_finds_its_own_writes_at_once(self, photos: VectorStore) -> None:
        """A search after a write has returned does not see it."""
        vectors = random_vectors(PHOTOS, 20)
        for number, vector in enumerate(vectors):
            photos.upsert("photos", [key(number)], vector[np.newaxis])
            assert keys_of(photos.search("photos", vector[np.newaxis], 1)) == [key(number)]
            assert photos.count("photos") == 1
            photos.delete("photos", [key(number)])
            assert photos.search("photos", vector[np.newaxis], 1) == [[]]

    def test_filters_as_the_filter_says(self, photos: VectorStore) -> None:
        """A filter means something else here than in other stores, or its values leak out."""
        vectors = random_vectors(PHOTOS, len(ROWS))
        photos.upsert("photos", [key(n) for n in range(len(ROWS))], vectors, ROWS)
        for filter in FILTERS:
            wanted = [key(n) for n, row in enumerate(ROWS) if filter.matches(row)]
            found = photos.search("photos", vectors[:1], len(ROWS), filter=filter)
            assert sorted(keys_of(found)) == wanted, filter

    def test_filters_before_it_cuts(self, photos: VectorStore) -> None:
        """The store looks for rows that match among the nearest only, and finds too few."""
        vectors = random_vectors(PHOTOS, 300)
        rows: list[Metadata] = [{"number": number} for number in range(300)]
        photos.upsert("photos", [key(n) for n in range(300)], vectors, rows)
        distances = true_distances(Metric.L2, vectors, vectors[0])
        farthest = int(np.argmax(distances))
        found = photos.search("photos", vectors[:1], 1, filter=F("number") == farthest)
        assert keys_of(found) == [key(farthest)]

    def test_serves_several_threads(self, photos: VectorStore) -> None:
        """Concurrent writes are lost or mixed up, or a search among them fails."""
        vectors = random_vectors(PHOTOS, 80)

        def work(thread: int) -> None:
            for number in range(thread, 80, 4):
                photos.upsert("photos", [key(number)], vectors[number : number + 1])
                query = vectors[number : number + 1]
                assert keys_of(photos.search("photos", query, 1)) == [key(number)]
                if number % 8 >= 4:
                    photos.delete("photos", [key(number)])

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        left = [key(number) for number in range(80) if number % 8 < 4]
        assert sorted(photos.ids("photos")) == left
        assert photos.count("photos") == 40
        assert sorted(keys_of(photos.search("photos", vectors[:1], 100))) == left
