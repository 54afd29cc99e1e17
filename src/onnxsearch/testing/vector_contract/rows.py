"""Tests of storing, replacing and deleting rows."""

from __future__ import annotations

from functools import partial
from threading import Thread

import numpy as np
import pytest

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import F
from onnxsearch.testing.vector_contract.fixtures import VectorStoreFixtures, keys_of
from onnxsearch.testing.vector_samples import PHOTOS, key, random_vectors
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, VectorStore


class RowTests(VectorStoreFixtures):
    """Rows are stored, fetched, listed, replaced and deleted."""

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
        assert keys_of(photos.search("photos", new[np.newaxis], 5)) == [key(1), key(2)]
        assert keys_of(photos.search("photos", new[np.newaxis], 5, filter=F("a") == 1)) == [key(2)]
        assert keys_of(photos.search("photos", new[np.newaxis], 5, filter=F("b") == 1)) == [key(1)]

    def test_deletes_rows(self, photos: VectorStore) -> None:
        """Deleted rows are still found, others vanish, or an absent key is an error."""
        vectors = random_vectors(PHOTOS, 6)
        photos.upsert("photos", [key(n) for n in range(6)], vectors)
        photos.delete("photos", [key(1), key(4), key(99)])
        photos.delete("photos", [])
        left = {key(n) for n in (0, 2, 3, 5)}
        assert photos.count("photos") == 4
        assert set(photos.ids("photos")) == left
        assert set(keys_of(photos.search("photos", vectors[1:2], 10))) == left
        assert set(photos.fetch("photos", [key(n) for n in range(6)])) == left
        photos.upsert("photos", [key(4)], vectors[4:5])
        assert keys_of(photos.search("photos", vectors[4:5], 1)) == [key(4)]

    def test_yields_every_key_once(self, photos: VectorStore) -> None:
        """The store pages through keys wrongly: some are missed or come twice."""
        keys = [key(number) for number in range(2_500)]
        photos.upsert("photos", keys, random_vectors(PHOTOS, 2_500))
        assert sorted(photos.ids("photos")) == keys
        assert photos.count("photos") == 2_500

    def test_lists_keys_while_rows_come_and_go(self, photos: VectorStore) -> None:
        """Listing breaks off, blocks writers, or misses rows that stay."""
        vectors = random_vectors(PHOTOS, 3_000)
        keys = [key(number) for number in range(3_000)]
        photos.upsert("photos", keys, vectors)
        stay, leave, come = keys[:2_990], keys[2_990:], [key(9_000 + n) for n in range(20)]

        def write() -> None:
            photos.delete("photos", leave)
            photos.upsert("photos", come, vectors[:20])

        writer = Thread(target=write, daemon=True)
        listed = []
        for number, found in enumerate(photos.ids("photos")):
            listed.append(found)
            if number == 5:
                writer.start()
                writer.join(timeout=60)
                assert not writer.is_alive(), "it waits until everything is listed"
        assert len(set(listed)) == len(listed)
        assert set(stay) <= set(listed) <= {*keys, *come}
        assert sorted(photos.ids("photos")) == stay + come

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
        assert keys_of(found) == [key(2)]

    def test_gives_copies(self, photos: VectorStore) -> None:
        """Who changes what `fetch` or `search` has returned changes the store."""
        vectors = random_vectors(PHOTOS, 2)
        keys = [key(0), key(1)]
        photos.upsert("photos", keys, vectors)
        for vector in photos.fetch("photos", keys).values():
            if vector.flags.writeable:
                vector[:] = 0
        for matches in photos.search("photos", vectors, 2):
            matches.clear()
        found = photos.fetch("photos", keys)
        np.testing.assert_array_equal(np.stack([found[key(0)], found[key(1)]]), vectors)
        assert keys_of(photos.search("photos", vectors[1:], 2)) == [key(1), key(0)]

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
